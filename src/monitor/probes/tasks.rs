//! What is wrong with tasks.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    domain::{
        Event, EventKind, RunState, Task,
        problem::{Problem, ProblemKind, Severity},
    },
    engine::Engine,
    error::Result,
    monitor::probe::{Look, Probe, Scope},
};

const PERIOD: Duration = Duration::from_secs(10);
/// Failing tasks that are told, those that fail the longest.
const FAILING_SHOWN: u64 = 1000;
/// Failures in a row after which a task's trouble is grave.
const FAILURES_CRITICAL: i32 = 3;
const IN_VAIN: &str =
    "what has succeeded since did only a part, the work of an older slot, or that of other values";

/// Tasks whose runs fail, that are stale or paused, and runs that wait.
#[derive(Debug)]
pub(in crate::monitor) struct TasksProbe(pub(in crate::monitor) Engine);

impl Probe for TasksProbe {
    fn name(&self) -> &'static str {
        "tasks"
    }

    fn scope(&self) -> Scope {
        Scope::Cluster
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn is_touched_by(&self, event: &Event) -> bool {
        matches!(
            event.kind,
            EventKind::TaskUpdated
                | EventKind::TaskRealigned
                | EventKind::TaskDeleted
                | EventKind::TaskPaused
                | EventKind::TaskResumed
                | EventKind::AllPaused
                | EventKind::AllResumed
                | EventKind::RunRetryWait
                | EventKind::RunSucceeded
                | EventKind::RunFailed
                | EventKind::RunTimedOut
                | EventKind::RunCancelled
                | EventKind::RunExpired
                | EventKind::RunAbandoned
        )
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            let (store, now) = (self.0.store(), self.0.clock().now());
            let failing = store.tasks_failing(FAILING_SHOWN).await?;
            let (mut problems, again_at) = self.0.work_problems().await?;
            problems.extend(failing.iter().map(|task| failing_problem(task, now)));
            if FAILING_SHOWN <= failing.len() as u64 {
                let all = store.task_counts().await?.failing;
                let more = all.saturating_sub(i64::try_from(failing.len()).unwrap_or(i64::MAX));
                if 0 < more {
                    let what = format!("{more} more tasks are failing");
                    problems.push(Problem::new(ProblemKind::TaskFailing, "tasks", what, now));
                }
            }
            Ok(Look { problems, again_at })
        })
    }
}

fn failing_problem(task: &Task, now: Timestamp) -> Problem {
    let failures = task.health.consecutive_failures;
    let last = task.health.last_run.as_ref();
    let run = last.map_or_else(String::new, |last| {
        format!(
            "; the newest is {}/runs/{}: {}",
            task.resource_name(),
            last.run,
            last.state.as_str().replace('_', " ")
        )
    });
    let in_vain = last.is_some_and(|last| last.state == RunState::Succeeded);
    let message = match failures {
        ..1 => format!("attempts of its run fail, and it is tried again later{run}"),
        1 if in_vain => format!("a run of it has failed, and {IN_VAIN}{run}"),
        more if in_vain => format!("{more} runs of it have failed, and {IN_VAIN}{run}"),
        1 => format!("its last run has failed{run}"),
        more => format!("{more} runs in a row have failed{run}"),
    };
    let severity = if failures < FAILURES_CRITICAL {
        Severity::Warning
    } else {
        Severity::Critical
    };
    let since = task.health.failing_since.unwrap_or(now);
    Problem::new(
        ProblemKind::TaskFailing,
        task.resource_name(),
        message,
        since,
    )
    .severity(severity)
}
