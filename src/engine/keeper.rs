//! Keeps what this replica hosts: renews leases, passes on wishes to stop, writes logs and progress.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::runner::{Runner, Stop};
use crate::{
    domain::{RunId, retry::later, run::Progress},
    error::Result,
};

const WRITE_EVERY: Duration = Duration::from_millis(250);

impl Runner {
    /// Keeps until `over`.
    pub(super) async fn keep(self, over: CancellationToken) {
        let renew_every = self.engine.settings().lease / 3;
        let mut renew_at = later(self.engine.clock().now(), renew_every);
        let mut bell = self.engine.store().bells().cancel();
        let mut write = tokio::time::interval(WRITE_EVERY);
        write.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !over.is_cancelled() {
            let done = tokio::select! {
                () = over.cancelled() => return,
                () = self.engine.clock().sleep_until(renew_at) => {
                    renew_at = later(self.engine.clock().now(), renew_every);
                    self.renew().await
                }
                _ = bell.changed() => self.pass_on_wishes().await,
                _ = write.tick() => self.write_feeds().await,
            };
            if let Err(error) = done {
                warn!(%error, "could not keep up what is running; trying again");
                tokio::time::sleep(WRITE_EVERY).await;
            }
        }
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
        for (run, _) in held.iter().filter(|(run, _)| !kept.contains(run)) {
            // Where its end is being recorded at this moment, nobody listens any more.
            self.hosts.stop(*run, Stop::LeaseLost);
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

    async fn write_feeds(&self) -> Result<()> {
        let now = self.engine.clock().now();
        let mut lines = Vec::new();
        let mut news: Vec<(RunId, i64, Progress)> = Vec::new();
        for (run, hosted) in self.hosts.all() {
            lines.extend(hosted.feed.take_lines());
            if let Some(progress) = hosted.feed.take_progress(now) {
                news.push((run, hosted.token, progress));
            }
        }
        if lines.is_empty() && news.is_empty() {
            return Ok(());
        }
        let written = async {
            let mut tx = self.engine.store().begin().await?;
            tx.log_insert(&lines).await?;
            tx.runs_progress(&news).await?;
            tx.commit().await
        };
        let written = written.await;
        if written.is_err() {
            for (run, hosted) in self.hosts.all() {
                let own = lines
                    .iter()
                    .filter(|line| line.run == run)
                    .cloned()
                    .collect();
                hosted.feed.put_back(own);
            }
        }
        written
    }
}
