//! `bellctl backup`.

use std::str::FromStr;

use clap::{Args, Subcommand};
use watchbell_client::pb::VerificationLevel;

use super::{
    PageArgs,
    backup_policy::{KeepArgs, PolicyCommand, PolicyName},
};
use crate::{label::choice, name::RunName};

/// Commands about backups. A restore point is a UUID, the beginning of one, or `latest`: the newest good one.
#[derive(Debug, Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it is short-lived"
)]
pub(crate) enum BackupCommand {
    /// Runs a policy now.
    #[command(
        after_help = "Examples:\n  bellctl backup run daily-full --wait\n  bellctl backup run pre-deployment --reason 'release 4.2' --wait"
    )]
    Run(RunBackupArgs),
    /// Shows how far a backup, verification or restore is, until it has ended.
    #[command(
        after_help = "Examples:\n  bellctl backup watch\n  bellctl backup watch 01977c5e-0000-7000-8000-000000000001"
    )]
    Watch {
        /// The run. Default: the newest that is under way.
        run: Option<RunName>,
    },
    /// Lists restore points, newest first.
    #[command(
        after_help = "Examples:\n  bellctl backup list\n  bellctl backup list --policy daily-full --removed --all"
    )]
    List(ListPointsArgs),
    /// Shows a restore point: its steps, what is missing, and what verifications have found.
    #[command(
        after_help = "Examples:\n  bellctl backup show latest\n  bellctl backup show 01977c5e"
    )]
    Show {
        /// The restore point.
        point: PointName,
    },
    /// Lists what is in a directory of a restore point.
    #[command(
        after_help = "Examples:\n  bellctl backup ls latest\n  bellctl backup ls latest /sources/www/srv/www --all"
    )]
    Ls(LsArgs),
    /// Reads one file of a restore point: onto standard output, or into a file. Dumps of databases, and what else may
    /// hold secrets, come back by `bellctl backup restore` alone.
    #[command(
        after_help = "Examples:\n  bellctl backup cat latest /sources/www/srv/www/index.html\n  bellctl backup cat 01977c5e /sources/www/srv/www/logo.png --file logo.png"
    )]
    Cat(CatArgs),
    /// Verifies a restore point.
    #[command(
        after_help = "Examples:\n  bellctl backup verify latest --wait\n  bellctl backup verify 01977c5e --level read --wait"
    )]
    Verify(VerifyArgs),
    /// Drills the newest good restore point: files and database restored, hashed and counted.
    #[command(after_help = "Example:\n  bellctl backup drill --wait")]
    Drill(WaitFlag),
    /// Restores a restore point into a new directory, once you have seen the plan.
    #[command(
        after_help = "Examples:\n  bellctl backup restore latest --to friday --plan-only\n  bellctl backup restore latest --to friday --path /content/ --wait\n  bellctl backup restore 01977c5e --to /srv/restores/friday --yes --wait"
    )]
    Restore(RestoreArgs),
    /// What retention would remove now, and why each point is kept or not.
    #[command(
        after_help = "Examples:\n  bellctl backup plan-retention\n  bellctl backup plan-retention --policy daily-full --keep-daily 7 --keep-weekly 4"
    )]
    PlanRetention(PlanRetentionArgs),
    /// Removes what retention lets go.
    #[command(after_help = "Example:\n  bellctl backup apply-retention --confirm --wait")]
    ApplyRetention(ApplyRetentionArgs),
    /// Keeps a restore point whatever retention says.
    #[command(after_help = "Example:\n  bellctl backup pin 01977c5e --reason 'before the audit'")]
    Pin {
        /// The restore point.
        point: PointName,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
    /// Accepts what the sources of a restore point have lost: it counts then, and later ones are compared with it.
    #[command(
        after_help = "Example:\n  bellctl backup accept 01977c5e --reason 'the old intranet is gone' --wait"
    )]
    Accept {
        /// The restore point.
        point: PointName,
        /// Why, for the record.
        #[arg(long)]
        reason: String,
        /// Show how far it is until it has ended, and exit with what it became.
        #[arg(long)]
        wait: bool,
    },
    /// Lets a restore point go again.
    #[command(after_help = "Example:\n  bellctl backup unpin 01977c5e")]
    Unpin {
        /// The restore point.
        point: PointName,
    },
    /// Removes a restore point of a policy that was deleted. No retention lets those go.
    #[command(
        after_help = "Example:\n  bellctl backup remove 01977c5e --confirm --reason 'the intranet is gone'"
    )]
    Remove(RemovePointArgs),
    /// Figures over all backups.
    #[command(
        after_help = "Examples:\n  bellctl backup stats\n  bellctl backup stats --output json | jq .statistics.lastSuccessHoursAgo"
    )]
    Stats,
    /// What verifications have found, newest first.
    #[command(
        after_help = "Examples:\n  bellctl backup evidence\n  bellctl backup evidence --point latest"
    )]
    Evidence(EvidenceArgs),
    /// What can be backed up.
    #[command(after_help = "Example:\n  bellctl backup sources")]
    Sources,
    /// Policies: what is backed up, when, and for how long it is kept.
    #[command(subcommand)]
    Policy(PolicyCommand),
}

/// Whether to wait.
#[derive(Args, Debug)]
pub(crate) struct WaitFlag {
    /// Show how far it is until it has ended, and exit with what it became.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Why, for the record.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Flags of `backup run`.
#[derive(Args, Debug)]
pub(crate) struct RunBackupArgs {
    /// The policy.
    pub(crate) policy: PolicyName,
    /// Run although its task, or everything, is paused.
    #[arg(long)]
    pub(crate) ignore_pause: bool,
    #[command(flatten)]
    pub(crate) wait: WaitFlag,
}

/// Flags of `backup list`.
#[derive(Args, Debug)]
pub(crate) struct ListPointsArgs {
    /// Only of this policy.
    #[arg(long)]
    pub(crate) policy: Option<PolicyName>,
    /// Those that were removed, too.
    #[arg(long)]
    pub(crate) removed: bool,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// Flags of `backup ls`.
#[derive(Args, Debug)]
pub(crate) struct LsArgs {
    /// The restore point.
    pub(crate) point: PointName,
    /// The directory, such as /sources/www. Default: the uppermost.
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) path: String,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// Flags of `backup cat`.
#[derive(Args, Debug)]
pub(crate) struct CatArgs {
    /// The restore point.
    pub(crate) point: PointName,
    /// The file, as `backup ls` shows it.
    pub(crate) path: String,
    /// Where to write it. Default: standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<std::path::PathBuf>,
    /// Overwrite the file where it is there.
    #[arg(long, requires = "file")]
    pub(crate) force: bool,
}

/// Flags of `backup verify`.
#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The restore point.
    pub(crate) point: PointName,
    /// How deeply. Default: drill and database.
    #[arg(long, value_parser = choice::<VerificationLevel>())]
    pub(crate) level: Option<VerificationLevel>,
    #[command(flatten)]
    pub(crate) wait: WaitFlag,
}

/// Flags of `backup restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The restore point.
    pub(crate) point: PointName,
    /// A new directory on the server: a name, or a path below one of its restore roots.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: String,
    /// Only what begins so, such as /content/. May be repeated.
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Vec<String>,
    /// Restore the database, too, into a new PostgreSQL database of this name.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) new_database: String,
    /// Show the plan, and end.
    #[arg(long, conflicts_with_all = ["yes", "wait"])]
    pub(crate) plan_only: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) wait: WaitFlag,
}

/// Flags of `backup plan-retention`.
#[derive(Args, Debug)]
pub(crate) struct PlanRetentionArgs {
    /// Only of this policy.
    #[arg(long)]
    pub(crate) policy: Option<PolicyName>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

/// Flags of `backup apply-retention`.
#[derive(Args, Debug)]
pub(crate) struct ApplyRetentionArgs {
    /// Also where much would go: see `plan-retention`.
    #[arg(long)]
    pub(crate) confirm: bool,
    #[command(flatten)]
    pub(crate) wait: WaitFlag,
}

/// Flags of `backup remove`.
#[derive(Args, Debug)]
pub(crate) struct RemovePointArgs {
    /// The restore point.
    pub(crate) point: PointName,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: String,
    /// It cannot be brought back.
    #[arg(long)]
    pub(crate) confirm: bool,
}

/// Flags of `backup evidence`.
#[derive(Args, Debug)]
pub(crate) struct EvidenceArgs {
    /// Only of this restore point.
    #[arg(long)]
    pub(crate) point: Option<PointName>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// A restore point: `latest`, or hexadecimal digits of its UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PointName(pub(crate) String);

impl FromStr for PointName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = text.strip_prefix("restorePoints/").unwrap_or(text);
        let hex = |character: char| character.is_ascii_hexdigit() || character == '-';
        if id != "latest" && (id.len() < 4 || 36 < id.len() || !id.chars().all(hex)) {
            return Err("expected `latest`, a UUID, or its first 4 digits or more".to_owned());
        }
        Ok(Self(id.to_lowercase()))
    }
}
