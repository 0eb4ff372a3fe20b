//! `bellctl run`.

use clap::{Args, Subcommand};
use watchbell_client::pb::{RunState, RunTrigger};

use super::PageArgs;
use crate::{
    label::choice,
    name::{RunName, TaskName},
    time::{Length, Moment},
};

/// Commands about runs. A run is `tasks/{task}/runs/{uuid}`, `{task}/{uuid}` or `{uuid}`.
#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Lists runs, newest first.
    #[command(
        after_help = "Examples:\n  bellctl run list --task backup-daily\n  bellctl run list --state failed --state timed-out --since -1d --all"
    )]
    List(ListRunsArgs),
    /// Shows a run with its attempts.
    #[command(
        after_help = "Example:\n  bellctl run show backup-daily/01977c5e-0000-7000-8000-000000000001"
    )]
    Show {
        /// The run.
        name: RunName,
    },
    /// Follows runs until it is interrupted, or the one run has ended.
    #[command(
        after_help = "Examples:\n  bellctl run watch\n  bellctl run watch --task backup-daily --output json | jq .event.type"
    )]
    Watch(WatchArgs),
    /// Waits for a run to end, and exits with what it became.
    #[command(
        after_help = "Example:\n  bellctl run wait backup-daily/01977c5e-0000-7000-8000-000000000001 --timeout 10m"
    )]
    Wait(WaitArgs),
    /// Asks a run to stop.
    #[command(
        after_help = "Example:\n  bellctl run cancel backup-daily/01977c5e-0000-7000-8000-000000000001 --wait --reason 'wrong disk'"
    )]
    Cancel(CancelArgs),
    /// Queues a new run that repeats one that has ended.
    #[command(
        after_help = "Example:\n  bellctl run retry backup-daily/01977c5e-0000-7000-8000-000000000001 --wait"
    )]
    Retry(RetryArgs),
    /// Prints the log of a run.
    #[command(
        after_help = "Examples:\n  bellctl run logs backup-daily/01977c5e-0000-7000-8000-000000000001\n  bellctl run logs 01977c5e-0000-7000-8000-000000000001 --follow --timestamps"
    )]
    Logs(LogsArgs),
}

/// Flags of `run list`.
#[derive(Args, Debug)]
pub(crate) struct ListRunsArgs {
    /// Only runs of this task.
    #[arg(long)]
    pub(crate) task: Option<TaskName>,
    /// Only runs in this state. May be repeated.
    #[arg(long, value_parser = choice::<RunState>())]
    pub(crate) state: Vec<RunState>,
    /// Only runs queued by this. May be repeated.
    #[arg(long, value_parser = choice::<RunTrigger>())]
    pub(crate) trigger: Vec<RunTrigger>,
    /// Only runs queued at this time or later.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) since: Option<Moment>,
    /// Only runs queued before this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) before: Option<Moment>,
    /// With parameters, in JSON.
    #[arg(long)]
    pub(crate) full: bool,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// Flags of `run watch`.
#[derive(Args, Debug)]
pub(crate) struct WatchArgs {
    /// Only runs of this task.
    #[arg(long, conflicts_with = "run")]
    pub(crate) task: Option<TaskName>,
    /// Only this run.
    #[arg(long)]
    pub(crate) run: Option<RunName>,
    /// Only what comes, not the runs under way.
    #[arg(long)]
    pub(crate) skip_snapshot: bool,
    /// Where to go on: `resumeToken` of a message in JSON.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "TOKEN"
    )]
    pub(crate) resume_token: String,
}

/// Flags of `run wait`.
#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// The run.
    pub(crate) name: RunName,
    /// How long to wait at most. Default: until it has ended.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) timeout: Option<Length>,
}

/// Flags of `run cancel`.
#[derive(Args, Debug)]
pub(crate) struct CancelArgs {
    /// The run.
    pub(crate) name: RunName,
    /// Wait until the run has ended. Exits with 0 once it is cancelled, with 8 where it was quicker and succeeded.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Why, for the record.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Flags of `run retry`.
#[derive(Args, Debug)]
pub(crate) struct RetryArgs {
    /// The run, which has ended.
    pub(crate) name: RunName,
    /// Wait until the new run has ended, and exit with what it became.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Run although the task, or everything, is paused.
    #[arg(long)]
    pub(crate) ignore_pause: bool,
    /// Why, for the record.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Flags of `run logs`.
#[derive(Args, Debug)]
pub(crate) struct LogsArgs {
    /// The run.
    pub(crate) name: RunName,
    /// Go on until the run has ended.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// When each line was written.
    #[arg(long)]
    pub(crate) timestamps: bool,
}
