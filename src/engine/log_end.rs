//! Writes what is left of an attempt's log before its end is recorded, in transactions as small as the keeper's: those of
//! many long logs in the one that records their ends would hold up all others for as long.

use std::time::Duration;

use tracing::warn;

use super::{run_log::bite, runner::Runner};
use crate::{
    domain::RunId,
    error::{Error, Result},
    store::LogLine,
};

/// After an error, real time.
const AFTER_ERROR: Duration = Duration::from_millis(250);

impl Runner {
    /// Writes lines of an attempt but for the last bite, and answers what is to be recorded with its end. While the database
    /// is away it waits, as the end itself would; once the server must end, the rest goes the end's way. Lines that
    /// the database does not take keep no end from being recorded: one that counts them stands in their place.
    pub(super) async fn write_log(
        &self,
        of: (RunId, i64),
        mut lines: Vec<LogLine>,
    ) -> Vec<LogLine> {
        loop {
            let count = bite(&lines);
            if count == lines.len() {
                return lines;
            }
            match self.write_bite(of, &lines[..count]).await {
                Ok(()) => drop(lines.drain(..count)),
                Err(error) if error.is_transient() && !self.hosts.is_draining() => {
                    warn!(%error, "could not write the log of run {}; trying again", of.0);
                    tokio::time::sleep(AFTER_ERROR).await;
                }
                Err(error) if error.is_transient() => return lines,
                // It was taken away: whoever records the end says so.
                Err(Error::Aborted { .. }) => return Vec::new(),
                Err(error) => {
                    warn!(%error, "could not write the log of run {}", of.0);
                    return lost(&lines);
                }
            }
        }
    }

    async fn write_bite(&self, (run, token): (RunId, i64), lines: &[LogLine]) -> Result<()> {
        let mut tx = self.engine.store().begin_fenced(run, token).await?;
        tx.log_insert(lines).await?;
        tx.commit().await
    }
}

/// What stands in place of lines that could not be written.
pub(super) fn lost(lines: &[LogLine]) -> Vec<LogLine> {
    let stands_for = |first: &LogLine| LogLine {
        stream: "log".to_owned(),
        text: format!(
            "… the rest of this log, {} lines, could not be written; the server's own log says why …",
            lines.len()
        ),
        ..first.clone()
    };
    lines.first().map(stands_for).into_iter().collect()
}
