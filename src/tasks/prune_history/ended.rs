//! Pruning of what is left of tasks that were deleted.

use super::{
    Pruning, before,
    gone::Gone,
    runs::{begin, delete_runs, prune_runs},
    turn::Turn,
};
use crate::{
    domain::Task,
    engine::{Failure, RunContext},
};

/// Tasks held at once.
const PAGE: u64 = 500;

impl Pruning<'_> {
    /// Gives each task that was deleted its turn; returns those of which there may be more.
    pub(super) async fn prune_ended(&mut self) -> (Vec<Task>, Result<(), Failure>) {
        let mut left = Vec::new();
        let mut behind = None;
        loop {
            let page = match self.context.store().tasks_deleted(behind, PAGE).await {
                Ok(page) => page,
                Err(error) => return (left, Err(error.into())),
            };
            let Some(last) = page.last() else {
                return (left, Ok(()));
            };
            behind = last.deleted_at.map(|at| (at, last.id));
            left.extend(self.prune_those(page).await);
            if self.is_to_stop() {
                return (left, Ok(()));
            }
        }
    }

    /// Gives each of these their turn; returns those of which there may be more.
    pub(super) async fn prune_those(&mut self, tasks: Vec<Task>) -> Vec<Task> {
        let mut left = Vec::new();
        for task in tasks {
            if self.is_to_stop() {
                break;
            }
            let mut turn = Turn::begin();
            let pruned = match ended_still(self.context, &task).await {
                Ok(Some(task)) => self.prune_deleted(&task, &mut turn).await,
                Ok(None) => continue,
                Err(failure) => Err(failure),
            };
            self.failed.take(&task.resource_name(), pruned);
            if turn.is_over() {
                left.push(task);
            }
        }
        left
    }

    async fn prune_deleted(&mut self, task: &Task, turn: &mut Turn) -> Result<(), Failure> {
        let (context, gone) = (self.context, &mut self.gone);
        prune_runs(context, task, self.now, &mut gone.runs, turn).await?;
        let keep_for = self.keep.ledger_keep_for.max(task.spec.history.keep_for);
        if task
            .deleted_at
            .is_some_and(|at| at < before(self.now, keep_for))
            && erase(context, task, gone, turn).await?
        {
            gone.tasks += 1;
        }
        Ok(())
    }
}

/// A task as it is by now: since it was looked at it may have come back, by another policy, and gone again.
async fn ended_still(context: &RunContext, task: &Task) -> Result<Option<Task>, Failure> {
    let mut tx = context.begin().await?;
    Ok(tx.task_ended_locked(task.id).await?)
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
