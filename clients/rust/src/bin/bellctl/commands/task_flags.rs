//! Lays the flags of a schedule and of policies over a task.

use watchbell_client::pb::{CatchUp, HistoryPolicy, RetryPolicy, Schedule, Task};

use crate::{
    args::{PolicyArgs, SpecArgs, TimingArgs},
    failure::Failure,
    time::{Length, Moment},
};

/// Reads instants: on the clock of a zone, or of this machine.
pub(super) type ReadInstant<'a> =
    dyn Fn(Option<&Moment>, Option<&str>) -> Result<Option<prost_types::Timestamp>, Failure> + 'a;

/// Whether the flags change a part of a field that has parts, which are only replaced together.
pub(super) fn touches_parts(spec: &SpecArgs) -> bool {
    let policy = &spec.policy;
    touches_timing(&spec.timing)
        || touches_catch_up(policy)
        || touches_retry(policy)
        || touches_history(policy)
}

/// Lays the flags over the schedule.
pub(super) fn lay_timing(
    schedule: &mut Schedule,
    timing: &TimingArgs,
    instant: &ReadInstant<'_>,
) -> Result<(), Failure> {
    if timing.by_hand {
        *schedule = Schedule::default();
        return Ok(());
    }
    if timing.cron.is_some() || timing.every.is_some() || timing.at.is_some() {
        // One way of saying when takes the place of another.
        schedule.cron.clear();
        schedule.every = None;
        schedule.phase = None;
        schedule.at = None;
    }
    if let Some(cron) = &timing.cron {
        schedule.cron.clone_from(cron);
    }
    if let Some(zone) = &timing.time_zone {
        schedule.time_zone.clone_from(zone);
    }
    // The zone that was set before this command counts where none is given.
    let zone = Some(schedule.time_zone.clone()).filter(|zone| !zone.is_empty());
    for (flag, field) in [
        (timing.every, &mut schedule.every),
        (timing.phase, &mut schedule.phase),
        (timing.spread, &mut schedule.spread),
    ] {
        set_length(flag, field);
    }
    for (flag, field) in [
        (&timing.at, &mut schedule.at),
        (&timing.start, &mut schedule.start_time),
        (&timing.end, &mut schedule.end_time),
    ] {
        if flag.is_some() {
            *field = instant(flag.as_ref(), zone.as_deref())?;
        }
    }
    Ok(())
}

/// Lays the flags over the task's policies, and adds the fields that they touch.
pub(super) fn lay_policy(task: &mut Task, policy: &PolicyArgs, touched: &mut Vec<&'static str>) {
    if let Some(overlap) = policy.overlap {
        task.set_overlap(overlap);
        touched.push("overlap");
    }
    if let Some(execution) = policy.execution {
        task.set_execution(execution);
        touched.push("execution");
    }
    for (path, flag, field) in [
        ("late_after", policy.late_after, &mut task.late_after),
        (
            "start_deadline",
            policy.start_deadline,
            &mut task.start_deadline,
        ),
        (
            "attempt_timeout",
            policy.attempt_timeout,
            &mut task.attempt_timeout,
        ),
        (
            "progress_deadline",
            policy.progress_deadline,
            &mut task.progress_deadline,
        ),
        ("cancel_grace", policy.cancel_grace, &mut task.cancel_grace),
        ("stale_after", policy.stale_after, &mut task.stale_after),
    ] {
        if flag.is_some() {
            set_length(flag, field);
            touched.push(path);
        }
    }
    if !policy.counts_as_success.is_empty() {
        task.counts_as_success = policy
            .counts_as_success
            .iter()
            .map(|outcome| i32::from(*outcome))
            .collect();
        touched.push("counts_as_success");
    }
    if touches_catch_up(policy) {
        lay_catch_up(task.catch_up.get_or_insert_default(), policy);
        touched.push("catch_up");
    }
    if touches_retry(policy) {
        lay_retry(task.retry.get_or_insert_default(), policy);
        touched.push("retry");
    }
    if touches_history(policy) {
        lay_history(task.history.get_or_insert_default(), policy);
        touched.push("history");
    }
}

pub(super) fn lay_catch_up(catch_up: &mut CatchUp, policy: &PolicyArgs) {
    if let Some(mode) = policy.catch_up {
        // The bounds are those of ALL; they go with it.
        *catch_up = CatchUp::default();
        catch_up.set_mode(mode);
    }
    set_length(policy.catch_up_window, &mut catch_up.window);
    if let Some(max_count) = policy.catch_up_max {
        catch_up.max_count = max_count;
    }
}

fn lay_retry(retry: &mut RetryPolicy, policy: &PolicyArgs) {
    if let Some(max_attempts) = policy.max_attempts {
        retry.max_attempts = max_attempts;
    }
    set_length(policy.initial_backoff, &mut retry.initial_backoff);
    set_length(policy.max_backoff, &mut retry.max_backoff);
}

fn lay_history(history: &mut HistoryPolicy, policy: &PolicyArgs) {
    set_length(policy.keep_for, &mut history.keep_for);
    if let Some(keep_count) = policy.keep_count {
        history.keep_count = keep_count;
    }
}

fn set_length(flag: Option<Length>, field: &mut Option<prost_types::Duration>) {
    if let Some(length) = flag {
        *field = length.to_proto();
    }
}

pub(super) fn touches_timing(timing: &TimingArgs) -> bool {
    timing.by_hand
        || timing.cron.is_some()
        || timing.every.is_some()
        || timing.phase.is_some()
        || timing.at.is_some()
        || timing.time_zone.is_some()
        || timing.spread.is_some()
        || timing.start.is_some()
        || timing.end.is_some()
}

fn touches_catch_up(policy: &PolicyArgs) -> bool {
    policy.catch_up.is_some() || policy.catch_up_window.is_some() || policy.catch_up_max.is_some()
}

fn touches_retry(policy: &PolicyArgs) -> bool {
    policy.max_attempts.is_some()
        || policy.initial_backoff.is_some()
        || policy.max_backoff.is_some()
}

fn touches_history(policy: &PolicyArgs) -> bool {
    policy.keep_for.is_some() || policy.keep_count.is_some()
}
