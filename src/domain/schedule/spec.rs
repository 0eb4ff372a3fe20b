//! What a caller writes to say when a task runs.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::span;

/// When a task runs. At most one of `cron`, `every` and `at` is given; none means that it runs only
/// when someone triggers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleSpec {
    /// A cron expression of five fields, of six with leading seconds, or a macro such as `@daily`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// An interval of real time, anchored at the Unix epoch: `5m`, `1h30m` or `PT5M`.
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub every: Option<Duration>,
    /// How far after the epoch's multiples the interval's slots lie.
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub phase: Option<Duration>,
    /// A single instant. A fraction of a second is rounded up, so that nothing runs early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The IANA time zone a cron expression is read in; the organisation's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// No slot lies before this instant; one may lie on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Timestamp>,
    /// No slot lies after this instant; one may lie on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_at: Option<Timestamp>,
    /// How far a slot may be moved back so that many tasks do not start at once.
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub spread: Option<Duration>,
}

impl ScheduleSpec {
    /// Whether there are no slots: the task runs only when someone triggers it.
    pub fn is_by_hand(&self) -> bool {
        self.cron.is_none() && self.every.is_none() && self.at.is_none()
    }
}
