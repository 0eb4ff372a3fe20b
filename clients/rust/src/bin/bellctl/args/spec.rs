//! The flags that say what a task is.

use clap::{Args, builder::NonEmptyStringValueParser};
use watchbell_client::pb::{CatchUpMode, Execution, OverlapPolicy, RunOutcome};

use crate::{
    label::choice,
    time::{Length, Moment},
};

/// When something is due.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Schedule")]
pub(crate) struct TimingArgs {
    /// A cron line of 5 fields, or of 6 with leading seconds, or a macro such as @daily.
    #[arg(long, group = "when", value_name = "LINE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cron: Option<String>,
    /// Every so long, such as `15m`.
    #[arg(long, group = "when", value_name = "LENGTH")]
    pub(crate) every: Option<Length>,
    /// Shifts --every from its anchor, the Unix epoch.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) phase: Option<Length>,
    /// Once, at this time.
    #[arg(long, group = "when", value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) at: Option<Moment>,
    /// No schedule: the task runs only when it is triggered.
    #[arg(long, group = "when")]
    pub(crate) by_hand: bool,
    /// The zone of the schedule, such as Europe/Paris. Times without an offset are read in it.
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// Each fire is due up to so long after its nominal time.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) spread: Option<Length>,
    /// No fire lies before this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) start: Option<Moment>,
    /// No fire lies after this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) end: Option<Moment>,
}

/// What a task is.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Task")]
pub(crate) struct SpecArgs {
    /// For people.
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Groups tasks for people.
    #[arg(long)]
    pub(crate) category: Option<String>,
    /// Whose it is: a person or an address. "": nobody's.
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// One emoji.
    #[arg(long)]
    pub(crate) icon: Option<String>,
    /// What the kind is told: a JSON object, or @FILE that holds one.
    #[arg(long, value_name = "JSON")]
    pub(crate) parameters: Option<String>,
    /// 0 to 9; 9 is served first.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..=9))]
    pub(crate) priority: Option<i32>,
    #[command(flatten)]
    pub(crate) timing: TimingArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
}

/// By which policies a task runs.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Policies")]
pub(crate) struct PolicyArgs {
    /// What happens to a slot while an earlier run is not finished.
    #[arg(long, value_parser = choice::<OverlapPolicy>())]
    pub(crate) overlap: Option<OverlapPolicy>,
    /// Which missed slots run; `all` needs --catch-up-window and --catch-up-max.
    #[arg(long, value_parser = choice::<CatchUpMode>())]
    pub(crate) catch_up: Option<CatchUpMode>,
    /// How far back `--catch-up all` looks.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) catch_up_window: Option<Length>,
    /// How many slots `--catch-up all` runs.
    #[arg(long, value_name = "COUNT")]
    pub(crate) catch_up_max: Option<i32>,
    /// How long after its due time a slot counts as missed.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) late_after: Option<Length>,
    /// How long a run may stay queued.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) start_deadline: Option<Length>,
    /// How long one attempt may take.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) attempt_timeout: Option<Length>,
    /// How long an attempt may go without progress or output.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) progress_deadline: Option<Length>,
    /// How long a run that was asked to stop may take.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) cancel_grace: Option<Length>,
    /// How long after it was due work may still be on its way before the task counts as stale.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) stale_after: Option<Length>,
    /// Outcomes that count as a full success besides worked and nothing-to-do.
    #[arg(long, value_name = "OUTCOME", value_parser = choice::<RunOutcome>(), value_delimiter = ',')]
    pub(crate) counts_as_success: Vec<RunOutcome>,
    /// Attempts in all.
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_attempts: Option<i32>,
    /// Upper bound of the first wait between attempts.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) initial_backoff: Option<Length>,
    /// Upper bound of every wait between attempts.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) max_backoff: Option<Length>,
    /// Whether an attempt that may have run is repeated.
    #[arg(long, value_parser = choice::<Execution>())]
    pub(crate) execution: Option<Execution>,
    /// Finished runs older than this are pruned.
    #[arg(long, value_name = "LENGTH")]
    pub(crate) keep_for: Option<Length>,
    /// Finished runs beyond this many are pruned.
    #[arg(long, value_name = "COUNT")]
    pub(crate) keep_count: Option<i32>,
}
