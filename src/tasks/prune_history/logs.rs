//! Logs that are kept for less long than their runs.

use jiff::Timestamp;

use crate::{
    domain::RunId,
    engine::{Failure, RunContext},
};

/// Drops logs of runs that ended before, oldest first; counts them.
pub(super) async fn prune_logs(
    context: &RunContext,
    before: Timestamp,
    gone: &mut u64,
) -> Result<(), Failure> {
    let store = context.store();
    let mut after = RunId(uuid::Uuid::nil());
    while let Some(old) = store.logs_old(before, after).await? {
        after = old.upto;
        if context.dry_run {
            *gone += old.runs.len() as u64;
            continue;
        }
        while let Some(bite) = store.log_bite(&old.runs).await? {
            if context.cancel.is_cancelled() {
                return Ok(());
            }
            let mut tx = context.begin().await?;
            tx.log_note_dropped(&bite).await?;
            tx.log_drop(&bite).await?;
            tx.commit().await?;
        }
        *gone += old.runs.len() as u64;
    }
    Ok(())
}
