//! `prune-history`: drops what is older than its policy keeps, in transactions that hold nobody up. What cannot be dropped
//! keeps nothing else from being dropped.

mod ended;
mod failed;
mod gone;
mod logs;
mod round;
mod runs;
mod turn;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use self::{
    ended::{prune_ended, prune_those},
    failed::Failed,
    gone::Gone,
    logs::prune_logs,
    round::Tasks,
    runs::prune_runs,
    turn::Turn,
};
use super::Env;
use crate::{
    clock::Stopwatch,
    config::HistoryConfig,
    domain::{Task, TaskName},
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
            let mut turn = Turn::endless();
            let pruned = answers.prune(&context, &mut gone.requests, &mut turn).await;
            failed.take("kept answers", pruned);
        }
        let (mut left, pruned) = prune_tasks(&context, keep, now, &mut gone, &mut failed).await;
        failed.take("the tasks", pruned);
        if let Some(keep_for) = keep.keep_logs_for {
            let pruned = prune_logs(&context, before(now, keep_for), &mut gone.logs).await;
            failed.take("logs of runs", pruned);
        }
        let mut left_of_ended = Vec::new();
        if !context.dry_run {
            let (left, pruned) = prune_ended(&context, keep, now, &mut gone, &mut failed).await;
            failed.take("tasks that were deleted", pruned);
            left_of_ended = left;
        }
        // Those that have more than fits into a turn, once all others had theirs.
        while !left.is_empty() || !left_of_ended.is_empty() {
            left = prune_more(&context, left, keep, now, &mut gone, &mut failed).await;
            let ended = std::mem::take(&mut left_of_ended);
            left_of_ended = prune_those(&context, ended, keep, now, &mut gone, &mut failed).await;
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

/// Gives each task its turn; returns those of which there may be more.
async fn prune_tasks(
    context: &RunContext,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
    failed: &mut Failed,
) -> (Vec<TaskName>, Result<(), Failure>) {
    let mut left = Vec::new();
    let mut done = 0;
    let mut tasks = match Tasks::begin(context).await {
        Ok(tasks) => tasks,
        Err(error) => return (left, Err(error.into())),
    };
    loop {
        let page = match tasks.next_page(context).await {
            Ok(page) => page,
            Err(error) => return (left, Err(error.into())),
        };
        if page.is_empty() {
            return (left, Ok(()));
        }
        for task in page {
            if context.cancel.is_cancelled() || failed.is_hopeless() {
                return (left, Ok(()));
            }
            context.progress(done, tasks.count.max(done), task.name.as_str());
            if prune_task(context, &task, keep, now, gone, failed).await {
                left.push(task.name);
            }
            done += 1;
        }
    }
}

/// Gives these tasks another turn; returns those of which there may be more.
async fn prune_more(
    context: &RunContext,
    names: Vec<TaskName>,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
    failed: &mut Failed,
) -> Vec<TaskName> {
    let mut left = Vec::new();
    for name in names {
        if context.cancel.is_cancelled() || failed.is_hopeless() {
            break;
        }
        context.progress(0, 0, name.as_str());
        match context.store().task(&name).await {
            Ok(task) => {
                if prune_task(context, &task, keep, now, gone, failed).await {
                    left.push(name);
                }
            }
            // It was deleted meanwhile, and goes with those that were.
            Err(Error::NotFound { .. }) => {}
            Err(error) => failed.take(&format!("tasks/{name}"), Err(error.into())),
        }
    }
    left
}

/// Gives a task its turn; says whether that was over before all was gone.
async fn prune_task(
    context: &RunContext,
    task: &Task,
    keep: &HistoryConfig,
    now: Timestamp,
    gone: &mut Gone,
    failed: &mut Failed,
) -> bool {
    let name = task.resource_name();
    let mut turn = Turn::begin();
    let pruned = prune_runs(context, task, now, &mut gone.runs, &mut turn).await;
    failed.take(&name, pruned);
    if context.dry_run {
        return false;
    }
    // Never past what the auditor has seen, and never so far that nothing is left.
    let upto = before(now, keep.ledger_keep_for).min(task.audited_at);
    let ledger = Part::Ledger(task, upto);
    let pruned = ledger.prune(context, &mut gone.slots, &mut turn).await;
    failed.take(&format!("the ledger of {name}"), pruned);
    // Most tasks have had one ever since.
    if 1 < task.revision {
        let revisions = Part::Revisions(task);
        let pruned = revisions
            .prune(context, &mut gone.revisions, &mut turn)
            .await;
        failed.take(&format!("the revisions of {name}"), pruned);
    }
    turn.is_over()
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

    /// Drops it, each portion in a transaction of its own, until none is left, the turn is over or the run is to stop.
    async fn prune(
        self,
        context: &RunContext,
        gone: &mut u64,
        turn: &mut Turn,
    ) -> Result<(), Failure> {
        while !context.cancel.is_cancelled() && !turn.is_over() {
            let watch = Stopwatch::start();
            let mut tx = context.begin().await?;
            let count = self.drop_portion(&mut tx).await?;
            tx.commit().await?;
            if count == 0 {
                break;
            }
            *gone += count;
            turn.count(count);
            rest(context, &watch).await;
        }
        Ok(())
    }
}

/// Leaves the database to others for a while after a portion that took so long.
async fn rest(context: &RunContext, portion: &Stopwatch) {
    let rest = tokio::time::sleep((portion.elapsed() * REST).min(REST_AT_MOST));
    context.cancel.run_until_cancelled(rest).await;
}

fn before(now: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    now.saturating_sub(span).unwrap_or(Timestamp::MIN)
}
