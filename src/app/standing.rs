//! Whether this server's configuration is in force: judged at its start, and again and again while it is not.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::house;
use crate::{
    backup::{Backups, PolicyTasks},
    domain::{TaskName, configuration::Applied, problem::ProblemKind, retry::later},
    engine::{Brought, Engine, Verdict},
    monitor::Monitor,
};

/// Between two looks of a server that stands back.
const EVERY: Duration = Duration::from_secs(10);
/// How long nobody must have served the newer configuration before an older one that waits takes its place: whoever
/// serves it may only be starting anew.
const GONE_FOR: SignedDuration = SignedDuration::from_mins(2);

/// What brings this server's configuration into force, or has it stand back; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) engine: Engine,
    pub(super) monitor: Monitor,
    pub(super) backups: Backups,
    /// Not refused while this server stands back: it is what ends that.
    pub(super) policy_tasks: Arc<dyn PolicyTasks>,
    /// The configuration's layer of each task.
    pub(super) tasks: Arc<BTreeMap<TaskName, Map<String, Value>>>,
    pub(super) brought: Arc<Brought>,
}

impl Standing {
    /// The first look, at the start. This server's sign of life comes before it, so that of two that start at once one
    /// sees the other; and it is taken back where the start ends here.
    ///
    /// # Errors
    /// Where the configuration does not fit; where the database is away.
    pub(super) async fn begin(&self) -> anyhow::Result<()> {
        house::tick(&self.engine, &self.monitor).await?;
        let begun = self.look(None).await;
        if begun.is_err()
            && let Err(error) = house::leave(&self.engine).await
        {
            warn!(%error, "could not take back the sign of life of a start that failed");
        }
        begun.map(drop)
    }

    /// Looks again, until `stop`, while this server stands back.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut alone_since = None;
        while self.engine.stands_back() && !stop.is_cancelled() {
            let wake_at = later(self.engine.clock().now(), EVERY);
            stop.run_until_cancelled(self.engine.clock().sleep_until(wake_at))
                .await;
            if stop.is_cancelled() {
                return;
            }
            match self.look(Some(alone_since)).await {
                Ok(since) => alone_since = since,
                Err(error) => {
                    warn!("could not see whether the configuration is in force: {error:#}");
                }
            }
        }
        stop.cancelled().await;
    }

    /// Judges, and does what follows. A server that stands back is given since when no other has served the newer
    /// configuration, and is told it again.
    async fn look(
        &self,
        stands_back: Option<Option<Timestamp>>,
    ) -> anyhow::Result<Option<Timestamp>> {
        let turn = self.engine.store().turn_to_configure().await?;
        if turn.is_none() {
            warn!(
                "another server has been bringing its configuration into force for long; going on beside it"
            );
        }
        let done = self.look_alone(stands_back).await;
        if let Some(turn) = turn {
            turn.end().await;
        }
        done
    }

    async fn look_alone(
        &self,
        stands_back: Option<Option<Timestamp>>,
    ) -> anyhow::Result<Option<Timestamp>> {
        let how = match self.engine.weigh(&self.brought).await? {
            Verdict::Keep(newer) => {
                let problem = self.engine.stand_back(&newer);
                self.monitor.memory().raise(problem, None);
                return Ok(None);
            }
            Verdict::Apply(how) => how,
        };
        if let (Applied::Rollback, Some(alone_since)) = (how, stands_back) {
            let now = self.engine.clock().now();
            let since = alone_since.unwrap_or(now);
            if now.duration_since(since) < GONE_FOR {
                return Ok(Some(since));
            }
        }
        let owners = self.backups.owners().await?;
        self.engine
            .reconcile(&self.tasks, &self.brought, how, &owners)
            .await
            .context("the configuration does not fit")?;
        self.backups.align(&*self.policy_tasks).await?;
        if let Some(subject) = self.engine.take_part() {
            let now = self.engine.clock().now();
            let kind = ProblemKind::ConfigurationOlder;
            self.monitor.memory().clear(kind, &subject, now);
        }
        Ok(None)
    }
}
