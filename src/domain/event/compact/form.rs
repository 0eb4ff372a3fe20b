//! The messages that a run is kept as. A number is never given to another field.

use std::{collections::BTreeMap, time::Duration};

use prost::Message;

use super::words::{OUTCOMES, named, number};
use crate::domain::{
    run::RunPolicy,
    task::{Execution, RetryPolicy},
};

/// Instants are microseconds: `queued` since the epoch, the others since it was queued.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Body {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) kind: String,
    /// State, trigger, outcome and flags, as [`Word`] packs them.
    #[prost(uint32, tag = "4")]
    pub(super) word: u32,
    #[prost(int64, tag = "5")]
    pub(super) attempt: i64,
    /// Where it is not as many as `attempt`: the difference.
    #[prost(sint64, tag = "6")]
    pub(super) uncharged: i64,
    #[prost(sint32, tag = "7")]
    pub(super) priority: i32,
    #[prost(sint64, tag = "8")]
    pub(super) queued: i64,
    #[prost(sint64, optional, tag = "9")]
    pub(super) slot: Option<i64>,
    /// Since the slot, where there is one.
    #[prost(sint64, optional, tag = "10")]
    pub(super) nominal: Option<i64>,
    #[prost(sint64, tag = "11")]
    pub(super) due: i64,
    #[prost(sint64, optional, tag = "12")]
    pub(super) claim: Option<i64>,
    #[prost(sint64, optional, tag = "13")]
    pub(super) start_deadline: Option<i64>,
    #[prost(sint64, optional, tag = "14")]
    pub(super) started: Option<i64>,
    /// Where it is not `started`: since that.
    #[prost(sint64, optional, tag = "15")]
    pub(super) attempt_started: Option<i64>,
    #[prost(int64, tag = "16")]
    pub(super) version: i64,
    #[prost(sint64, optional, tag = "17")]
    pub(super) finished: Option<i64>,
    #[prost(bytes = "vec", tag = "18")]
    pub(super) lease_owner: Vec<u8>,
    #[prost(sint64, optional, tag = "19")]
    pub(super) lease_until: Option<i64>,
    #[prost(int64, tag = "20")]
    pub(super) revision: i64,
    /// Empty: the schedule.
    #[prost(string, tag = "21")]
    pub(super) principal: String,
    #[prost(string, tag = "22")]
    pub(super) reason: String,
    #[prost(string, tag = "23")]
    pub(super) message: String,
    #[prost(btree_map = "string, int64", tag = "24")]
    pub(super) counters: BTreeMap<String, i64>,
    #[prost(message, optional, tag = "25")]
    pub(super) policy: Option<Policy>,
    #[prost(message, optional, tag = "26")]
    pub(super) coalesced: Option<Missed>,
    #[prost(bytes = "vec", tag = "27")]
    pub(super) retry_of: Vec<u8>,
    #[prost(string, tag = "28")]
    pub(super) request_reason: String,
    #[prost(message, optional, tag = "29")]
    pub(super) cancellation: Option<Wish>,
    #[prost(message, optional, tag = "30")]
    pub(super) progress: Option<Step>,
}

/// Spans are nanoseconds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Policy {
    #[prost(uint32, tag = "1")]
    pub(super) max_attempts: u32,
    #[prost(uint64, tag = "2")]
    pub(super) initial_backoff: u64,
    #[prost(uint64, tag = "3")]
    pub(super) max_backoff: u64,
    #[prost(uint64, tag = "4")]
    pub(super) attempt_timeout: u64,
    #[prost(uint64, optional, tag = "5")]
    pub(super) progress_deadline: Option<u64>,
    #[prost(uint64, tag = "6")]
    pub(super) cancel_grace: u64,
    #[prost(bool, tag = "7")]
    pub(super) at_most_once: bool,
    #[prost(uint32, repeated, tag = "8")]
    pub(super) counts_as_success: Vec<u32>,
    #[prost(bool, tag = "9")]
    pub(super) given: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Missed {
    #[prost(sint64, tag = "1")]
    pub(super) first: i64,
    #[prost(sint64, tag = "2")]
    pub(super) last: i64,
    #[prost(int64, tag = "3")]
    pub(super) count: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Wish {
    #[prost(sint64, tag = "1")]
    pub(super) at: i64,
    #[prost(string, tag = "2")]
    pub(super) principal: String,
    #[prost(string, tag = "3")]
    pub(super) reason: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Step {
    #[prost(int64, tag = "1")]
    pub(super) done: i64,
    #[prost(int64, tag = "2")]
    pub(super) total: i64,
    #[prost(string, tag = "3")]
    pub(super) message: String,
    #[prost(sint64, tag = "4")]
    pub(super) at: i64,
    #[prost(string, tag = "5")]
    pub(super) phase: String,
    #[prost(int64, tag = "6")]
    pub(super) files: i64,
    #[prost(int64, optional, tag = "7")]
    pub(super) remaining_ms: Option<i64>,
}

impl Policy {
    pub(super) fn of(policy: &RunPolicy) -> Option<Self> {
        Some(Self {
            max_attempts: policy.retry.max_attempts,
            initial_backoff: nanos(policy.retry.initial_backoff)?,
            max_backoff: nanos(policy.retry.max_backoff)?,
            attempt_timeout: nanos(policy.attempt_timeout)?,
            progress_deadline: match policy.progress_deadline {
                Some(span) => Some(nanos(span)?),
                None => None,
            },
            cancel_grace: nanos(policy.cancel_grace)?,
            at_most_once: policy.execution == Execution::AtMostOnce,
            counts_as_success: policy
                .counts_as_success
                .iter()
                .map(|outcome| number(OUTCOMES, outcome))
                .collect::<Option<_>>()?,
            given: policy.given,
        })
    }

    pub(super) fn read(&self) -> Option<RunPolicy> {
        Some(RunPolicy {
            retry: RetryPolicy {
                max_attempts: self.max_attempts,
                initial_backoff: Duration::from_nanos(self.initial_backoff),
                max_backoff: Duration::from_nanos(self.max_backoff),
            },
            attempt_timeout: Duration::from_nanos(self.attempt_timeout),
            progress_deadline: self.progress_deadline.map(Duration::from_nanos),
            cancel_grace: Duration::from_nanos(self.cancel_grace),
            execution: match self.at_most_once {
                true => Execution::AtMostOnce,
                false => Execution::AtLeastOnce,
            },
            counts_as_success: self
                .counts_as_success
                .iter()
                .map(|number| named(OUTCOMES, *number))
                .collect::<Option<_>>()?,
            given: self.given,
        })
    }
}

fn nanos(span: Duration) -> Option<u64> {
    u64::try_from(span.as_nanos()).ok()
}
