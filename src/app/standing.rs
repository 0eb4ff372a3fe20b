//! Whether this server's configuration is in force: judged at its start, and again and again while it is not.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::house;
use crate::{
    backup::{Backups, PolicyTasks},
    domain::{
        TaskName, configuration::Applied, problem::ProblemKind, retry::earlier, task::Fields,
    },
    engine::{Brought, Engine, Verdict},
    monitor::Monitor,
};

/// Between two looks of a server that stands back.
const EVERY: Duration = Duration::from_secs(10);
/// Between two looks of one that was in force at its start.
const SELDOM: Duration = Duration::from_secs(60);
/// Between two looks whether the clock is trusted, real time.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long servers may take to be started one after the other with a new configuration.
const TURN_WITHIN: Duration = Duration::from_secs(10 * 60);
/// How long nobody must have served the newer configuration before an older one that waits takes its place: whoever
/// serves it may only be starting anew.
const GONE_FOR: Duration = Duration::from_secs(2 * 60);

/// What brings this server's configuration into force, or has it stand back; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) engine: Engine,
    pub(super) monitor: Monitor,
    pub(super) backups: Backups,
    /// Not refused while this server stands back: it is what ends that.
    pub(super) policy_tasks: Arc<dyn PolicyTasks>,
    /// The configuration's layer of each task.
    pub(super) tasks: Arc<BTreeMap<TaskName, Fields>>,
    pub(super) brought: Arc<Brought>,
    /// The first look waits for the clock.
    pub(super) is_put_off: Arc<AtomicBool>,
}

impl Standing {
    /// The first look, at the start. This server's sign of life comes before it, so that of two that start at once one
    /// sees the other; and it is taken back where the start ends here.
    ///
    /// # Errors
    /// Where the configuration does not fit; where the database is away.
    pub(super) async fn begin(&self) -> anyhow::Result<()> {
        house::tick(&self.engine, &self.monitor).await?;
        if self.engine.held().is_some() {
            // What changes a task closes its slots up to now, which is in doubt.
            warn!("the configuration is brought into force once the clock is trusted");
            self.is_put_off.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let begun = self.look(None).await;
        if begun.is_err()
            && let Err(error) = house::leave(&self.engine).await
        {
            warn!(%error, "could not take back the sign of life of a start that failed");
        }
        begun.map(drop)
    }

    /// Looks again until `stop`: soon while this server stands back, else now and then whether it has become one that
    /// another supersedes. All of it goes by the time that passes: a clock that is set is no reason to wait, nor to go on.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (mut alone_since, mut outdated_since) = (None, None);
        while !stop.is_cancelled() {
            if self.is_put_off.load(Ordering::Relaxed) {
                stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN))
                    .await;
                if self.engine.held().is_some() {
                    continue;
                }
                match stop.run_until_cancelled(self.look(None)).await {
                    Some(Ok(_)) => self.is_put_off.store(false, Ordering::Relaxed),
                    Some(Err(error)) => {
                        warn!("the configuration is not brought into force: {error:#}");
                    }
                    None => {}
                }
                continue;
            }
            let stands_back = self.engine.stands_back();
            let every = if stands_back { EVERY } else { SELDOM };
            stop.run_until_cancelled(self.engine.clock().sleep_for(every))
                .await;
            let looked = async {
                match stands_back {
                    true => alone_since = self.look(Some(alone_since)).await?,
                    false => outdated_since = self.look_back(outdated_since).await?,
                }
                anyhow::Ok(())
            };
            // On its way out it takes nothing up.
            if let Some(Err(error)) = stop.run_until_cancelled(looked).await {
                warn!("could not see whether the configuration is in force: {error:#}");
            }
        }
    }

    /// Whether this server, which was in force and goes on, should long have been started with what others serve: told
    /// after a while, in which it may be its turn. Given and answered is since when, by the time that has passed.
    async fn look_back(&self, since: Option<Duration>) -> anyhow::Result<Option<Duration>> {
        let brought = Brought {
            apply_older: false,
            ..Brought::clone(&self.brought)
        };
        let passed = self.engine.clock().passed();
        let Verdict::Keep(newer) = self.engine.weigh(&brought).await? else {
            if since.is_some() {
                self.clear(&self.engine.subject());
            }
            return Ok(None);
        };
        let since = since.unwrap_or(passed);
        let lasts = passed.saturating_sub(since);
        if TURN_WITHIN <= lasts {
            let since = earlier(self.engine.clock().now(), lasts);
            let problem = self.engine.outdated(&newer, since);
            self.monitor.memory().raise(problem, None);
        }
        Ok(Some(since))
    }

    /// Judges, and does what follows. A server that stands back is given since when no other has served the newer
    /// configuration, and is told it again.
    async fn look(
        &self,
        stands_back: Option<Option<Duration>>,
    ) -> anyhow::Result<Option<Duration>> {
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
        stands_back: Option<Option<Duration>>,
    ) -> anyhow::Result<Option<Duration>> {
        let how = match self.engine.weigh(&self.brought).await? {
            Verdict::Keep(newer) => {
                let problem = self.engine.stand_back(&newer);
                self.monitor.memory().raise(problem, None);
                return Ok(None);
            }
            Verdict::Apply(how) => how,
        };
        if let (Applied::Rollback, Some(alone_since)) = (how, stands_back) {
            let passed = self.engine.clock().passed();
            let since = alone_since.unwrap_or(passed);
            if passed.saturating_sub(since) < GONE_FOR {
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
            self.clear(&subject);
        }
        Ok(None)
    }

    fn clear(&self, subject: &str) {
        let now = self.engine.clock().now();
        let kind = ProblemKind::ConfigurationOlder;
        self.monitor.memory().clear(kind, subject, now);
    }
}
