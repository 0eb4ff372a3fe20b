//! `prune-history`: drops what is older than its policy keeps, in transactions that hold nobody up. What cannot be dropped
//! keeps nothing else from being dropped.

mod failed;
mod gone;
mod logs;
mod round;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use self::{failed::Failed, gone::Gone, logs::prune_logs, round::Tasks};
use super::Env;
use crate::{
    clock::Stopwatch,
    config::HistoryConfig,
    domain::{
        RunId, Task, TaskId,
        schedule::{Schedule, just_before},
    },
    engine::{Done, Failure, Kind, RunContext},
    error::Error,
    store::Tx,
};

/// After a portion the database is left to others for so many times as long.
const REST: u32 = 2;
const REST_AT_MOST: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneHistory {}

impl Kind for PruneHistory {
    const NAME: &'static str = "prune-history";
    const ABOUT: &'static str =
        "Drops finished runs, ledger rows and events that are older than their policy keeps";
    type Env = Env;

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let now = context.clock.now();
        let keep = &env.shared.history;
        let mut gone = Gone::default();
        let mut failed = Failed::default();
        if !context.dry_run {
            let pruned = prune_log(&context, keep, now, &mut gone.events).await;
            failed.take("the log of events", pruned);
            let answers = Part::Answers(before(now, keep.requests_keep_for));
            let pruned = answers.prune(&context, &mut gone.requests).await;
            failed.take("kept answers", pruned);
        }
        let pruned = prune_tasks(&context, keep, now, &mut gone, &mut failed).await;
        failed.take("the tasks", pruned);
        if let Some(keep_for) = keep.keep_logs_for {
            let pruned = prune_logs(&context, before(now, keep_for), &mut gone.logs).await;
            failed.take("logs of runs", pruned);
        }
        if !context.dry_run {
            let pruned = prune_ended(&context, keep, now, &mut gone, &mut failed).await;
            failed.take("tasks that were deleted", pruned);
        }
        let message = gone.message(if context.dry_run { "would go" } else { "gone" });
        // Whatever part it met: the rest was not looked at.
        if context.cancel.is_cancelled() {
            return Err(anyhow::anyhow!("stopped before its end: {message}").into());
        }
        if let Some((part, failure)) = failed.first {
            let others = match failed.count - 1 {
                0 => String::new(),
                others => format!(", and {others} others"),
            };
            let error = failure
                .error
                .context(format!("{message}; but not {part}{others}"));
            return Err(Failure { error, ..failure });
        }
        let done = match gone.all() {
            0 => Done::nothing_to_do("nothing is old enough"),
            _ => Done::worked(message),
        };
        Ok(done
            .count("runs_deleted", gone.runs)
            .count("slots_merged", gone.slots)
            .count("events_deleted", gone.events)
            .count("requests_deleted", gone.requests)
            .count("revisions_deleted", gone.revisions)
            .count("tasks_erased", gone.tasks)
            .count("logs_dropped", gone.logs))
    }
}

async fn prune_tasks(
    context: &RunContext,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
    failed: &mut Failed,
) -> Result<(), Failure> {
    let mut tasks = Tasks::begin(context).await?;
    let mut done = 0;
    loop {
        let page = tasks.next_page(context).await?;
        if page.is_empty() {
            return Ok(());
        }
        for task in &page {
            if context.cancel.is_cancelled() || failed.is_hopeless() {
                return Ok(());
            }
            context.progress(done, tasks.count.max(done), task.name.as_str());
            prune_task(context, task, keep, now, gone, failed).await;
            done += 1;
        }
    }
}

async fn prune_task(
    context: &RunContext,
    task: &Task,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
    failed: &mut Failed,
) {
    let name = task.resource_name();
    let pruned = prune_runs(context, task, now, &mut gone.runs).await;
    failed.take(&name, pruned);
    if context.dry_run {
        return;
    }
    // Never past what the auditor has seen, and never so far that nothing is left.
    let upto = before(now, keep.ledger_keep_for).min(task.audited_at);
    let ledger = Part::Ledger(task, upto);
    let pruned = ledger.prune(context, &mut gone.slots).await;
    failed.take(&format!("the ledger of {name}"), pruned);
    // Most tasks have had one ever since.
    if 1 < task.revision {
        let revisions = Part::Revisions(task);
        let pruned = revisions.prune(context, &mut gone.revisions).await;
        failed.take(&format!("the revisions of {name}"), pruned);
    }
}

/// What is left of tasks that were deleted.
async fn prune_ended(
    context: &RunContext,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
    failed: &mut Failed,
) -> Result<(), Failure> {
    for task in context.store().tasks_deleted(1000).await? {
        if context.cancel.is_cancelled() || failed.is_hopeless() {
            break;
        }
        let pruned = prune_deleted(context, &task, keep, now, gone).await;
        failed.take(&task.resource_name(), pruned);
    }
    Ok(())
}

async fn prune_deleted(
    context: &RunContext,
    task: &Task,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
) -> Result<(), Failure> {
    prune_runs(context, task, now, &mut gone.runs).await?;
    let keep_for = keep.ledger_keep_for.max(task.spec.history.keep_for);
    if task.deleted_at.is_some_and(|at| at < before(now, keep_for))
        && erase(context, task, gone).await?
    {
        gone.tasks += 1;
    }
    Ok(())
}

async fn prune_log(
    context: &RunContext,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut u64,
) -> Result<(), Failure> {
    let store = context.store();
    let (before, count) = (before(now, keep.events_keep_for), keep.events_keep_count);
    let upto = store.events_to_prune(before, count).await?;
    while !context.cancel.is_cancelled() {
        let watch = Stopwatch::start();
        let Some(portion) = store.events_prune(upto).await? else {
            break;
        };
        *gone += portion;
        rest(context, &watch).await;
    }
    Ok(())
}

/// A part of history that goes portion by portion.
enum Part<'a> {
    /// Answers that were given before.
    Answers(Timestamp),
    /// Rows of a task's ledger that end by then.
    Ledger(&'a Task, Timestamp),
    Revisions(&'a Task),
}

impl Part<'_> {
    /// Drops a portion; says how many rows that were.
    async fn drop_portion(&self, tx: &mut Tx) -> Result<u64, Error> {
        match *self {
            Self::Answers(before) => tx.requests_prune(before).await,
            Self::Ledger(task, upto) => {
                tx.tasks_lock(&[task.id]).await?;
                tx.slots_prune(task.id, upto).await
            }
            Self::Revisions(task) => tx.revisions_prune(task).await,
        }
    }

    /// Drops it, each portion in a transaction of its own, until none is left or the run is to stop.
    async fn prune(self, context: &RunContext, gone: &mut u64) -> Result<(), Failure> {
        while !context.cancel.is_cancelled() {
            let watch = Stopwatch::start();
            let mut tx = context.begin().await?;
            let count = self.drop_portion(&mut tx).await?;
            tx.commit().await?;
            if count == 0 {
                break;
            }
            *gone += count;
            rest(context, &watch).await;
        }
        Ok(())
    }
}

async fn prune_runs(
    context: &RunContext,
    task: &Task,
    now: Timestamp,
    gone: &mut u64,
) -> Result<(), Failure> {
    let store = context.store();
    let policy = &task.spec.history;
    let by_count = store.history_cutoff(task.id, policy.keep_count).await?;
    let by_age = before(now, policy.keep_for);
    let cutoff = by_count
        .map_or(by_age, |by_count| by_age.max(by_count))
        .min(two_periods_ago(task, now));
    let kept = store
        .history_kept(task.id, &task.spec.counts_as_success)
        .await?;
    loop {
        let old = store.history_old(task.id, cutoff, &kept).await?;
        if old.is_empty() || context.cancel.is_cancelled() {
            return Ok(());
        }
        if context.dry_run {
            // One portion is enough to say that there is something.
            *gone += old.len() as u64;
            return Ok(());
        }
        if !delete_runs(context, None, &old, gone).await? {
            return Ok(());
        }
    }
}

/// Leaves the database to others for a while after a portion that took so long.
async fn rest(context: &RunContext, portion: &Stopwatch) {
    let rest = tokio::time::sleep((portion.elapsed() * REST).min(REST_AT_MOST));
    context.cancel.run_until_cancelled(rest).await;
}

/// Begins a write of what is pruned; none where the task, which is to have ended, lives again.
async fn begin(context: &RunContext, ended: Option<TaskId>) -> Result<Option<Tx>, Failure> {
    let mut tx = context.begin().await?;
    if let Some(task) = ended
        && tx.task_ended_locked(task).await?.is_none()
    {
        return Ok(None);
    }
    Ok(Some(tx))
}

/// Deletes runs, their logs first: these may be many times as large as all else. Says whether it came to its end.
async fn delete_runs(
    context: &RunContext,
    ended: Option<TaskId>,
    runs: &[RunId],
    gone: &mut u64,
) -> Result<bool, Failure> {
    let store = context.store();
    while let Some(bite) = store.log_bite(runs).await? {
        if context.cancel.is_cancelled() {
            return Ok(false);
        }
        let watch = Stopwatch::start();
        let Some(mut tx) = begin(context, ended).await? else {
            return Ok(false);
        };
        tx.log_drop(&bite).await?;
        tx.commit().await?;
        rest(context, &watch).await;
    }
    let watch = Stopwatch::start();
    let Some(mut tx) = begin(context, ended).await? else {
        return Ok(false);
    };
    let deleted = tx.runs_delete(runs).await?;
    tx.commit().await?;
    *gone += deleted;
    rest(context, &watch).await;
    Ok(true)
}

/// Drops all that is left of a task that was deleted long ago; says whether nothing is.
async fn erase(context: &RunContext, task: &Task, gone: &mut Gone) -> Result<bool, Failure> {
    let ended = Some(task.id);
    loop {
        let runs = context.store().history_all(task.id).await?;
        if context.cancel.is_cancelled() {
            return Ok(false);
        }
        if runs.is_empty() {
            break;
        }
        if !delete_runs(context, ended, &runs, &mut gone.runs).await? {
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
        if merged == 0 || context.cancel.is_cancelled() {
            return Ok(merged == 0);
        }
        gone.slots += merged;
    }
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

fn before(now: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    now.saturating_sub(span).unwrap_or(Timestamp::MIN)
}
