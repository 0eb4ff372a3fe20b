//! Tasks, their schedules and their slots.

use super::{
    run::{outcome, state},
    time::{instant_of, span, stamp, stamp_of},
    values,
};
use crate::{
    api::task_fields,
    domain::{
        Task,
        ledger::{SlotOutcome, SlotRow},
        schedule::{Fire, ScheduleSpec, split_tzdb},
        task::{CatchUpMode, Execution, LastRun, Origin, Overlap, Pause},
    },
    error::{Result, all},
    pb,
};

/// The whole task.
pub(in crate::api) fn task(task: &Task) -> pb::Task {
    let spec = &task.spec;
    pb::Task {
        parameters: Some(values::to_struct(&spec.parameters)),
        catch_up: Some(pb::CatchUp {
            mode: match spec.catch_up.mode {
                CatchUpMode::Latest => pb::CatchUpMode::Latest,
                CatchUpMode::All => pb::CatchUpMode::All,
                CatchUpMode::None => pb::CatchUpMode::None,
            }
            .into(),
            window: spec.catch_up.window.map(span),
            max_count: spec
                .catch_up
                .max_count
                .map_or(0, |count| i32::try_from(count).unwrap_or(i32::MAX)),
        }),
        late_after: Some(span(spec.late_after)),
        start_deadline: spec.start_deadline.map(span),
        retry: Some(pb::RetryPolicy {
            max_attempts: i32::try_from(spec.retry.max_attempts).unwrap_or(i32::MAX),
            initial_backoff: Some(span(spec.retry.initial_backoff)),
            max_backoff: Some(span(spec.retry.max_backoff)),
        }),
        attempt_timeout: Some(span(spec.attempt_timeout)),
        progress_deadline: spec.progress_deadline.map(span),
        cancel_grace: Some(span(spec.cancel_grace)),
        stale_after: spec.stale_after.map(span),
        counts_as_success: spec
            .counts_as_success
            .iter()
            .map(|counts| outcome(Some(*counts)).into())
            .collect(),
        execution: match spec.execution {
            Execution::AtLeastOnce => pb::Execution::AtLeastOnce,
            Execution::AtMostOnce => pb::Execution::AtMostOnce,
        }
        .into(),
        history: Some(pb::HistoryPolicy {
            keep_for: Some(span(spec.history.keep_for)),
            keep_count: i32::try_from(spec.history.keep_count).unwrap_or(i32::MAX),
        }),
        overrides: task
            .layers
            .api
            .iter()
            .map(|(field, change)| pb::Override {
                field: task_fields::pb_path(field),
                value_json: change.value.to_string(),
                principal: change.principal.clone(),
                change_time: Some(stamp(change.at)),
                reason: change.reason.clone(),
            })
            .collect(),
        ..task_basic(task)
    }
}

/// A task as lists show it: without parameters, policies and overrides.
pub(in crate::api) fn task_basic(task: &Task) -> pb::Task {
    let spec = &task.spec;
    pb::Task {
        name: task.resource_name(),
        uid: task.id.to_string(),
        description: spec.description.clone(),
        category: spec.category.clone(),
        owner: spec.owner.clone(),
        icon: spec.icon.clone(),
        kind: spec.kind.clone(),
        schedule: Some(schedule(&spec.schedule)),
        priority: Some(i32::from(spec.priority)),
        overlap: match spec.overlap {
            Overlap::Skip => pb::OverlapPolicy::Skip,
            Overlap::BufferOne => pb::OverlapPolicy::BufferOne,
            Overlap::Allow => pb::OverlapPolicy::Allow,
        }
        .into(),
        origin: match task.layers.origin() {
            Origin::BuiltIn => pb::TaskOrigin::BuiltIn,
            Origin::Configuration => pb::TaskOrigin::Configuration,
            Origin::Owner => pb::TaskOrigin::Policy,
            Origin::Api => pb::TaskOrigin::Api,
        }
        .into(),
        revision: task.revision,
        etag: task.etag(),
        create_time: Some(stamp(task.created_at)),
        update_time: Some(stamp(task.updated_at)),
        pause: task.pause.as_ref().map(pause),
        decided_until_time: Some(stamp(task.cursor_at)),
        next_nominal_time: stamp_of(task.next_slot_at),
        next_due_time: stamp_of(task.next_due_at),
        last_run: task
            .health
            .last_run
            .as_ref()
            .map(|last| last_run(&task.resource_name(), last)),
        last_success_time: stamp_of(task.health.last_success_at),
        last_failure_time: stamp_of(task.health.last_failure_at),
        consecutive_failures: task.health.consecutive_failures,
        failing_since_time: stamp_of(task.health.failing_since),
        ..pb::Task::default()
    }
}

pub(in crate::api) fn last_run(task: &str, last: &LastRun) -> pb::LastRun {
    pb::LastRun {
        run: format!("{task}/runs/{}", last.run),
        state: state(last.state).into(),
        outcome: outcome(last.outcome).into(),
        finish_time: Some(stamp(last.finished_at)),
    }
}

pub(in crate::api) fn pause(pause: &Pause) -> pb::Pause {
    pb::Pause {
        pause_time: Some(stamp(pause.at)),
        principal: pause.principal.clone(),
        reason: pause.reason.clone(),
        until_time: stamp_of(pause.until),
        ended_count: pause.ending.as_ref().map(|ending| count(ending.tasks)),
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn schedule(spec: &ScheduleSpec) -> pb::Schedule {
    pb::Schedule {
        cron: spec.cron.clone().unwrap_or_default(),
        every: spec.every.map(span),
        phase: spec.phase.map(span),
        at: stamp_of(spec.at),
        time_zone: spec.time_zone.clone().unwrap_or_default(),
        start_time: stamp_of(spec.start_at),
        end_time: stamp_of(spec.end_at),
        spread: spec.spread.map(span),
    }
}

/// A schedule from outside; what it says is checked where it is parsed.
pub(in crate::api) fn schedule_spec(from: &pb::Schedule) -> Result<ScheduleSpec> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let duration = |field: &str, span: &Option<prost_types::Duration>| {
        span.as_ref()
            .map(|span| super::time::duration(field, span))
            .transpose()
    };
    let instant = |field: &str, at: &Option<prost_types::Timestamp>| instant_of(field, at.as_ref());
    let (every, phase, at, start_at, end_at, spread) = all((
        duration("schedule.every", &from.every),
        duration("schedule.phase", &from.phase),
        instant("schedule.at", &from.at),
        instant("schedule.start_time", &from.start_time),
        instant("schedule.end_time", &from.end_time),
        duration("schedule.spread", &from.spread),
    ))?;
    Ok(ScheduleSpec {
        cron: text(&from.cron),
        every,
        phase,
        at,
        time_zone: text(&from.time_zone),
        start_at,
        end_at,
        spread,
    })
}

pub(in crate::api) fn fire(fire: Fire) -> pb::Fire {
    pb::Fire {
        nominal_time: Some(stamp(fire.nominal_at)),
        due_time: Some(stamp(fire.due_at)),
        local_time: fire.local,
        reasons: fire.reasons,
    }
}

pub(in crate::api) fn slot(task: &str, row: &SlotRow) -> pb::Slot {
    pb::Slot {
        task: task.to_owned(),
        after_time: Some(stamp(row.after_at)),
        upto_time: Some(stamp(row.upto_at)),
        outcome: slot_outcome(row.outcome).into(),
        reason: row.reason.clone(),
        count: row.count,
        first_nominal_time: stamp_of(row.first_at),
        last_nominal_time: stamp_of(row.last_at),
        run: row
            .run_id
            .map_or_else(String::new, |run| format!("{task}/runs/{run}")),
        revision: row.revision,
        tzdata_version: split_tzdb(&row.tzdb).0.to_owned(),
        decide_time: Some(stamp(row.decided_at)),
    }
}

fn slot_outcome(outcome: SlotOutcome) -> pb::SlotOutcome {
    match outcome {
        SlotOutcome::Dispatched => pb::SlotOutcome::Dispatched,
        SlotOutcome::Coalesced => pb::SlotOutcome::Coalesced,
        SlotOutcome::SkippedOverlap => pb::SlotOutcome::SkippedOverlap,
        SlotOutcome::SkippedPaused => pb::SlotOutcome::SkippedPaused,
        SlotOutcome::SkippedCatchupNone => pb::SlotOutcome::SkippedCatchupNone,
        SlotOutcome::SkippedCatchupExpired => pb::SlotOutcome::SkippedCatchupExpired,
        SlotOutcome::SkippedCatchupCapped => pb::SlotOutcome::SkippedCatchupCapped,
        SlotOutcome::SkippedEdited => pb::SlotOutcome::SkippedEdited,
        SlotOutcome::SkippedEnded => pb::SlotOutcome::SkippedEnded,
        SlotOutcome::SkippedRestored => pb::SlotOutcome::SkippedRestored,
        SlotOutcome::Pruned => pb::SlotOutcome::Pruned,
    }
}

pub(in crate::api) fn slot_outcome_from(value: i32) -> Option<SlotOutcome> {
    let wanted = pb::SlotOutcome::try_from(value).ok()?;
    SlotOutcome::ALL
        .iter()
        .copied()
        .find(|known| slot_outcome(*known) == wanted)
}
