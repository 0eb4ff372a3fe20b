//! The command line.
//!
//! Values become names, moments and lengths here, so that a wrong one is told with its flag and the
//! commands see none.

mod backup;
mod backup_policy;
mod document;
mod document_verbs;
mod register;
mod run;
mod schedule;
mod spec;
mod task;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use self::{
    backup::{
        ApplyRetentionArgs, BackupCommand, CatArgs, EvidenceArgs, ListPointsArgs, LsArgs,
        PlanRetentionArgs, PointName, RemovePointArgs, RestoreArgs, RunBackupArgs, VerifyArgs,
        WaitFlag,
    },
    backup_policy::{KeepArgs, PolicyCommand, PolicyFields, PolicyName},
    document::{
        DocumentArgs, DocumentCommand, DownloadArgs, ListDocumentsArgs, ShowDocumentArgs,
        UploadArgs, WatchDocumentsArgs,
    },
    document_verbs::{CreateDocumentArgs, DocumentVerb, NewVersionArgs, UpdateDocumentArgs},
    register::{ExportArgs, FormName, ImportArgs, ReaderName},
    run::{CancelArgs, ListRunsArgs, LogsArgs, RetryArgs, RunCommand, WaitArgs, WatchArgs},
    schedule::{PreviewArgs, ScheduleCommand},
    spec::{PolicyArgs, SpecArgs, TimingArgs},
    task::{
        BackfillArgs, CreateArgs, DeleteArgs, ListTasksArgs, PauseTaskArgs, RealignArgs, SlotsArgs,
        TaskCommand, TriggerArgs, UpdateArgs,
    },
};
use crate::{exit, time::Length, time::Moment};

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:7420";
const DEFAULT_TOKEN_FILE: &str = "./watchbell-data/token";

/// Controls a Watchbell server.
#[derive(Debug, Parser)]
#[command(name = "bellctl", version)]
#[command(after_help = help_after_all())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Globals {
    /// Where the server listens.
    #[arg(
        long,
        global = true,
        env = "WATCHBELL_ENDPOINT",
        default_value = DEFAULT_ENDPOINT,
        value_name = "URL"
    )]
    endpoint: String,
    /// The file that holds the token.
    #[arg(
        long,
        global = true,
        env = "WATCHBELL_TOKEN_FILE",
        default_value = DEFAULT_TOKEN_FILE,
        value_name = "FILE"
    )]
    token_file: OsString,
    /// A table for people, or canonical proto JSON for programs.
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Whether to use colours. `auto`: on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(crate) color: Color,
}

/// How answers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    /// A page to print; of `document list` alone.
    Html,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How the server is. Exits as monitors expect: 0 good, 1 warning, 2 critical, 3 unknown.
    #[command(
        after_help = "Examples:\n  bellctl status\n  bellctl status --output json | jq .status.problems\n  bellctl status --watch"
    )]
    Status {
        /// A line for each change, until it is interrupted.
        #[arg(long)]
        watch: bool,
    },
    /// What the server is: version, storage, zone, kinds of task, limits.
    #[command(
        after_help = "Examples:\n  bellctl info\n  bellctl info --output json | jq -r .version"
    )]
    Info,
    /// The servers that share the database.
    #[command(
        after_help = "Examples:\n  bellctl replicas\n  bellctl replicas --output json | jq '.replicas[].host'"
    )]
    Replicas,
    /// Where what runs differs from what is configured.
    #[command(
        after_help = "Examples:\n  bellctl drift\n  bellctl drift --all --output json | jq '.items | length'"
    )]
    Drift(DriftArgs),
    /// What fires in the coming hours, over all tasks.
    #[command(after_help = "Examples:\n  bellctl agenda\n  bellctl agenda --hours 72")]
    Agenda(AgendaArgs),
    /// Tasks: what runs, and when.
    #[command(subcommand, visible_alias = "tasks")]
    Task(TaskCommand),
    /// Schedules, saved or not.
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Runs: what became of it.
    #[command(subcommand, visible_alias = "runs")]
    Run(RunCommand),
    /// Documents: what is in force, and what becomes so.
    #[command(visible_aliases = ["documents", "doc"])]
    Document(Box<DocumentArgs>),
    /// Backups: policies, restore points, verification, restores.
    #[command(subcommand, visible_alias = "backups")]
    Backup(Box<BackupCommand>),
    /// Pauses everything, for maintenance. Runs already queued proceed.
    #[command(
        after_help = "Examples:\n  bellctl pause --for 2h --reason 'database upgrade'\n  bellctl pause --until 2026-03-08T06:00"
    )]
    Pause(PauseArgs),
    /// Ends the pause of everything. Tasks that are paused themselves stay so.
    #[command(after_help = "Example:\n  bellctl resume")]
    Resume,
    /// The clock that the servers go by.
    #[command(subcommand)]
    Clock(ClockCommand),
    /// Prints a script that completes commands in a shell.
    #[command(
        after_help = "Examples:\n  bellctl completions bash > ~/.local/share/bash-completion/completions/bellctl\n  bellctl completions zsh > ~/.zfunc/_bellctl\n  bellctl completions fish > ~/.config/fish/completions/bellctl.fish"
    )]
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// Flags of `agenda`.
#[derive(Args, Debug)]
pub(crate) struct AgendaArgs {
    /// How many hours ahead, at most 744.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=744))]
    pub(crate) hours: u32,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// Flags of `drift`.
#[derive(Args, Debug)]
pub(crate) struct DriftArgs {
    /// Where it begins: `nextPageToken` of the page before.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TOKEN"
    )]
    pub(crate) page_token: String,
    /// All of it, however much that is. Without it, the first 1,000.
    #[arg(long)]
    pub(crate) all: bool,
}

/// What is done about the clock.
#[derive(Debug, Subcommand)]
pub(crate) enum ClockCommand {
    /// Goes on by the clock as it is, where nothing is decided because it has jumped.
    #[command(
        after_help = "Examples:\n  bellctl status\n  bellctl clock accept --reason 'the machine was off for a week'"
    )]
    Accept {
        /// Why, for the record.
        #[arg(long)]
        reason: String,
    },
}

/// How long a pause lasts, and why.
#[derive(Args, Debug)]
pub(crate) struct PauseArgs {
    /// When it ends by itself: a time, or `+2h`.
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        conflicts_with = "length"
    )]
    pub(crate) until: Option<Moment>,
    /// How long it lasts, such as `2h`.
    #[arg(long = "for", id = "length", value_name = "LENGTH", value_parser = some_length)]
    pub(crate) length: Option<Length>,
    /// Why, for the record.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Which pages of a list.
#[derive(Args, Debug)]
pub(crate) struct PageArgs {
    /// How many on a page.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub(crate) page_size: i32,
    /// Where the page begins: `nextPageToken` of the page before.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TOKEN"
    )]
    pub(crate) page_token: String,
    /// All pages.
    #[arg(long)]
    pub(crate) all: bool,
}

impl Globals {
    /// The file that holds the token. A variable that is set to nothing is as if it were not there.
    pub(crate) fn token_file(&self) -> PathBuf {
        if self.token_file.is_empty() {
            return DEFAULT_TOKEN_FILE.into();
        }
        PathBuf::from(&self.token_file)
    }

    /// The endpoint; `host:port` means plain HTTP/2.
    pub(crate) fn endpoint(&self) -> String {
        if self.endpoint.is_empty() {
            return DEFAULT_ENDPOINT.to_owned();
        }
        if self.endpoint.contains("://") {
            return self.endpoint.clone();
        }
        format!("http://{}", self.endpoint)
    }
}

impl PauseArgs {
    /// When the pause ends, whichever way it was said.
    pub(crate) fn end(&self) -> Option<Moment> {
        let length = self.length.and_then(|length| length.0.try_into().ok());
        length.map(Moment::FromNow).or_else(|| self.until.clone())
    }
}

impl PageArgs {
    /// All pages are fetched in the largest bites.
    pub(crate) fn bite(&self) -> i32 {
        if self.all {
            return crate::session::LARGEST_PAGE;
        }
        self.page_size
    }
}

/// A pause of no length is a slip.
fn some_length(text: &str) -> Result<Length, String> {
    let length: Length = text.parse()?;
    if length.0.is_zero() {
        return Err("expected a length above zero, such as `2h`".to_owned());
    }
    Ok(length)
}

fn help_after_all() -> String {
    format!(
        "Examples:
  bellctl status
  bellctl task trigger backup-daily --wait
  bellctl run logs backup-daily/0197… --follow
  bellctl document import register.csv
  bellctl schedule preview --cron '0 2 * * *' --time-zone Europe/Paris --after 2026-03-28

Times: RFC 3339, `2026-03-08T02:00` or `2026-03-08` in --time-zone or the local zone, `now`, `-2h`,
`+30m`. Lengths: `90s`, `1h30m`, `7d`.

{}",
        exit::CODES
    )
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
