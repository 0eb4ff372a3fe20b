//! `bellctl task`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use watchbell_client::pb::SlotOutcome;

use super::{PageArgs, PauseArgs, SpecArgs};
use crate::{label::choice, name::TaskName, time::Moment};

/// Commands about tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Lists tasks by name.
    #[command(
        after_help = "Examples:\n  bellctl task list\n  bellctl task list --failing --category Backup\n  bellctl task list --owner ops@example.org\n  bellctl task list --all --output json | jq -r '.tasks[].name'"
    )]
    List(ListTasksArgs),
    /// Shows a task.
    #[command(
        after_help = "Examples:\n  bellctl task show backup-daily\n  bellctl task show backup-daily --output json > task.json"
    )]
    Show {
        /// The task.
        name: TaskName,
    },
    /// Queues a run now.
    #[command(
        after_help = "Examples:\n  bellctl task trigger backup-daily --wait\n  bellctl task trigger backup-daily --dry-run --parameters '{\"keep\": 3}'"
    )]
    Trigger(TriggerArgs),
    /// Pauses a task. Runs already queued proceed.
    #[command(
        after_help = "Examples:\n  bellctl task pause backup-daily --for 2h --reason 'disk swap'\n  bellctl task pause backup-daily --until 2026-03-08T06:00"
    )]
    Pause(PauseTaskArgs),
    /// Ends a task's pause.
    #[command(after_help = "Example:\n  bellctl task resume backup-daily")]
    Resume {
        /// The task.
        name: TaskName,
    },
    /// Creates a task.
    #[command(
        after_help = "Examples:\n  bellctl task create hello --kind command --cron '*/5 * * * *' --parameters '{\"command\": \"hello\"}'\n  bellctl task create --file task.json --validate-only"
    )]
    Create(Box<CreateArgs>),
    /// Changes a task: only what is given.
    #[command(
        after_help = "Examples:\n  bellctl task update backup-daily --cron '30 2 * * *' --reason 'quieter then'\n  bellctl task show backup-daily --output json > task.json; $EDITOR task.json\n  bellctl task update backup-daily --file task.json"
    )]
    Update(Box<UpdateArgs>),
    /// Deletes a task that was created through the API.
    #[command(after_help = "Example:\n  bellctl task delete hello")]
    Delete(DeleteArgs),
    /// Drops every change that the API made to a task of the configuration or the registry.
    #[command(after_help = "Example:\n  bellctl task reset backup-daily")]
    Reset(DeleteArgs),
    /// Begins a task anew that a clock that was ahead has decided beyond now, so that its slots fire again: the last
    /// resort.
    #[command(
        after_help = "Example:\n  bellctl task realign backup-daily --reason 'the clock was a year ahead'"
    )]
    Realign(RealignArgs),
    /// Queues a run for each slot of a span of the past.
    #[command(
        after_help = "Examples:\n  bellctl task backfill report --from 2026-03-01 --to 2026-03-08 --validate-only\n  bellctl task backfill report --from -2d --to now --max 48"
    )]
    Backfill(BackfillArgs),
    /// Lists what became of a task's slots, newest first.
    #[command(
        after_help = "Examples:\n  bellctl task slots backup-daily\n  bellctl task slots backup-daily --outcome skipped-paused --outcome coalesced"
    )]
    Slots(SlotsArgs),
    /// Figures of a task's runs.
    #[command(after_help = "Example:\n  bellctl task stats backup-daily")]
    Stats {
        /// The task.
        name: TaskName,
    },
}

/// Flags of `task list`.
#[derive(Args, Debug)]
pub(crate) struct ListTasksArgs {
    /// Only tasks of this kind.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) kind: String,
    /// Only tasks of this category.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) category: String,
    /// Only tasks of this owner, as `task show` has it.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) owner: String,
    /// Only tasks that are paused; `--paused=false`: only those that are not.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) paused: Option<bool>,
    /// Only tasks whose last run failed; `--failing=false`: only those whose did not.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) failing: Option<bool>,
    /// All of each task, in JSON.
    #[arg(long)]
    pub(crate) full: bool,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// Flags of `task trigger`.
#[derive(Args, Debug)]
pub(crate) struct TriggerArgs {
    /// The task.
    pub(crate) name: TaskName,
    /// Wait until the run has ended, and exit with what it became.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Do everything but change anything.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Laid over the task's own parameters: a JSON object, or @FILE that holds one.
    #[arg(long, value_name = "JSON")]
    pub(crate) parameters: Option<String>,
    /// A value for the run, over `--parameters`; `NAME=@FILE` takes it from a file (`-`: standard input),
    /// which keeps a secret out of lists of processes.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) values: Vec<String>,
    /// Run although the task, or everything, is paused.
    #[arg(long)]
    pub(crate) ignore_pause: bool,
    /// Why, for the record.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Flags of `task pause`.
#[derive(Args, Debug)]
pub(crate) struct PauseTaskArgs {
    /// The task.
    pub(crate) name: TaskName,
    #[command(flatten)]
    pub(crate) pause: PauseArgs,
}

/// Flags of `task create`.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// The task; may be left out where the file names it.
    #[arg(required_unless_present = "file")]
    pub(crate) name: Option<TaskName>,
    /// Which code runs, such as `command`; `bellctl info` lists the kinds.
    #[arg(long, required_unless_present = "file")]
    pub(crate) kind: Option<String>,
    /// The task as canonical JSON; flags are laid over it. `-`: standard input.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// Check, and change nothing.
    #[arg(long)]
    pub(crate) validate_only: bool,
    /// Why, for the record.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
}

/// Flags of `task update`.
#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// The task.
    pub(crate) name: TaskName,
    /// Canonical JSON of what is to change; flags are laid over it. `-`: standard input.
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// Only if the task is still the one with this etag.
    #[arg(long)]
    pub(crate) etag: Option<String>,
    /// Create the task where there is none.
    #[arg(long)]
    pub(crate) allow_missing: bool,
    /// Check, and change nothing.
    #[arg(long)]
    pub(crate) validate_only: bool,
    /// Why, for the record.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
}

/// Flags of `task delete` and `task reset`.
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The task.
    pub(crate) name: TaskName,
    /// Only if the task is still the one with this etag.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) etag: String,
}

/// Flags of `task realign`.
#[derive(Args, Debug)]
pub(crate) struct RealignArgs {
    /// The task.
    pub(crate) name: TaskName,
    /// Why, for the record.
    #[arg(long)]
    pub(crate) reason: String,
    /// Only if the task is still the one with this etag.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) etag: String,
}

/// Flags of `task backfill`.
#[derive(Args, Debug)]
pub(crate) struct BackfillArgs {
    /// The task.
    pub(crate) name: TaskName,
    /// The first instant of the span, included.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from: Moment,
    /// The end of the span, excluded.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to: Moment,
    /// The zone in which times without an offset are read. Default: this machine's.
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// At most so many runs; a span with more slots is refused.
    #[arg(long, default_value_t = 100)]
    pub(crate) max: i32,
    /// A value for each run, as of `task trigger`.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(crate) values: Vec<String>,
    /// Check and count, and change nothing.
    #[arg(long)]
    pub(crate) validate_only: bool,
    /// Queue dry runs.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Why, for the record.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Flags of `task slots`.
#[derive(Args, Debug)]
pub(crate) struct SlotsArgs {
    /// The task.
    pub(crate) name: TaskName,
    /// Only rows of this outcome. May be repeated.
    #[arg(long, value_parser = choice::<SlotOutcome>())]
    pub(crate) outcome: Vec<SlotOutcome>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}
