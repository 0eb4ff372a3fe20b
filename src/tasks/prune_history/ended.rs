//! What is left of tasks that were deleted.

use jiff::Timestamp;

use super::{
    before,
    failed::Failed,
    gone::Gone,
    runs::{begin, delete_runs, prune_runs},
    turn::Turn,
};
use crate::{
    config::HistoryConfig,
    domain::Task,
    engine::{Failure, RunContext},
};

/// Tasks held at once.
const PAGE: u64 = 500;

/// Gives each task that was deleted its turn; returns those of which there may be more.
pub(super) async fn prune_ended(
    context: &RunContext,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
    failed: &mut Failed,
) -> (Vec<Task>, Result<(), Failure>) {
    let mut left = Vec::new();
    let mut behind = None;
    loop {
        let page = match context.store().tasks_deleted(behind, PAGE).await {
            Ok(page) => page,
            Err(error) => return (left, Err(error.into())),
        };
        let Some(last) = page.last() else {
            return (left, Ok(()));
        };
        behind = last.deleted_at.map(|at| (at, last.id));
        left.extend(prune_those(context, page, keep, now, gone, failed).await);
        if context.cancel.is_cancelled() || failed.is_hopeless() {
            return (left, Ok(()));
        }
    }
}

/// Gives each of these their turn; returns those of which there may be more.
pub(super) async fn prune_those(
    context: &RunContext,
    tasks: Vec<Task>,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
    failed: &mut Failed,
) -> Vec<Task> {
    let mut left = Vec::new();
    for task in tasks {
        if context.cancel.is_cancelled() || failed.is_hopeless() {
            break;
        }
        let mut turn = Turn::begin();
        let pruned = match ended_still(context, &task).await {
            Ok(Some(task)) => prune_deleted(context, &task, keep, now, gone, &mut turn).await,
            Ok(None) => continue,
            Err(failure) => Err(failure),
        };
        failed.take(&task.resource_name(), pruned);
        if turn.is_over() {
            left.push(task);
        }
    }
    left
}

/// A task as it is by now: since it was looked at it may have come back, by another policy, and gone again.
async fn ended_still(context: &RunContext, task: &Task) -> Result<Option<Task>, Failure> {
    let mut tx = context.begin().await?;
    Ok(tx.task_ended_locked(task.id).await?)
}

async fn prune_deleted(
    context: &RunContext,
    task: &Task,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
    turn: &mut Turn,
) -> Result<(), Failure> {
    prune_runs(context, task, now, &mut gone.runs, turn).await?;
    let keep_for = keep.ledger_keep_for.max(task.spec.history.keep_for);
    if task.deleted_at.is_some_and(|at| at < before(now, keep_for))
        && erase(context, task, gone, turn).await?
    {
        gone.tasks += 1;
    }
    Ok(())
}

/// Drops all that is left of a task that was deleted long ago; says whether nothing is.
async fn erase(
    context: &RunContext,
    task: &Task,
    gone: &mut Gone,
    turn: &mut Turn,
) -> Result<bool, Failure> {
    let ended = Some(task);
    loop {
        if context.cancel.is_cancelled() || turn.is_over() {
            return Ok(false);
        }
        let runs = context.store().history_all(task.id).await?;
        if runs.is_empty() {
            break;
        }
        if !delete_runs(context, ended, &runs, &mut gone.runs, turn).await? {
            return Ok(false);
        }
    }
    loop {
        let Some(mut tx) = begin(context, ended).await? else {
            return Ok(false);
        };
        let merged = tx.slots_prune(task.id, task.cursor_at).await?;
        if merged == 0 {
            tx.task_erase(task.id).await?;
        }
        tx.commit().await?;
        gone.slots += merged;
        turn.count(merged);
        if merged == 0 || context.cancel.is_cancelled() || turn.is_over() {
            return Ok(merged == 0);
        }
    }
}
