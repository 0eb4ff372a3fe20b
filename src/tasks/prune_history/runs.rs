//! Runs that their task keeps no longer: their logs go first, which may be many times as large as all else.

use jiff::Timestamp;

use super::{before, rest, turn::Turn};
use crate::{
    clock::Stopwatch,
    domain::{
        RunId, Task,
        schedule::{Schedule, just_before},
    },
    engine::{Failure, RunContext},
    store::Tx,
};

/// Drops runs of a task beyond what its policy keeps, as many as fit into its turn.
pub(super) async fn prune_runs(
    context: &RunContext,
    task: &Task,
    now: Timestamp,
    gone: &mut u64,
    turn: &mut Turn,
) -> Result<(), Failure> {
    let store = context.store();
    let ended = task.deleted_at.map(|_| task);
    let policy = &task.spec.history;
    let by_count = store.history_cutoff(task.id, policy.keep_count).await?;
    let by_age = before(now, policy.keep_for);
    let cutoff = by_count
        .map_or(by_age, |by_count| by_age.max(by_count))
        .min(two_periods_ago(task, now));
    let kept = store
        .history_kept(task.id, &task.spec.counts_as_success)
        .await?;
    while !turn.is_over() {
        let old = store.history_old(task.id, cutoff, &kept).await?;
        if old.is_empty() || context.cancel.is_cancelled() {
            return Ok(());
        }
        if context.dry_run {
            // One portion is enough to say that there is something.
            *gone += old.len() as u64;
            return Ok(());
        }
        if !delete_runs(context, ended, &old, gone, turn).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Begins a write of what is pruned; none where the task, which is to have ended, lives again, or has ended once more
/// since it was looked at.
pub(super) async fn begin(
    context: &RunContext,
    ended: Option<&Task>,
) -> Result<Option<Tx>, Failure> {
    let mut tx = context.begin().await?;
    if let Some(task) = ended {
        let found = tx.task_ended_locked(task.id).await?;
        if found.is_none_or(|found| found.deleted_at != task.deleted_at) {
            return Ok(None);
        }
    }
    Ok(Some(tx))
}

/// Deletes runs, their logs first. Says whether it came to its end.
pub(super) async fn delete_runs(
    context: &RunContext,
    ended: Option<&Task>,
    runs: &[RunId],
    gone: &mut u64,
    turn: &mut Turn,
) -> Result<bool, Failure> {
    let store = context.store();
    while let Some(bite) = store.log_bite(runs).await? {
        if context.cancel.is_cancelled() || turn.is_over() {
            return Ok(false);
        }
        let watch = Stopwatch::start();
        let Some(mut tx) = begin(context, ended).await? else {
            return Ok(false);
        };
        let rows = tx.log_drop(&bite).await?;
        tx.commit().await?;
        turn.count(rows);
        rest(context, &watch).await;
    }
    let watch = Stopwatch::start();
    let Some(mut tx) = begin(context, ended).await? else {
        return Ok(false);
    };
    let deleted = tx.runs_delete(runs).await?;
    tx.commit().await?;
    *gone += deleted;
    turn.count(deleted);
    rest(context, &watch).await;
    Ok(true)
}

/// The slot before the last but one: what a schedule's last two periods made is kept.
fn two_periods_ago(task: &Task, now: Timestamp) -> Timestamp {
    let Ok(schedule) = Schedule::parse(&task.spec.schedule, task.name.as_str(), "UTC") else {
        return Timestamp::MIN;
    };
    if schedule.is_manual() {
        return now;
    }
    let mut at = now;
    for _ in 0..3 {
        match schedule.last_between(task.created_at, just_before(at)) {
            Some(slot) => at = slot,
            // There were fewer: all of it is within two periods.
            None => return task.created_at,
        }
    }
    at
}
