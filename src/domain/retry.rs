//! What becomes of an attempt that did not succeed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::{
    run::{Run, RunState, reason},
    task::{Execution, RetryPolicy},
};

/// Exponential backoff with full jitter: somewhere between nothing and the bound, which doubles with
/// each attempt up to the cap. Drawn from the run's id and attempt, so that it can be told again.
///
/// Source of the rule: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
pub fn backoff(policy: &RetryPolicy, run: &Run) -> Duration {
    let doublings = u32::try_from(run.attempts_charged.clamp(1, 32) - 1).unwrap_or(0);
    let bound = policy
        .initial_backoff
        .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
        .min(policy.max_backoff);
    let mut hash = Sha256::new();
    hash.update(run.id.0.as_bytes());
    hash.update(run.attempt.to_be_bytes());
    let drawn = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&drawn[..8]);
    let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(u64::from_be_bytes(bytes) % micros.saturating_add(1))
}

/// Where a run goes after an attempt of which nobody knows the end: its replica died or was cut off.
pub fn after_lost_lease(run: &Run) -> (RunState, &'static str) {
    if run.cancellation.is_some() {
        return (RunState::Cancelled, reason::CANCEL_REQUESTED);
    }
    if run.policy.execution == Execution::AtMostOnce {
        return (RunState::Abandoned, reason::LEASE_LOST);
    }
    if attempts_left(run) {
        return (RunState::Queued, reason::LEASE_LOST);
    }
    (RunState::Failed, reason::LEASE_LOST)
}

/// Where a run goes whose attempt a drain has cut short.
pub fn after_drain(run: &Run) -> (RunState, &'static str) {
    match run.policy.execution {
        Execution::AtMostOnce => (RunState::Abandoned, reason::DRAINED),
        Execution::AtLeastOnce => (RunState::Queued, reason::DRAINED),
    }
}

/// Whether another attempt may be made. At-most-once means one, whatever the policy says.
pub fn attempts_left(run: &Run) -> bool {
    run.policy.execution == Execution::AtLeastOnce
        && run.attempts_charged < i64::from(run.policy.retry.max_attempts)
}

/// `at` plus a span; the end of time where that would be beyond it.
pub fn later(at: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.saturating_add(span).unwrap_or(Timestamp::MAX)
}

/// An instant that long before; the first there is where there is none.
pub fn earlier(at: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.saturating_sub(span).unwrap_or(Timestamp::MIN)
}
