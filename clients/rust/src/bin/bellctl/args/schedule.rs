//! `bellctl schedule`.

use clap::{Args, Subcommand};

use super::TimingArgs;
use crate::{name::TaskName, time::Moment};

/// Commands about schedules.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// When a schedule fires, saved or not.
    #[command(after_help = "\
Examples:
  bellctl schedule preview --cron '0 2 * * *' --time-zone America/New_York --after 2026-03-07
  bellctl schedule preview --every 15m --until +2h
  bellctl schedule preview --task backup-daily --count 30")]
    Preview(Box<PreviewArgs>),
}

/// Flags of `schedule preview`.
#[derive(Args, Debug)]
pub(crate) struct PreviewArgs {
    /// Only fires strictly after this time. Default: now.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) after: Option<Moment>,
    /// Only fires before this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) until: Option<Moment>,
    /// How many fires. Default: 10, or with --until 1000.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: Option<u32>,
    /// The task whose saved schedule is shown; or, where a schedule is given, the task that it is
    /// for: spread and `H` depend on its name.
    #[arg(long)]
    pub(crate) task: Option<TaskName>,
    #[command(flatten)]
    pub(crate) timing: TimingArgs,
}
