//! One execution of a task, and the states it may pass through.
//!
//! ```text
//! QUEUED ──claimed──▶ RUNNING ──finished──▶ SUCCEEDED
//!   │ ▲                │ │ └──last attempt──▶ FAILED, TIMED_OUT
//!   │ └── retry due ── RETRY_WAIT ◀─attempts left
//!   │ └── lease lost, drained ──┘
//!   ├── start deadline ─▶ EXPIRED        cancel ─▶ CANCELLED
//!   └── at-most-once, end unknown ─▶ ABANDONED
//! ```

mod done_for;

use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    id::{ReplicaId, RunId, TaskId, TaskName},
    span,
    task::{Execution, RetryPolicy, TaskSpec},
};
use crate::domain::text::text_enum;

text_enum! {
    /// Where a run stands.
    RunState {
        Queued = "queued",
        Running = "running",
        RetryWait = "retry_wait",
        Succeeded = "succeeded",
        Failed = "failed",
        TimedOut = "timed_out",
        Cancelled = "cancelled",
        Expired = "expired",
        Abandoned = "abandoned",
    }
}

text_enum! {
    /// What a run that succeeded did.
    Outcome {
        Worked = "worked",
        NothingToDo = "nothing_to_do",
        Partial = "partial",
    }
}

text_enum! {
    /// What queued a run.
    Trigger {
        Schedule = "schedule",
        Manual = "manual",
        Retry = "retry",
        Backfill = "backfill",
    }
}

impl RunState {
    /// Whether a run in this state has ended for good.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::RetryWait => false,
            Self::Succeeded
            | Self::Failed
            | Self::TimedOut
            | Self::Cancelled
            | Self::Expired
            | Self::Abandoned => true,
        }
    }

    /// Whether the work was due and did not happen.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Failed | Self::TimedOut | Self::Expired | Self::Abandoned => true,
            Self::Queued | Self::Running | Self::RetryWait | Self::Succeeded | Self::Cancelled => {
                false
            }
        }
    }
}

impl Outcome {
    /// Whether all of the work that was due is done: what a full success is, for a task's health and freshness, for
    /// figures and for what history is kept. A partial one is only where its task says so (`also`); that there was
    /// nothing to do is one.
    pub fn is_full(self, also: &[Self]) -> bool {
        match self {
            Self::Worked | Self::NothingToDo => true,
            Self::Partial => also.contains(&self),
        }
    }
}

/// Why a run is in its state, where that is worth a word. Stable: callers match on them.
pub mod reason {
    pub const ERROR: &str = "ERROR";
    pub const PANIC: &str = "PANIC";
    pub const ATTEMPT_TIMEOUT: &str = "ATTEMPT_TIMEOUT";
    pub const NO_PROGRESS: &str = "NO_PROGRESS";
    /// An answer to a request was larger than its bound.
    pub const ANSWER_TOO_LARGE: &str = "ANSWER_TOO_LARGE";
    /// An answer to a request ended before it was complete.
    pub const ANSWER_BROKEN_OFF: &str = "ANSWER_BROKEN_OFF";
    /// An answer to a request did not say where it ends: whether it is whole is not known. The run is PARTIAL.
    pub const ANSWER_END_UNKNOWN: &str = "ANSWER_END_UNKNOWN";
    /// A request was not answered, or not completely, within its timeout.
    pub const ANSWER_TIMEOUT: &str = "ANSWER_TIMEOUT";
    /// A file, a user or a name that it needs was not answered for in time: a mount or a directory of users is away.
    pub const HOST_HANGS: &str = "HOST_HANGS";
    pub const LEASE_LOST: &str = "LEASE_LOST";
    pub const DRAINED: &str = "DRAINED";
    pub const CANCEL_REQUESTED: &str = "CANCEL_REQUESTED";
    pub const CANCEL_FORCED: &str = "CANCEL_FORCED";
    pub const START_DEADLINE: &str = "START_DEADLINE";
    /// A catch-up run was still queued when the next slot came: not a failure.
    pub const SUPERSEDED_BY_SLOT: &str = "SUPERSEDED_BY_SLOT";
    /// It was under way when the backup was made that the instance was restored from.
    pub const RESTORED: &str = "RESTORED";
}

/// The policies of a run, as they were when it was queued: a later edit does not reach it.
///
/// The usual ones, which most runs have, are not written out where runs are kept and told: what is missing
/// is as it is by default. So a default that changes needs a migration of the runs that have not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunPolicy {
    pub retry: RetryPolicy,
    #[serde(with = "span::required")]
    pub attempt_timeout: Duration,
    #[serde(with = "span::optional")]
    pub progress_deadline: Option<Duration>,
    #[serde(with = "span::required")]
    pub cancel_grace: Duration,
    pub execution: Execution,
    /// Outcomes that count as a full success besides those that always do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counts_as_success: Vec<Outcome>,
    /// Whether its order gave it values that its task has not: then it does none of the work that slots ask for.
    #[serde(skip_serializing_if = "is_false")]
    pub given: bool,
}

impl Default for RunPolicy {
    fn default() -> Self {
        TaskSpec::default().run_policy()
    }
}

impl RunPolicy {
    /// Whether it is what tasks have by default.
    pub fn is_usual(&self) -> bool {
        static USUAL: LazyLock<RunPolicy> = LazyLock::new(RunPolicy::default);
        *self == *USUAL
    }
}

/// Missed slots for which a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coalesced {
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub count: i64,
}

/// A wish that a run stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    pub at: Timestamp,
    pub principal: String,
    pub reason: String,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub done: i64,
    /// 0 where unknown.
    pub total: i64,
    pub message: String,
    pub at: Timestamp,
    /// The step that it is at, where there are several; `done` and `total` are of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub phase: String,
    /// Files done in this step, where units are bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub files: i64,
    /// Milliseconds that the step may still take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<i64>,
}

/// An attempt that has ended, where it was not the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub attempt: i64,
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub replica: Option<ReplicaId>,
    pub reason: String,
    pub message: String,
}

/// One execution of a task. As JSON it is what events carry: everything but what a handler is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub task_id: TaskId,
    pub task: TaskName,
    pub kind: String,
    pub trigger: Trigger,
    pub state: RunState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, i64>,
    /// The fencing token, and the number of the newest attempt: a claim adds one.
    pub attempt: i64,
    /// Attempts that count against the maximum: a drained one does not.
    pub attempts_charged: i64,
    pub priority: i16,
    #[serde(skip)]
    pub parameters: Map<String, Value>,
    #[serde(default, skip_serializing_if = "RunPolicy::is_usual")]
    pub policy: RunPolicy,
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// Whether it may not run beside another run of its task.
    pub solo: bool,
    /// The slot it was queued for by the scheduler; unique within the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nominal_at: Option<Timestamp>,
    pub due_at: Timestamp,
    pub queued_at: Timestamp,
    /// From when it may be claimed, or its retry is due; none while it stands in line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_deadline_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_owner: Option<ReplicaId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coalesced: Option<Coalesced>,
    /// Whether it was queued for a missed slot.
    #[serde(default, skip_serializing_if = "is_false")]
    pub catch_up: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RunId>,
    pub principal: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    pub revision: i64,
    /// Counts the changes of this run, from 1.
    pub version: i64,
}

impl Run {
    /// `tasks/{task}/runs/{run}`.
    pub fn resource_name(&self) -> String {
        format!("tasks/{}/runs/{}", self.task, self.id)
    }

    /// Whether it succeeded in full: see [`Outcome::is_full`]. A dry run never does.
    pub fn is_full_success(&self) -> bool {
        self.state == RunState::Succeeded
            && !self.dry_run
            && self
                .outcome
                .is_some_and(|outcome| outcome.is_full(&self.policy.counts_as_success))
    }

    /// Whether an attempt before the present one may have ended. None has where the first is under way, or ended with
    /// success: most runs, of which nothing need be read to know that.
    pub fn may_have_been_tried_before(&self) -> bool {
        let went_through = matches!(self.state, RunState::Running | RunState::Succeeded);
        0 < self.attempt && !(self.attempt == 1 && went_through)
    }

    /// Whether its task's health depends on how it ended.
    pub fn counts(&self) -> bool {
        !self.dry_run && ![reason::SUPERSEDED_BY_SLOT, reason::RESTORED].contains(&&*self.reason)
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_false(truth: &bool) -> bool {
    !truth
}
