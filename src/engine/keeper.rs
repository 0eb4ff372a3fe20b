//! Keeps what this replica hosts: renews leases, passes on wishes to stop, writes logs and progress.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{context::Feed, hosts::Stop, run_log::Room, runner::Runner};
use crate::{
    clock::Stopwatch,
    domain::{RunId, retry::later, run::Progress},
    error::Result,
    store::LogLine,
};

const WRITE_EVERY: Duration = Duration::from_millis(250);

/// What handlers have said, and is written in one transaction.
#[derive(Debug, Default)]
struct Page {
    room: Room,
    lines: Vec<LogLine>,
    upto: Vec<(Feed, i64)>,
    news: Vec<(RunId, i64, Progress)>,
}

impl Runner {
    /// Keeps until `over`.
    pub(super) async fn keep(self, over: CancellationToken) {
        let renew_every = self.engine.settings().lease / 3;
        let mut renew_at = later(self.engine.clock().now(), renew_every);
        let mut renewed = Stopwatch::start();
        let mut bell = self.engine.store().bells().cancel();
        let mut write = tokio::time::interval(WRITE_EVERY);
        write.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !over.is_cancelled() {
            let done = tokio::select! {
                () = over.cancelled() => return,
                () = self.engine.clock().sleep_until(renew_at) => None,
                _ = bell.changed() => Some(self.pass_on_wishes().await),
                _ = write.tick() => Some(self.write_feeds().await),
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

    async fn write_feeds(&self) -> Result<()> {
        let now = self.engine.clock().now();
        let mut page = Page::default();
        for (run, hosted) in self.hosts.all() {
            let next = hosted.feed.lines_to_write();
            if let Some(last) = next.last() {
                page.upto.push((hosted.feed.clone(), last.line));
            }
            page.room.add(&next);
            page.lines.extend(next);
            if let Some(progress) = hosted.feed.take_progress(now) {
                page.news.push((run, hosted.token, progress));
            }
            if page.room.is_full() {
                self.write_page(std::mem::take(&mut page)).await?;
            }
        }
        self.write_page(page).await
    }

    async fn write_page(&self, page: Page) -> Result<()> {
        if page.lines.is_empty() && page.news.is_empty() {
            return Ok(());
        }
        let mut tx = self.engine.store().begin().await?;
        tx.log_insert(&page.lines).await?;
        tx.runs_progress(&page.news).await?;
        tx.commit().await?;
        for (feed, line) in page.upto {
            feed.written(line);
        }
        Ok(())
    }
}
