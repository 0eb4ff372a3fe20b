//! `backup`: runs a policy of backups; and `verify-backups`, `backup-cleanup` and `restore-backup`, which belong to it.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Env;
use crate::{
    backup::{self, CLEANUP_TASK, How, Job, Lasting, Made, RESTORE_TASK, VERIFY_TASK, Work},
    domain::{
        RunId, TaskName,
        backup::{Level, PolicyId, policy::BACKUP_KIND},
    },
    engine::{self, Done, Failure, Kind, RunContext},
    error::{Error, Result},
    store::Tx,
};

/// Runs a policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backup {
    policy: PolicyId,
}

/// Verifies: by the rotation, or one point.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyBackups {
    #[serde(default)]
    point: Option<Uuid>,
    #[serde(default)]
    levels: Vec<Level>,
    /// Accept what its sources have lost, and verify nothing.
    #[serde(default)]
    accept: bool,
}

/// Removes what retention lets go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BackupCleanup {
    /// Also where that is much.
    #[serde(default)]
    confirm: bool,
}

/// Restores by a plan.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestoreBackup {
    /// The hash of a plan's token; triggers set it.
    #[serde(default)]
    plan: String,
}

impl Kind for Backup {
    const NAME: &'static str = BACKUP_KIND;
    const ABOUT: &'static str = "Backs up what a policy names, and reads it back before it counts";
    type Env = Env;

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let job = job(&context);
        finished(env.backups()?.run(&job, &self.policy).await)
    }
}

impl Kind for VerifyBackups {
    const NAME: &'static str = VERIFY_TASK;
    const ABOUT: &'static str =
        "Reads a part of the repository in rotation, and drills the newest restore point";
    type Env = Env;

    fn check(&self, _env: &Env) -> Result<()> {
        if self.point.is_none() && !self.levels.is_empty() {
            let what = "expected none without a point";
            return Err(Error::invalid("parameters.levels", what));
        }
        if self.accept && (self.point.is_none() || !self.levels.is_empty()) {
            let what = "expected a point beside it, and no levels";
            return Err(Error::invalid("parameters.accept", what));
        }
        Ok(())
    }

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let (backups, job) = (env.backups()?, job(&context));
        finished(match self.point {
            None => backups.verify(&job).await,
            Some(point) if self.accept => backups.accept(&job, point).await,
            Some(point) if self.levels.is_empty() => {
                let levels = [Level::Drill, Level::Database];
                backups.verify_point(&job, point, &levels).await
            }
            Some(point) => backups.verify_point(&job, point, &self.levels).await,
        })
    }
}

impl Kind for BackupCleanup {
    const NAME: &'static str = CLEANUP_TASK;
    const ABOUT: &'static str =
        "Removes restore points that retention lets go, and frees what only they held";
    type Env = Env;

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let job = job(&context);
        finished(env.backups()?.clean_up(&job, self.confirm).await)
    }
}

impl Kind for RestoreBackup {
    const NAME: &'static str = RESTORE_TASK;
    const ABOUT: &'static str = "Restores by a plan, into a new directory or database";
    type Env = Env;

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        if self.plan.is_empty() {
            let what = "it restores by a plan: see `bellctl backup restore`";
            return Err(Failure::never(anyhow::anyhow!(what)));
        }
        let job = job(&context);
        finished(env.backups()?.run_restore(&job, &self.plan).await)
    }
}

fn job(context: &RunContext) -> Job {
    Job::new(Arc::new(OfRun(context.clone())))
}

/// What another attempt would meet again is not tried again.
fn finished(made: anyhow::Result<Made>) -> Result<Done, Failure> {
    let made = made.map_err(|error| {
        let lasting = matches!(
            error.downcast_ref::<Error>(),
            Some(
                Error::Conflict { .. }
                    | Error::Invalid { .. }
                    | Error::Several(_)
                    | Error::NotFound { .. }
            )
        ) || error.is::<Lasting>();
        match lasting {
            true => Failure::never(error),
            false => Failure::from(error),
        }
    })?;
    let mut done = match made.how {
        How::Worked => Done::worked(made.message),
        How::Nothing => Done::nothing_to_do(made.message),
        How::Partial => Done::partial(made.message),
    };
    for (name, number) in made.counters {
        done = done.count(name, number);
    }
    Ok(done)
}

/// A run, as the room of backups sees it.
struct OfRun(RunContext);

impl Work for OfRun {
    fn task(&self) -> &TaskName {
        &self.0.task
    }

    fn run(&self) -> RunId {
        self.0.run
    }

    fn attempt(&self) -> i64 {
        self.0.token
    }

    fn dry_run(&self) -> bool {
        self.0.dry_run
    }

    fn cancel(&self) -> &CancellationToken {
        &self.0.cancel
    }

    fn log(&self, line: &str) {
        self.0.log(line);
    }

    fn step(&self, step: backup::Step) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let told = engine::Step {
            phase: step.phase.to_owned(),
            done: number(step.done_bytes),
            total: number(step.total_bytes),
            files: number(step.done_files),
            remaining: step
                .remaining
                .filter(|left| *left < Duration::from_secs(86_400 * 7)),
            message: step.phase.to_owned(),
        };
        self.0.progress_of(told);
    }

    fn begin(&self) -> BoxFuture<'_, Result<Tx>> {
        Box::pin(self.0.begin())
    }
}
