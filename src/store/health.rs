//! What the ends of runs, and of attempts, leave on the row of their task: how it fares, and how new its work is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sea_orm::Value;

use super::{
    Tx,
    convert::{json_of, micros, micros_of},
    rows::{CHUNK, Column, Type, column},
};
use crate::{
    domain::{
        Run, RunState, TaskId,
        run::reason,
        task::{FAILING_AFTER, LastRun},
    },
    error::Result,
};

const HEALTH: &[Column] = &[
    column("id", Type::Uuid),
    column("last_run", Type::Text),
    column("success_at", Type::Big).or_null(),
    column("failure_at", Type::Big).or_null(),
    column("failures", Type::Big),
    column("healed", Type::Big),
    column("fresh_at", Type::Big).or_null(),
    column("took", Type::Big).or_null(),
];

const RETRYING: &[Column] = &[
    column("id", Type::Uuid),
    column("run", Type::Uuid),
    column("claim_at", Type::Big),
];

const ENDED: &[Column] = &[column("id", Type::Uuid), column("run", Type::Uuid)];

impl Tx {
    /// Notes on the tasks how their newest runs, or attempts of them, ended. The caller holds the tasks' locks.
    pub(super) async fn note_health(&mut self, runs: &[Run]) -> Result<()> {
        self.note_ends(runs).await?;
        self.note_retried(runs).await?;
        self.note_retrying(runs).await
    }

    async fn note_ends(&mut self, runs: &[Run]) -> Result<()> {
        let mut by_task: BTreeMap<TaskId, Vec<&Run>> = BTreeMap::new();
        for run in runs
            .iter()
            .filter(|run| run.state.is_terminal() && run.counts())
        {
            by_task.entry(run.task_id).or_default().push(run);
        }
        if by_task.is_empty() {
            return Ok(());
        }
        let rows = by_task
            .iter()
            .map(|(task, runs)| fold(*task, runs, self.now))
            .collect::<Result<Vec<_>>>()?;
        for chunk in rows.chunks(CHUNK) {
            // One attempt that took long moves the usual duration by a quarter, not more.
            let update = self
                .sql("")
                .with_values(HEALTH, chunk.iter().cloned())
                .push(
                    "UPDATE tasks SET last_run = v.last_run, \
                     last_success_at = COALESCE(v.success_at, tasks.last_success_at), \
                     last_failure_at = COALESCE(v.failure_at, tasks.last_failure_at), \
                     consecutive_failures = CASE WHEN v.healed = 1 THEN v.failures \
                     ELSE tasks.consecutive_failures + v.failures END, \
                     failing_since = CASE WHEN v.failures > 0 AND (v.healed = 1 OR tasks.failing_since IS NULL) \
                     THEN v.failure_at WHEN v.healed = 1 THEN NULL ELSE tasks.failing_since END, \
                     retrying = CASE WHEN v.healed = 1 THEN NULL ELSE tasks.retrying END, \
                     fresh_at = CASE WHEN v.fresh_at > COALESCE(tasks.fresh_at, 0) THEN v.fresh_at \
                     ELSE tasks.fresh_at END, \
                     usual_ms = CASE WHEN v.took IS NULL THEN tasks.usual_ms \
                     WHEN tasks.usual_ms IS NULL THEN v.took \
                     WHEN v.took > 2 * tasks.usual_ms + 1000 THEN (5 * tasks.usual_ms + 1000) / 4 \
                     ELSE (3 * tasks.usual_ms + v.took) / 4 END \
                     FROM v WHERE tasks.id = v.id",
                )
                .done();
            self.run(update).await?;
        }
        Ok(())
    }

    /// A run that was tried again has ended: whatever its task is failing of now, it is not its attempts.
    async fn note_retried(&mut self, runs: &[Run]) -> Result<()> {
        let at_once = |run: &Run| run.attempt <= 1 && run.state == RunState::Succeeded;
        let ended = |run: &&Run| run.state.is_terminal() && 0 < run.attempt && !at_once(run);
        let rows: Vec<Vec<Value>> = runs
            .iter()
            .filter(ended)
            .map(|run| vec![run.task_id.0.into(), run.id.0.into()])
            .collect();
        for chunk in rows.chunks(CHUNK) {
            let update = self
                .sql("")
                .with_values(ENDED, chunk.iter().cloned())
                .push(
                    "UPDATE tasks SET retrying = NULL, \
                     failing_since = CASE WHEN tasks.consecutive_failures > 0 THEN tasks.failing_since END \
                     FROM v WHERE tasks.id = v.id AND tasks.retrying = v.run",
                )
                .done();
            self.run(update).await?;
        }
        Ok(())
    }

    /// Attempts that failed, and whose run is tried again only beyond the task's next slot, or longer after its
    /// first failure than a task may fail unnoticed.
    async fn note_retrying(&mut self, runs: &[Run]) -> Result<()> {
        let failed = |run: &&Run| {
            !run.state.is_terminal()
                && 0 < run.attempt
                && !run.dry_run
                && run.reason != reason::DRAINED
        };
        let row = |run: &Run| {
            let claim_at = micros(run.claim_at.unwrap_or(self.now));
            vec![run.task_id.0.into(), run.id.0.into(), claim_at.into()]
        };
        let rows: Vec<Vec<Value>> = runs.iter().filter(failed).map(row).collect();
        let first = "(SELECT min(a.finished_at) FROM run_attempts a WHERE a.run_id = v.run)";
        for chunk in rows.chunks(CHUNK) {
            let update = self
                .sql("")
                .with_values(RETRYING, chunk.iter().cloned())
                .push("UPDATE tasks SET retrying = v.run, failing_since = COALESCE(tasks.failing_since, ")
                .push(first)
                .push(") FROM v WHERE tasks.id = v.id AND (v.claim_at >= tasks.next_slot_at OR v.claim_at - ")
                .push(first)
                .push(" >= ")
                .bind(i64::try_from(FAILING_AFTER.as_micros()).unwrap_or(i64::MAX))
                .postgres("::bigint")
                .push(")")
                .done();
            self.run(update).await?;
        }
        Ok(())
    }
}

/// What these ends, in their order, do to their task.
fn fold(task: TaskId, runs: &[&Run], now: Timestamp) -> Result<Vec<Value>> {
    let at = micros(now);
    let (mut success_at, mut failure_at, mut failures, mut healed) = (None, None, 0_i64, 0_i64);
    let (mut fresh_at, mut took) = (None, None);
    for run in runs {
        if run.state.is_failure() {
            failures += 1;
            failure_at = Some(at);
        } else if run.is_full_success() {
            failures = 0;
            healed = 1;
            success_at = Some(at);
            fresh_at = fresh_at.max(run.fresh_at(now));
            took = run
                .attempt_started_at
                .map(|started_at| ((at - micros(started_at)) / 1000).max(0));
        }
    }
    let last = runs.last().map(|run| LastRun {
        run: run.id,
        state: run.state,
        outcome: run.outcome,
        finished_at: now,
    });
    Ok(vec![
        task.0.into(),
        json_of(last.as_ref())?.into(),
        success_at.into(),
        failure_at.into(),
        failures.into(),
        healed.into(),
        micros_of(fresh_at).into(),
        took.into(),
    ])
}
