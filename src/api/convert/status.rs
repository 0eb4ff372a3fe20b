//! The status.

use super::time::{span, stamp, stamp_of};
use crate::{
    domain::{
        ReplicaId,
        clock_guard::Hold,
        problem::{self, Problem, Severity},
    },
    engine::{Drained, Round},
    monitor::Status,
    pb,
};

pub(in crate::api) fn problem_status(status: &Status) -> pb::Status {
    let small = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    pb::Status {
        overall: severity(problem::overall(&status.problems)).into(),
        check_time: Some(stamp(status.checked_at)),
        problems: status.problems.iter().map(problem).collect(),
        pause: status.pause.as_ref().map(super::pause),
        scheduler: Some(pb::SchedulerFigures {
            last_tick_time: stamp_of(status.last_tick_at),
            next_due_time: stamp_of(status.next_due_at),
            undecided_count: status.undecided,
            tzdata_version: status.tzdata_version.clone(),
            audited_row_count: count(status.audited_rows),
            uncompared_row_count: count(status.uncompared_rows),
        }),
        runner: Some(pb::RunnerFigures {
            running_count: small(status.running),
            max_running: small(status.max_running),
            queued_count: status.queue.queued,
            retry_wait_count: status.queue.retry_wait,
            oldest_queued_due_time: stamp_of(status.queue.oldest_due_at),
        }),
        database: Some(pb::DatabaseFigures {
            reachable: status.reachable,
            latency: Some(span(status.latency)),
            clock_offset: status.clock_offset.map(|offset| prost_types::Duration {
                seconds: offset.as_secs(),
                nanos: offset.subsec_nanos(),
            }),
        }),
        task_count: status.tasks.total,
        paused_task_count: status.tasks.paused,
        failing_task_count: status.tasks.failing,
        rounds: status.rounds.iter().map(round).collect(),
        backups: status.backups.as_ref().map(super::backup_statistics),
        clock_hold: status.clock_hold.as_ref().map(clock_hold),
        documents: Some(pb::DocumentFigures {
            pending_effective_count: status.documents.pending_effective,
            scheduled_obsolescence_count: status.documents.scheduled_obsolescence,
            overdue_count: status.documents.overdue,
            activated_today_count: status.documents.activated_today,
            without_content_count: status.documents.without_content,
            today: status
                .documents
                .today
                .map_or_else(String::new, |day| day.to_string()),
        }),
    }
}

pub(in crate::api) fn clock_hold(hold: &Hold) -> pb::ClockHold {
    pb::ClockHold {
        message: hold.why(),
        since_time: Some(stamp(hold.since)),
        until_time: Some(stamp(hold.until)),
    }
}

pub(in crate::api) fn drain_state(replica: ReplicaId, drained: Drained) -> pb::DrainState {
    let (drain, named) = (drained.drain, drained.names);
    pb::DrainState {
        replica: format!("replicas/{replica}"),
        drain_time: stamp_of(drain.as_ref().map(|drain| drain.since)),
        until_time: stamp_of(drain.as_ref().map(|drain| drain.until)),
        principal: drain
            .as_ref()
            .map_or_else(String::new, |drain| drain.principal.clone()),
        reason: drain.map_or_else(String::new, |drain| drain.reason),
        running_count: i32::try_from(drained.running).unwrap_or(i32::MAX),
        running: named,
    }
}

fn severity(severity: Severity) -> pb::Severity {
    match severity {
        Severity::Ok => pb::Severity::Ok,
        Severity::Warning => pb::Severity::Warning,
        Severity::Critical => pb::Severity::Critical,
    }
}

pub(in crate::api) fn problem(problem: &Problem) -> pb::Problem {
    pb::Problem {
        severity: severity(problem.severity).into(),
        r#type: problem.kind.clone(),
        subject: problem.subject.clone(),
        message: problem.message.clone(),
        action: problem.action.clone(),
        since_time: Some(stamp(problem.since)),
        replica: problem
            .replica
            .map_or_else(String::new, |id| format!("replicas/{id}")),
    }
}

fn round(round: &Round) -> pb::Round {
    pb::Round {
        name: round.name.to_owned(),
        cron: round.cron.to_owned(),
        last_ring_time: stamp_of(round.last_at),
        next_ring_time: stamp_of(round.next_at),
        ring_count: round.count,
    }
}
