//! A catalogue entry: what is run, when, and by which policies.

mod check;
mod course;
mod facets;
mod fields;
mod freshness;
mod layers;
mod pause;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::{
    check::{OWNER_MAX, check_parameters},
    course::Course,
    facets::{Facets, Lower, fingerprint, work},
    fields::Fields,
    freshness::{BOUND_MIN, CLOCKS_DIFFER, Freshness, LOOKED_AT_WITHIN, bound},
    layers::{Layers, Origin, Override, Owner, is_owned},
    pause::{Asking, Ending, Pause},
};
use super::{
    id::{RunId, TaskId, TaskName},
    run::{Outcome, RunPolicy, RunState},
    schedule::ScheduleSpec,
    span,
    text::text_enum,
};

text_enum! {
    /// What happens to a slot while an earlier run of the task is not finished.
    Overlap {
        Skip = "skip",
        BufferOne = "buffer_one",
        Allow = "allow",
    }
}

text_enum! {
    /// Which missed slots run.
    CatchUpMode {
        Latest = "latest",
        All = "all",
        None = "none",
    }
}

text_enum! {
    /// Whether an attempt that may have run is repeated.
    Execution {
        AtLeastOnce = "at_least_once",
        AtMostOnce = "at_most_once",
    }
}

/// What happens to missed slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatchUp {
    pub mode: CatchUpMode,
    /// `all`: how far back.
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub window: Option<Duration>,
    /// `all`: how many, the newest first to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_count: Option<u32>,
}

/// Which failed attempts are repeated, and when: exponential backoff with full jitter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    pub max_attempts: u32,
    #[serde(with = "span::required")]
    pub initial_backoff: Duration,
    #[serde(with = "span::required")]
    pub max_backoff: Duration,
}

/// How much history is kept; never less than two periods, the last success and the last failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryPolicy {
    #[serde(with = "span::required")]
    pub keep_for: Duration,
    pub keep_count: u32,
}

/// What a task is told to be: the layers, merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskSpec {
    pub description: String,
    pub category: String,
    /// A person or an address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    pub icon: String,
    pub kind: String,
    pub parameters: Map<String, Value>,
    pub schedule: ScheduleSpec,
    pub priority: i16,
    pub overlap: Overlap,
    pub catch_up: CatchUp,
    #[serde(with = "span::required")]
    pub late_after: Duration,
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub start_deadline: Option<Duration>,
    pub retry: RetryPolicy,
    #[serde(with = "span::required")]
    pub attempt_timeout: Duration,
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub progress_deadline: Option<Duration>,
    #[serde(with = "span::required")]
    pub cancel_grace: Duration,
    pub execution: Execution,
    pub history: HistoryPolicy,
    /// How long after it was due work may still be on its way before the task counts as stale.
    #[serde(with = "span::optional", skip_serializing_if = "Option::is_none")]
    pub stale_after: Option<Duration>,
    /// Outcomes that count as a full success besides those that always do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counts_as_success: Vec<Outcome>,
}

/// How long attempts of a run may fail, with its next try still to come, before its task counts as failing.
pub const FAILING_AFTER: Duration = Duration::from_secs(300);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for CatchUp {
    fn default() -> Self {
        Self {
            mode: CatchUpMode::Latest,
            window: None,
            max_count: None,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(300),
        }
    }
}

impl Default for HistoryPolicy {
    fn default() -> Self {
        Self {
            keep_for: 90 * DAY,
            keep_count: 10_000,
        }
    }
}

impl Default for TaskSpec {
    fn default() -> Self {
        Self {
            description: String::new(),
            category: String::new(),
            owner: String::new(),
            icon: String::new(),
            kind: String::new(),
            parameters: Map::new(),
            schedule: ScheduleSpec::default(),
            priority: 5,
            overlap: Overlap::Skip,
            catch_up: CatchUp::default(),
            late_after: Duration::from_secs(60),
            start_deadline: None,
            retry: RetryPolicy::default(),
            attempt_timeout: Duration::from_secs(3600),
            progress_deadline: None,
            cancel_grace: Duration::from_secs(10),
            execution: Execution::AtLeastOnce,
            history: HistoryPolicy::default(),
            stale_after: None,
            counts_as_success: Vec::new(),
        }
    }
}

impl TaskSpec {
    /// The policies that a run queued now carries with it.
    pub fn run_policy(&self) -> RunPolicy {
        RunPolicy {
            retry: self.retry.clone(),
            attempt_timeout: self.attempt_timeout,
            progress_deadline: self.progress_deadline,
            cancel_grace: self.cancel_grace,
            execution: self.execution,
            counts_as_success: self.counts_as_success.clone(),
            given: false,
        }
    }
}

/// How a task's newest finished run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    pub run: RunId,
    pub state: RunState,
    pub outcome: Option<Outcome>,
    pub finished_at: Timestamp,
}

/// How a task has fared: what its finished runs leave on its row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub last_run: Option<LastRun>,
    pub last_success_at: Option<Timestamp>,
    pub last_failure_at: Option<Timestamp>,
    /// Runs that have failed since the last full success.
    pub consecutive_failures: i32,
    /// Since when runs have failed without a full success since, or attempts of a run that is tried again only
    /// long after: the task is failing while this is set.
    pub failing_since: Option<Timestamp>,
    /// The run of which attempts have failed and that is tried again, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrying: Option<RunId>,
}

/// A task as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    pub name: TaskName,
    pub spec: Arc<TaskSpec>,
    pub layers: Layers,
    /// Counts changes of the specification, from 1.
    pub revision: i64,
    /// Counts changes of any kind but those of a run, from 1: the etag.
    pub version: i64,
    /// The instant up to which every slot is decided.
    pub cursor_at: Timestamp,
    /// The next slot, and when it is due; none where there is none to come.
    pub next_slot_at: Option<Timestamp>,
    pub next_due_at: Option<Timestamp>,
    /// The rules by which these were found: see [`Course::rules`].
    #[serde(default, skip)]
    pub rules: i64,
    pub pause: Option<Pause>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
    /// The instant up to which the auditor has checked the ledger.
    pub audited_at: Timestamp,
    pub health: Health,
    #[serde(default)]
    pub freshness: Freshness,
}

impl Task {
    /// `tasks/{task}`.
    pub fn resource_name(&self) -> String {
        format!("tasks/{}", self.name)
    }

    /// When the scheduler has to look at it next.
    pub fn wake_at(&self) -> Option<Timestamp> {
        course::wake_at(self.pause.as_ref(), self.next_due_at)
    }

    pub fn etag(&self) -> String {
        format!("{}-{}", self.id.0.simple(), self.version)
    }
}
