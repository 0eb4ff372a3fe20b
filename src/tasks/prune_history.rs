//! `prune-history`: drops what is older than its policy keeps, in transactions that hold nobody up. What cannot be dropped
//! keeps nothing else from being dropped.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tracing::warn;

use super::Env;
use crate::{
    config::HistoryConfig,
    domain::{
        RunId, Task,
        schedule::{Schedule, just_before},
    },
    engine::{Done, Failure, Kind, RunContext},
};

/// Parts in a row that may fail before the others are left to the next attempt.
const FAILURES_IN_A_ROW: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneHistory {}

#[derive(Debug, Default)]
struct Gone {
    runs: u64,
    slots: u64,
    events: u64,
    requests: u64,
    revisions: u64,
    tasks: u64,
}

/// What could not be pruned, which keeps nothing else from being pruned.
#[derive(Debug, Default)]
struct Failed {
    count: usize,
    in_a_row: usize,
    first: Option<(String, Failure)>,
}

impl Failed {
    /// Takes the result of a part.
    ///
    /// # Errors
    /// That failure, where so many came in a row that the others would hardly fare better.
    fn take<T>(&mut self, part: &str, result: Result<T, Failure>) -> Result<Option<T>, Failure> {
        let failure = match result {
            Ok(done) => {
                self.in_a_row = 0;
                return Ok(Some(done));
            }
            Err(failure) => failure,
        };
        warn!(part, error = %format!("{:#}", failure.error), "{part} cannot be pruned");
        self.count += 1;
        self.in_a_row += 1;
        if FAILURES_IN_A_ROW <= self.in_a_row {
            return Err(failure);
        }
        self.first.get_or_insert_with(|| (part.to_owned(), failure));
        Ok(None)
    }
}

impl Kind for PruneHistory {
    const NAME: &'static str = "prune-history";
    const ABOUT: &'static str =
        "Drops finished runs, ledger rows and events that are older than their policy keeps";
    type Env = Env;

    async fn run(self, env: Env, context: RunContext) -> Result<Done, Failure> {
        let store = context.store().clone();
        let now = context.clock.now();
        let keep = &env.shared.history;
        let mut gone = Gone::default();
        let mut failed = Failed::default();
        let tasks = store.tasks_all().await?;
        for (done, task) in tasks.iter().enumerate() {
            if context.cancel.is_cancelled() {
                return Err(
                    anyhow::anyhow!("stopped after {done} of {} tasks", tasks.len()).into(),
                );
            }
            context.progress(done as i64, tasks.len() as i64, task.name.as_str());
            let pruned = prune_task(&context, task, keep, now, &mut gone).await;
            failed.take(&task.resource_name(), pruned)?;
        }
        if !context.dry_run {
            let pruned = prune_log(&context, keep, now, &mut gone).await;
            failed.take("the log of events", pruned)?;
            let pruned = prune_requests(&context, before(now, keep.requests_keep_for)).await;
            gone.requests = failed.take("kept answers", pruned)?.unwrap_or_default();
            for task in store.tasks_deleted(1000).await? {
                let pruned = prune_deleted(&context, &task, keep, now, &mut gone).await;
                failed.take(&task.resource_name(), pruned)?;
            }
        }
        let all =
            gone.runs + gone.slots + gone.events + gone.requests + gone.revisions + gone.tasks;
        let verb = if context.dry_run { "would go" } else { "gone" };
        let message = format!(
            "{} runs, {} ledger rows, {} events, {} kept answers, {} revisions, {} deleted tasks {verb}",
            gone.runs, gone.slots, gone.events, gone.requests, gone.revisions, gone.tasks
        );
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
        let done = if all == 0 {
            Done::nothing_to_do("nothing is old enough")
        } else {
            Done::worked(message)
        };
        Ok(done
            .count("runs_deleted", gone.runs)
            .count("slots_merged", gone.slots)
            .count("events_deleted", gone.events)
            .count("requests_deleted", gone.requests)
            .count("revisions_deleted", gone.revisions)
            .count("tasks_erased", gone.tasks))
    }
}

async fn prune_task(
    context: &RunContext,
    task: &Task,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
) -> Result<(), Failure> {
    prune_runs(context, task, now, &mut gone.runs).await?;
    if !context.dry_run {
        // Never past what the auditor has seen, and never so far that nothing is left.
        let upto = before(now, keep.ledger_keep_for).min(task.audited_at);
        prune_slots(context, task, upto, &mut gone.slots).await?;
        prune_revisions(context, task, &mut gone.revisions).await?;
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
    gone: &mut Gone,
) -> Result<(), Failure> {
    let before = before(now, keep.events_keep_for);
    let store = context.store();
    gone.events = store.events_prune(before, keep.events_keep_count).await?;
    Ok(())
}

async fn prune_requests(context: &RunContext, before: Timestamp) -> Result<u64, Failure> {
    let mut gone = 0;
    while !context.cancel.is_cancelled() {
        let mut tx = context.begin().await?;
        let portion = tx.requests_prune(before).await?;
        tx.commit().await?;
        if portion == 0 {
            break;
        }
        gone += portion;
    }
    Ok(gone)
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
        delete_runs(context, &old, gone).await?;
    }
}

/// Deletes runs, their logs first: these may be many times as large as all else.
async fn delete_runs(context: &RunContext, runs: &[RunId], gone: &mut u64) -> Result<(), Failure> {
    let store = context.store();
    while let Some(bite) = store.log_bite(runs).await? {
        if context.cancel.is_cancelled() {
            return Ok(());
        }
        let mut tx = context.begin().await?;
        tx.log_drop(&bite).await?;
        tx.commit().await?;
    }
    let mut tx = context.begin().await?;
    let deleted = tx.runs_delete(runs).await?;
    tx.commit().await?;
    *gone += deleted;
    Ok(())
}

async fn prune_revisions(context: &RunContext, task: &Task, gone: &mut u64) -> Result<(), Failure> {
    // Most tasks have had one ever since.
    while 1 < task.revision && !context.cancel.is_cancelled() {
        let mut tx = context.begin().await?;
        let portion = tx.revisions_prune(task).await?;
        tx.commit().await?;
        if portion == 0 {
            break;
        }
        *gone += portion;
    }
    Ok(())
}

/// A transaction for each some thousand rows: a task of every second has a hundred thousand a day.
async fn prune_slots(
    context: &RunContext,
    task: &Task,
    upto: Timestamp,
    gone: &mut u64,
) -> Result<(), Failure> {
    while !context.cancel.is_cancelled() {
        let mut tx = context.begin().await?;
        tx.tasks_lock(&[task.id]).await?;
        let merged = tx.slots_prune(task.id, upto).await?;
        tx.commit().await?;
        if merged == 0 {
            break;
        }
        *gone += merged;
    }
    Ok(())
}

/// Drops all that is left of a task that was deleted long ago; says whether nothing is.
async fn erase(context: &RunContext, task: &Task, gone: &mut Gone) -> Result<bool, Failure> {
    prune_slots(context, task, task.cursor_at, &mut gone.slots).await?;
    loop {
        let runs = context.store().history_all(task.id).await?;
        if context.cancel.is_cancelled() {
            return Ok(false);
        }
        if runs.is_empty() {
            let mut tx = context.begin().await?;
            tx.task_erase(task.id).await?;
            tx.commit().await?;
            return Ok(true);
        }
        delete_runs(context, &runs, &mut gone.runs).await?;
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
