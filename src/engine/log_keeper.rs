//! Writes what handlers say, apart from what keeps their leases: in transactions of a few hundred KiB, one at a time, in which
//! each run has its turn. Who says more than is written waits, and nobody else does.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{context::Feed, run_log::BYTES_AT_ONCE, runner::Runner};
use crate::{
    domain::{RunId, log::LogChunk, run::Progress},
    error::Result,
};

const WRITE_EVERY: Duration = Duration::from_millis(250);
/// Bytes that a run writes before the next has its turn.
const TURN_BYTES: usize = 16 << 10;

/// What handlers have said, and is written in one transaction.
#[derive(Debug, Default)]
struct Page {
    bytes: usize,
    chunks: Vec<LogChunk>,
    upto: Vec<(Feed, i64)>,
    news: Vec<(RunId, i64, Progress)>,
}

impl Runner {
    /// Writes until `over`.
    pub(super) async fn keep_logs(self, over: CancellationToken) {
        let mut write = tokio::time::interval(WRITE_EVERY);
        write.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut next = async || {
            self.hosts.are_any().await;
            write.tick().await
        };
        while over.run_until_cancelled(next()).await.is_some() {
            // Whoever has more than a turn has another once all others had theirs.
            let mut more = true;
            while more && !over.is_cancelled() {
                more = match self.write_turns().await {
                    Ok(more) => more,
                    Err(error) => {
                        warn!(%error, "could not write what runs say; trying again");
                        false
                    }
                };
            }
        }
    }

    /// Gives each run its turn; says whether one has more.
    async fn write_turns(&self) -> Result<bool> {
        let now = self.engine.clock().now();
        let mut more = false;
        let mut page = Page::default();
        // From before lines are chosen until it is noted that they are written: whoever ends an attempt meanwhile would
        // write them as well.
        let mut turn = self.log_turn().await;
        for (run, hosted) in self.hosts.all() {
            let (next, has_more) = hosted.feed.chunks_to_write(TURN_BYTES);
            more |= has_more;
            if let Some(last) = next.last() {
                page.upto.push((hosted.feed.clone(), last.after() - 1));
            }
            page.bytes += next.iter().map(|chunk| chunk.body.len()).sum::<usize>();
            page.chunks.extend(next);
            if let Some(progress) = hosted.feed.take_progress(now) {
                page.news.push((run, hosted.token, progress));
            }
            if BYTES_AT_ONCE <= page.bytes {
                self.write_page(std::mem::take(&mut page)).await?;
                drop(turn);
                turn = self.log_turn().await;
            }
        }
        self.write_page(page).await?;
        drop(turn);
        Ok(more)
    }

    async fn write_page(&self, page: Page) -> Result<()> {
        if page.chunks.is_empty() && page.news.is_empty() {
            return Ok(());
        }
        let Err(error) = self.try_write_page(&page.chunks, &page.news).await else {
            page.upto
                .iter()
                .for_each(|(feed, line)| feed.written(*line));
            return Ok(());
        };
        if error.is_transient() || page.upto.len() < 2 {
            return Err(error);
        }
        // What the database does not take of one keeps back no other's.
        warn!(%error, "could not write what several runs say; writing one by one");
        let mut chunks = page.chunks.as_slice();
        for (feed, line) in page.upto {
            let of_this = chunks
                .iter()
                .take_while(|chunk| chunk.run == chunks[0].run)
                .count();
            let (own, others) = chunks.split_at(of_this);
            chunks = others;
            match self.try_write_page(own, &[]).await {
                Ok(()) => feed.written(line),
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => warn!(%error, "could not write what a run says"),
            }
        }
        Ok(())
    }

    async fn try_write_page(
        &self,
        chunks: &[LogChunk],
        news: &[(RunId, i64, Progress)],
    ) -> Result<()> {
        let mut tx = self.engine.store().begin().await?;
        tx.log_insert(chunks).await?;
        tx.runs_progress(news).await?;
        tx.commit().await
    }

    /// The turn to write to logs: one transaction at a time stands before what renews leases.
    pub(super) async fn log_turn(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        // It is never closed.
        self.log_turn.acquire().await.ok()
    }
}
