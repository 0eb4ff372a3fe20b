//! Writes what is left of an attempt's log before its end is recorded, in transactions as small as any of a log, each in its
//! turn: those of many long logs in the one that records their ends would hold up all others for as long.

use std::time::Duration;

use tracing::warn;

use super::{
    context::Feed,
    run_log::{BYTES_AT_ONCE, bite},
    runner::Runner,
};
use crate::{
    domain::{
        RunId,
        log::{LogChunk, Stream},
    },
    error::{Error, Result},
};

/// Bytes of an end that are left for the transaction that records it, which may record many.
const LAST_BYTES: usize = 16 << 10;
/// After an error, real time.
const AFTER_ERROR: Duration = Duration::from_millis(250);

impl Runner {
    /// Takes what an attempt has said and is not written, once nobody else is at writing of it: what stands for lines that
    /// the database does not take is not seen where others of them get there behind its back.
    pub(super) async fn take_log(&self, of: (RunId, i64), feed: &Feed) -> Vec<LogChunk> {
        let _turn = match feed.is_written() {
            true => None,
            false => self.log_turn().await,
        };
        feed.all_chunks(of)
    }

    /// Writes lines of an attempt but for the last bite, and answers what is to be recorded with its end. While the database
    /// is away it waits, as the end itself would; once the server must end, the rest goes the end's way. Lines that
    /// the database does not take keep no end from being recorded: one that counts them stands in their place.
    pub(super) async fn write_log(
        &self,
        of: (RunId, i64),
        mut chunks: Vec<LogChunk>,
    ) -> Vec<LogChunk> {
        loop {
            if bite(&chunks, LAST_BYTES) == chunks.len() {
                return chunks;
            }
            let count = bite(&chunks, BYTES_AT_ONCE).min(chunks.len() - 1);
            match self.write_bite(of, &chunks[..count]).await {
                Ok(()) => drop(chunks.drain(..count)),
                Err(error) if error.is_transient() && !self.hosts.is_draining() => {
                    warn!(%error, "could not write the log of run {}; trying again", of.0);
                    tokio::time::sleep(AFTER_ERROR).await;
                }
                Err(error) if error.is_transient() => return chunks,
                // It was taken away: whoever records the end says so.
                Err(Error::Aborted { .. }) => return Vec::new(),
                Err(error) => {
                    warn!(%error, "could not write the log of run {}", of.0);
                    return lost(&chunks);
                }
            }
        }
    }

    async fn write_bite(&self, (run, token): (RunId, i64), chunks: &[LogChunk]) -> Result<()> {
        let _turn = self.log_turn().await;
        let mut tx = self.engine.store().begin_fenced(run, token).await?;
        tx.log_insert(chunks).await?;
        tx.commit().await
    }
}

/// What stands in place of lines that could not be written. It has the number of the last of them: some may be in the
/// table all the same, where the answer to a write was lost, and it comes behind these.
pub(super) fn lost(chunks: &[LogChunk]) -> Vec<LogChunk> {
    let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else {
        return Vec::new();
    };
    let lines: i64 = chunks.iter().map(|chunk| chunk.lines).sum();
    let text = format!(
        "… the rest of this log, {lines} lines, could not be written; the server's own log says why …"
    );
    let at = first
        .read_after(0)
        .ok()
        .and_then(|lines| Some(lines.first()?.at));
    let mut stands_for = LogChunk::new((first.run, first.attempt), last.after() - 1);
    stands_for.push(at.unwrap_or_default(), Stream::Log, &text);
    vec![stands_for]
}
