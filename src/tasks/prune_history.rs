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
    failed::Failed, gone::Gone, logs::prune_logs, round::Tasks, runs::prune_runs, turn::Turn,
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
        let mut pruning = Pruning {
            context: &context,
            keep: &env.shared.history,
            now: context.clock.now(),
            gone: Gone::default(),
            failed: Failed::default(),
        };
        pruning.prune().await;
        let Pruning { gone, failed, .. } = pruning;
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

/// A run of this kind: what it prunes by, and what has come of it so far.
struct Pruning<'a> {
    context: &'a RunContext,
    keep: &'a HistoryConfig,
    now: Timestamp,
    gone: Gone,
    failed: Failed,
}

impl Pruning<'_> {
    /// Prunes all parts of history, each whatever has become of the others.
    async fn prune(&mut self) {
        let (context, keep, now) = (self.context, self.keep, self.now);
        if !context.dry_run {
            let pruned = prune_log(context, keep, now, &mut self.gone.events).await;
            self.failed.take("the log of events", pruned);
            let answers = Part::Answers(before(now, keep.requests_keep_for));
            let mut turn = Turn::endless();
            let pruned = answers
                .prune(context, &mut self.gone.requests, &mut turn)
                .await;
            self.failed.take("kept answers", pruned);
        }
        let (mut left, pruned) = self.prune_tasks().await;
        self.failed.take("the tasks", pruned);
        if let Some(keep_for) = keep.keep_logs_for {
            let pruned = prune_logs(context, before(now, keep_for), &mut self.gone.logs).await;
            self.failed.take("logs of runs", pruned);
        }
        let mut left_of_ended = Vec::new();
        if !context.dry_run {
            let (left, pruned) = self.prune_ended().await;
            self.failed.take("tasks that were deleted", pruned);
            left_of_ended = left;
        }
        // Those that have more than fits into a turn, once all others had theirs.
        while !left.is_empty() || !left_of_ended.is_empty() {
            left = self.prune_more(left).await;
            left_of_ended = self.prune_those(left_of_ended).await;
        }
    }

    /// Whether no other task has its turn: the run is to stop, or too many failed in a row.
    fn is_to_stop(&self) -> bool {
        self.context.cancel.is_cancelled() || self.failed.is_hopeless()
    }

    /// Gives each task its turn; returns those of which there may be more.
    async fn prune_tasks(&mut self) -> (Vec<TaskName>, Result<(), Failure>) {
        let context = self.context;
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
                if self.is_to_stop() {
                    return (left, Ok(()));
                }
                context.progress(done, tasks.count.max(done), task.name.as_str());
                if self.prune_task(&task).await {
                    left.push(task.name);
                }
                done += 1;
            }
        }
    }

    /// Gives these tasks another turn; returns those of which there may be more.
    async fn prune_more(&mut self, names: Vec<TaskName>) -> Vec<TaskName> {
        let context = self.context;
        let mut left = Vec::new();
        for name in names {
            if self.is_to_stop() {
                break;
            }
            context.progress(0, 0, name.as_str());
            match context.store().task(&name).await {
                Ok(task) => {
                    if self.prune_task(&task).await {
                        left.push(name);
                    }
                }
                // It was deleted meanwhile, and goes with those that were.
                Err(Error::NotFound { .. }) => {}
                Err(error) => self
                    .failed
                    .take(&format!("tasks/{name}"), Err(error.into())),
            }
        }
        left
    }

    /// Gives a task its turn; says whether that was over before all was gone.
    async fn prune_task(&mut self, task: &Task) -> bool {
        let (context, now) = (self.context, self.now);
        let name = task.resource_name();
        let mut turn = Turn::begin();
        let pruned = prune_runs(context, task, now, &mut self.gone.runs, &mut turn).await;
        self.failed.take(&name, pruned);
        if context.dry_run {
            return false;
        }
        // Never past what the auditor has seen, and never so far that nothing is left.
        let upto = before(now, self.keep.ledger_keep_for).min(task.audited_at);
        let ledger = Part::Ledger(task, upto);
        let pruned = ledger.prune(context, &mut self.gone.slots, &mut turn).await;
        self.failed.take(&format!("the ledger of {name}"), pruned);
        // Most tasks have had one ever since.
        if 1 < task.revision {
            let revisions = Part::Revisions(task);
            let pruned = revisions
                .prune(context, &mut self.gone.revisions, &mut turn)
                .await;
            self.failed
                .take(&format!("the revisions of {name}"), pruned);
        }
        turn.is_over()
    }
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
