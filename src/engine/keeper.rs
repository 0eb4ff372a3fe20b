//! Keeps what this replica hosts: renews leases, and passes on wishes to stop. Nothing else is done here that may take long.

use std::time::Duration;

use tokio::time::Interval;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{hosts::Stop, runner::Runner};
use crate::{
    clock::Stopwatch,
    domain::{RunId, retry::later},
    error::Result,
};

/// Between two looks at how long ago leases were renewed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Runner {
    /// Keeps until `over`.
    pub(super) async fn keep(self, over: CancellationToken) {
        let renew_every = self.engine.settings().lease / 3;
        let mut renew_at = later(self.engine.clock().now(), renew_every);
        let mut renewed = Stopwatch::start();
        let mut bell = self.engine.store().bells().cancel();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !over.is_cancelled() {
            let done = tokio::select! {
                () = over.cancelled() => return,
                () = self.engine.clock().sleep_until(renew_at) => None,
                _ = bell.changed() => Some(self.pass_on_wishes().await),
                () = self.looks(&mut look) => Some(Ok(())),
            };
            // Real time counts too: a clock that is set back must not let leases run out.
            let done = match done {
                Some(done) if renewed.elapsed() < renew_every => done,
                _ => {
                    let done = self.renew().await;
                    if done.is_ok() {
                        renewed = Stopwatch::start();
                        renew_at = later(self.engine.clock().now(), renew_every);
                    }
                    done
                }
            };
            if let Err(error) = done {
                warn!(%error, "could not keep up what is running; trying again");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Waits for the next look, which nothing asks for while nothing runs here.
    async fn looks(&self, look: &mut Interval) {
        self.hosts.are_any().await;
        look.tick().await;
    }

    /// Renews every lease; a run that is no longer ours is told to stop.
    async fn renew(&self) -> Result<()> {
        self.pass_on_wishes().await?;
        let held: Vec<(RunId, i64)> = self
            .hosts
            .all()
            .iter()
            .map(|(run, hosted)| (*run, hosted.token))
            .collect();
        if held.is_empty() {
            return Ok(());
        }
        let mut tx = self.engine.store().begin().await?;
        let replica = self.engine.replica().id;
        let kept = tx
            .leases_renew(replica, &held, self.engine.settings().lease)
            .await?;
        tx.commit().await?;
        for (run, token) in held.iter().filter(|(run, _)| !kept.contains(run)) {
            // Where its end is being recorded at this moment, nobody listens any more; and where that is
            // done, the run may have been claimed again.
            self.hosts.stop_attempt(*run, *token, Stop::LeaseLost);
        }
        Ok(())
    }

    async fn pass_on_wishes(&self) -> Result<()> {
        if self.hosts.ids().is_empty() {
            return Ok(());
        }
        for run in self
            .engine
            .store()
            .runs_to_stop(self.engine.replica().id)
            .await?
        {
            self.hosts.stop(run, Stop::Cancel);
        }
        Ok(())
    }
}
