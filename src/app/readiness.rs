//! Looks again and again whether what tasks and backups need is on this host, so that what is missing is a problem at
//! once, and not first at night.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::{
    backup::{Readiness, VERIFY_TASK},
    domain::{
        Event,
        problem::{Problem, ProblemKind},
    },
    engine::Engine,
    error::Result,
    monitor::{Look, Probe, Scope},
};

const TASKS_EVERY: Duration = Duration::from_secs(30);
/// Seldom: it may open a repository.
const BACKUPS_EVERY: Duration = Duration::from_secs(300);

/// How names of tasks begin that read and write repositories.
const OF_BACKUPS: [&str; 2] = ["backup-", VERIFY_TASK];

/// Programs, users, directories and secrets of tasks.
#[derive(Debug)]
pub(super) struct TasksReady(pub(super) Engine);

/// Passwords and repositories of backups.
#[derive(Debug)]
pub(super) struct BackupsReady {
    engine: Engine,
    readiness: Readiness,
}

impl BackupsReady {
    pub(super) fn new(engine: Engine, readiness: Readiness) -> Self {
        Self { engine, readiness }
    }
}

impl Probe for TasksReady {
    fn name(&self) -> &'static str {
        "tasks_ready"
    }

    fn scope(&self) -> Scope {
        Scope::Replica
    }

    fn period(&self) -> Duration {
        TASKS_EVERY
    }

    fn may_hang(&self) -> bool {
        true
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            let found = self.0.unrunnable().await?;
            let problems = found
                .into_iter()
                .map(|(subject, why)| lacking(&self.0, ProblemKind::TaskUnrunnable, subject, &why));
            Ok(Look::of(problems.collect()))
        })
    }
}

impl Probe for BackupsReady {
    fn name(&self) -> &'static str {
        "backups_ready"
    }

    fn scope(&self) -> Scope {
        Scope::Replica
    }

    fn period(&self) -> Duration {
        BACKUPS_EVERY
    }

    fn attends_runs_of(&self) -> &'static [&'static str] {
        &OF_BACKUPS
    }

    /// What has just run has met what stands in its way.
    fn is_touched_by(&self, event: &Event) -> bool {
        let kind = event.kind.as_str();
        let of_backups = |task: &str| OF_BACKUPS.iter().any(|begin| task.starts_with(begin));
        event.task().is_some_and(of_backups) && kind.starts_with("run.") && kind != "run.progressed"
    }

    fn may_hang(&self) -> bool {
        true
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            let found = self.readiness.look().await?;
            let problems = found.into_iter().map(|unready| {
                let kind = ProblemKind::BackupUnready;
                lacking(&self.engine, kind, unready.subject, &unready.why)
            });
            Ok(Look::of(problems.collect()))
        })
    }
}

fn lacking(engine: &Engine, kind: ProblemKind, subject: String, why: &str) -> Problem {
    let message = format!("on {}: {why}", engine.replica().host);
    Problem::new(kind, subject, message, engine.clock().now())
}
