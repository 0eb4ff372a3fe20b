//! The command line of the server.
mod commands;
mod crontab;
mod crontab_original;
mod drain;
mod recovery;
mod rotation;
mod telemetry;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use watchbell::config::Flags;

const AFTER_HELP: &str = "\
Examples:
  watchbell serve                                        SQLite under ./watchbell-data, 127.0.0.1:7420
  watchbell serve --config /etc/watchbell/watchbell.toml
  watchbell serve --database postgres://watchbell@db/watchbell
  watchbell config --config watchbell.toml               what is in force, and from where
  watchbell config --check --config watchbell.toml       in a CI: 0 it fits, 3 it does not
  watchbell restore --repository /mnt/vault/repository --password-file /root/password --data /var/lib/watchbell
  watchbell restore --repository /mnt/vault/repository --password-file /root/password --path /sources/www/srv/a --to a
  watchbell drain --at-most 2h && systemctl restart watchbell
  watchbell backup rotate-password --to /root/new-password
  watchbell export verify watchbell-20260302T120000Z.tar.zst
  watchbell import-crontab --explain /etc/crontab        each line beside what will run, as whom, where, when
  watchbell import-crontab /etc/crontab /etc/cron.d/* > watchbell.toml
  watchbell import-crontab --out /etc/watchbell/watchbell.toml --disable-original /var/spool/cron/crontabs/*

Exit codes: 0 good, 1 failed (the message says why; import-crontab: nothing was carried over), 2 wrong usage,
3 the configuration is wrong, 4 the address is taken, 5 audit-slots has findings,
6 something that was restored or verified is damaged or not all that it was, 124 something still runs after a
drain, 130 a drain was interrupted.";

/// Runs an organisation's scheduled work, and never shows green for something that did not happen.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until a signal: SIGTERM or SIGINT stops in order, a second one at once.
    Serve(Serve),
    /// Print every setting in force, and from where it comes; secrets are masked. With --check, look whether it fits.
    Config(ConfigArgs),
    /// Bring the database's schema up to date, and end. A server does this at its start too.
    Migrate(Common),
    /// Write SQLite's file anew, without the room that history has left, and end. Needed once, for a large file of a version
    /// before this one: others shrink by themselves while the server runs. The server must not run.
    Vacuum(Common),
    /// Check the ledger: that every slot is accounted for once. Also beside a running server.
    AuditSlots(Common),
    /// Turn crontabs into a configuration, on standard output. What is not carried over unchanged is told at its line; the
    /// last lines say what to take out of cron then. Exit code 1 where nothing was carried over.
    ImportCrontab(crontab::ImportCrontab),
    /// Bring a whole instance back from a repository of backups and its password, into a new data directory or an empty
    /// database. The server then starts paused, as the original may still live.
    Restore(Restore),
    /// Before an upgrade: let the running server of this host take no more runs, and wait until those under way have
    /// ended. Nothing is stopped, slots are decided as ever, and other replicas take what is queued.
    Drain(DrainArgs),
    /// Work with exports.
    #[command(subcommand)]
    Export(Export),
    /// Work with the repository of backups on this host.
    #[command(subcommand)]
    Backup(Backup),
    /// For the server itself: does one step of a backup in a process that can be ended. Reads its order from
    /// standard input.
    #[command(hide = true)]
    Helper { step: String },
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// Start without a configuration file although this data had one: its tasks end. One that is named again later
    /// goes on with its history.
    #[arg(long, conflicts_with = "config")]
    without_configuration: bool,
    /// Apply this configuration although another replica serves a newer one.
    #[arg(long)]
    apply_older: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct ConfigArgs {
    /// Print nothing but what is wrong, and what this host lacks of it as warnings. Touches neither database nor data
    /// directory.
    #[arg(long)]
    check: bool,
    /// Fail, with code 1, where there are warnings.
    #[arg(long, requires = "check")]
    strict: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Restore {
    /// The repository of backups.
    #[arg(long, value_name = "DIR")]
    repository: PathBuf,
    /// The file with its password.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// Which restore point: the beginning of its UUID, or latest.
    #[arg(long, value_name = "POINT", default_value = "latest")]
    point: String,
    /// Whose restore points, where the repository holds those of several servers: the cluster's id, or its beginning.
    #[arg(long, value_name = "ID")]
    cluster: Option<String>,
    /// Show the restore points that are there: id, instant, policy, cluster, and what was found of it. And end.
    #[arg(long)]
    list: bool,
    /// Restore only what begins with this path, such as /sources/www/srv/index.html, into --to: no instance is made.
    /// May be given several times.
    #[arg(long, value_name = "PATH", requires = "to", conflicts_with = "list")]
    path: Vec<String>,
    /// The new directory for --path.
    #[arg(long, value_name = "DIR", requires = "path")]
    to: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct DrainArgs {
    /// How long to wait, up to 7d. If something still runs then, it is named, runs are taken again, and the exit code is 124.
    #[arg(long, value_name = "LENGTH", default_value = "1h", value_parser = drain::at_most)]
    at_most: Duration,
    /// Why, for the status.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    reason: String,
    /// Leave the server drained where something still runs in the end, or the wait is interrupted: until 15 minutes
    /// after --at-most.
    #[arg(long)]
    stay: bool,
    /// Let it take runs again, and end.
    #[arg(long, conflicts_with_all = ["at_most", "reason", "stay"])]
    end: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Export {
    /// Check an export: the checksum beside it, every file in it, and that nothing else is.
    Verify {
        /// The export.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum Backup {
    /// Give the repository another password: a key is added for it, the configured file is rewritten, and the old key is
    /// removed. What is stored stays what it is. Also beside a running server, while no backup is under way.
    RotatePassword(RotatePassword),
}

#[derive(Debug, clap::Args)]
struct RotatePassword {
    /// The file with the new password, which nobody else may read.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// That of the second location instead, [backups.archive].
    #[arg(long)]
    archive: bool,
    /// Remove keys that an earlier rotation has added in the place of the one in force, and that no host uses.
    #[arg(long)]
    confirm: bool,
    #[command(flatten)]
    common: Common,
}

/// Where settings come from, over the file and the environment.
#[derive(Debug, clap::Args)]
struct Common {
    /// The configuration file [env: WATCHBELL_CONFIG] [default: none].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory [env: WATCHBELL_DATA] [default: ./watchbell-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// sqlite, sqlite:///FILE or postgres://… [env: WATCHBELL_DATABASE] [default: sqlite in the data
    /// directory]. A password is better given by the environment or the file: others can read flags.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// The address to listen on [env: WATCHBELL_LISTEN] [default: 127.0.0.1:7420].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Common {
    fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            data: self.data.clone(),
            database: self.database.clone(),
            listen: self.listen.clone(),
            ..Flags::default()
        }
    }
}

impl Serve {
    fn flags(&self) -> Flags {
        Flags {
            without_configuration: self.without_configuration,
            apply_older: self.apply_older,
            ..self.common.flags()
        }
    }
}

/// Why a command ended without success, where its code says more than 1.
#[derive(Debug)]
enum Failed {
    Configuration(anyhow::Error),
    Address(anyhow::Error),
    Findings,
    Damaged,
    StillRunning,
    Interrupted,
    Other(anyhow::Error),
}

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

pub(crate) fn run(args: Args) -> ExitCode {
    let done = match args.command {
        Command::Serve(serve) => commands::serve(&serve.flags()),
        Command::Config(args) if args.check => {
            commands::check_config(&args.common.flags(), args.strict)
        }
        Command::Config(args) => commands::config(&args.common.flags()),
        Command::Migrate(common) => commands::migrate(&common.flags()),
        Command::Vacuum(common) => commands::vacuum(&common.flags()),
        Command::AuditSlots(common) => commands::audit_slots(&common.flags()),
        Command::ImportCrontab(import) => crontab::import(&import),
        Command::Restore(restore) => recovery::restore(restore),
        Command::Drain(args) => drain::drain(&args),
        Command::Export(Export::Verify { file }) => recovery::verify_export(&file),
        Command::Backup(Backup::RotatePassword(args)) => rotation::rotate(&args),
        Command::Helper { step } => commands::helper(&step),
    };
    let (code, error) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failed::Findings) => return ExitCode::from(5),
        Err(Failed::Damaged) => return ExitCode::from(6),
        Err(Failed::StillRunning) => return ExitCode::from(124),
        Err(Failed::Interrupted) => return ExitCode::from(130),
        Err(Failed::Configuration(error)) => (3, error),
        Err(Failed::Address(error)) => (4, error),
        Err(Failed::Other(error)) => (1, error),
    };
    commands::remark(&format!("error: {error:#}"));
    ExitCode::from(code)
}
