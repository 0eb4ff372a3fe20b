//! `prune-history`: drops what is older than its policy keeps, in small transactions.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::Env;
use crate::{
    domain::{
        Task,
        schedule::{Schedule, just_before},
    },
    engine::{Done, Failure, Kind, RunContext},
};

/// Rows of one transaction.
const CHUNK: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneHistory {}

#[derive(Debug, Default)]
struct Gone {
    runs: u64,
    slots: u64,
    events: u64,
    requests: u64,
    tasks: u64,
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
        let tasks = store.tasks_all().await?;
        for (done, task) in tasks.iter().enumerate() {
            if context.cancel.is_cancelled() {
                return Err(
                    anyhow::anyhow!("stopped after {done} of {} tasks", tasks.len()).into(),
                );
            }
            context.progress(done as i64, tasks.len() as i64, task.name.as_str());
            gone.runs += prune_runs(&context, task, now).await?;
            if !context.dry_run {
                // Never past what the auditor has seen, and never so far that nothing is left.
                let upto = before(now, keep.ledger_keep_for).min(task.audited_at);
                gone.slots += prune_slots(&context, task, upto).await?;
            }
        }
        if !context.dry_run {
            gone.events = store
                .events_prune(before(now, keep.events_keep_for), keep.events_keep_count)
                .await?;
            let mut tx = context.begin().await?;
            gone.requests = tx
                .requests_prune(before(now, keep.requests_keep_for))
                .await?;
            tx.commit().await?;
            for task in store.tasks_deleted(1000).await? {
                gone.runs += prune_runs(&context, &task, now).await?;
                let keep_for = keep.ledger_keep_for.max(task.spec.history.keep_for);
                if task.deleted_at.is_some_and(|at| at < before(now, keep_for)) {
                    gone.runs += erase(&context, &task).await?;
                    gone.tasks += 1;
                }
            }
        }
        let all = gone.runs + gone.slots + gone.events + gone.requests + gone.tasks;
        let verb = if context.dry_run { "would go" } else { "gone" };
        let message = format!(
            "{} runs, {} ledger rows, {} events, {} kept answers, {} deleted tasks {verb}",
            gone.runs, gone.slots, gone.events, gone.requests, gone.tasks
        );
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
            .count("tasks_erased", gone.tasks))
    }
}

async fn prune_runs(context: &RunContext, task: &Task, now: Timestamp) -> Result<u64, Failure> {
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
    let mut gone = 0;
    loop {
        let old = store.history_old(task.id, cutoff, &kept, CHUNK).await?;
        if old.is_empty() || context.cancel.is_cancelled() {
            return Ok(gone);
        }
        if context.dry_run {
            // One chunk is enough to say that there is something.
            return Ok(old.len() as u64);
        }
        let mut tx = context.begin().await?;
        gone += tx.runs_delete(&old).await?;
        tx.commit().await?;
    }
}

/// A transaction for each some thousand rows: a task of every second has a hundred thousand a day.
async fn prune_slots(context: &RunContext, task: &Task, upto: Timestamp) -> Result<u64, Failure> {
    let mut gone = 0;
    while !context.cancel.is_cancelled() {
        let mut tx = context.begin().await?;
        tx.tasks_lock(&[task.id]).await?;
        let merged = tx.slots_prune(task.id, upto).await?;
        tx.commit().await?;
        if merged == 0 {
            break;
        }
        gone += merged;
    }
    Ok(gone)
}

/// Drops all that is left of a task that was deleted long ago; says how many runs that were.
async fn erase(context: &RunContext, task: &Task) -> Result<u64, Failure> {
    let mut gone = 0;
    loop {
        let runs = context.store().history_all(task.id, CHUNK).await?;
        let mut tx = context.begin().await?;
        if runs.is_empty() {
            tx.task_erase(task.id).await?;
            tx.commit().await?;
            return Ok(gone);
        }
        gone += tx.runs_delete(&runs).await?;
        tx.commit().await?;
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
