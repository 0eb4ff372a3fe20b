//! Runs.

use super::time::{span, stamp, stamp_of};
use crate::{
    domain::{
        Outcome, Run, RunState, Trigger,
        run::{Attempt, Progress},
        sealed,
    },
    pb,
};

/// A run with its attempts and parameters.
pub(in crate::api) fn run(run: &Run, attempts: Vec<Attempt>) -> pb::Run {
    let name = format!("tasks/{}", run.task);
    pb::Run {
        parameters: Some(super::values::to_struct(&sealed::shown(&run.parameters))),
        attempts: attempts.into_iter().map(attempt).collect(),
        task: name,
        ..run_basic(run)
    }
}

/// A run as lists and watches show it.
pub(in crate::api) fn run_basic(run: &Run) -> pb::Run {
    let task = format!("tasks/{}", run.task);
    pb::Run {
        name: run.resource_name(),
        kind: run.kind.clone(),
        trigger: trigger(run.trigger).into(),
        state: state(run.state).into(),
        outcome: outcome(run.outcome).into(),
        reason: run.reason.clone(),
        message: run.message.clone(),
        counters: run.counters.clone().into_iter().collect(),
        attempt: i32::try_from(run.attempt).unwrap_or(i32::MAX),
        max_attempts: i32::try_from(run.policy.retry.max_attempts).unwrap_or(i32::MAX),
        attempts: Vec::new(),
        priority: i32::from(run.priority),
        parameters: None,
        dry_run: run.dry_run,
        nominal_time: stamp_of(run.nominal_at),
        due_time: Some(stamp(run.due_at)),
        queue_time: Some(stamp(run.queued_at)),
        start_time: stamp_of(run.started_at),
        finish_time: stamp_of(run.finished_at),
        start_deadline_time: stamp_of(run.start_deadline_at),
        retry_time: stamp_of(run.claim_at.filter(|_| run.state == RunState::RetryWait)),
        coalesced: run.coalesced.map(|coalesced| pb::Coalesced {
            first_nominal_time: Some(stamp(coalesced.first_at)),
            last_nominal_time: Some(stamp(coalesced.last_at)),
            count: coalesced.count,
        }),
        retry_of: run
            .retry_of
            .map_or_else(String::new, |id| format!("{task}/runs/{id}")),
        principal: run.principal.clone(),
        request_reason: run.request_reason.clone(),
        cancellation: run.cancellation.as_ref().map(|wish| pb::Cancellation {
            request_time: Some(stamp(wish.at)),
            principal: wish.principal.clone(),
            reason: wish.reason.clone(),
        }),
        progress: run.progress.as_ref().map(progress),
        replica: run
            .lease_owner
            .map_or_else(String::new, |id| format!("replicas/{id}")),
        version: run.version,
        log_drop_time: None,
        task,
    }
}

fn attempt(attempt: Attempt) -> pb::Attempt {
    pb::Attempt {
        attempt: i32::try_from(attempt.attempt).unwrap_or(i32::MAX),
        start_time: Some(stamp(attempt.started_at)),
        finish_time: Some(stamp(attempt.finished_at)),
        replica: attempt
            .replica
            .map_or_else(String::new, |id| format!("replicas/{id}")),
        reason: attempt.reason,
        message: attempt.message,
    }
}

fn progress(progress: &Progress) -> pb::Progress {
    pb::Progress {
        done: progress.done,
        total: progress.total,
        message: progress.message.clone(),
        update_time: Some(stamp(progress.at)),
        phase: progress.phase.clone(),
        files: progress.files,
        remaining: progress
            .remaining_ms
            .map(|left| span(std::time::Duration::from_millis(left.max(0).unsigned_abs()))),
    }
}

pub(super) fn state(state: RunState) -> pb::RunState {
    match state {
        RunState::Queued => pb::RunState::Queued,
        RunState::Running => pb::RunState::Running,
        RunState::RetryWait => pb::RunState::RetryWait,
        RunState::Succeeded => pb::RunState::Succeeded,
        RunState::Failed => pb::RunState::Failed,
        RunState::TimedOut => pb::RunState::TimedOut,
        RunState::Cancelled => pb::RunState::Cancelled,
        RunState::Expired => pb::RunState::Expired,
        RunState::Abandoned => pb::RunState::Abandoned,
    }
}

pub(super) fn outcome(outcome: Option<Outcome>) -> pb::RunOutcome {
    match outcome {
        None => pb::RunOutcome::Unspecified,
        Some(Outcome::Worked) => pb::RunOutcome::Worked,
        Some(Outcome::NothingToDo) => pb::RunOutcome::NothingToDo,
        Some(Outcome::Partial) => pb::RunOutcome::Partial,
    }
}

fn trigger(trigger: Trigger) -> pb::RunTrigger {
    match trigger {
        Trigger::Schedule => pb::RunTrigger::Schedule,
        Trigger::Manual => pb::RunTrigger::Manual,
        Trigger::Retry => pb::RunTrigger::Retry,
        Trigger::Backfill => pb::RunTrigger::Backfill,
    }
}

/// A state from outside; none where it says nothing.
pub(in crate::api) fn run_state_from(value: i32) -> Option<RunState> {
    let wanted = pb::RunState::try_from(value).ok()?;
    RunState::ALL
        .iter()
        .copied()
        .find(|known| state(*known) == wanted)
}

pub(in crate::api) fn run_trigger_from(value: i32) -> Option<Trigger> {
    let wanted = pb::RunTrigger::try_from(value).ok()?;
    Trigger::ALL
        .iter()
        .copied()
        .find(|known| trigger(*known) == wanted)
}
