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
    column("now_at", Type::Big),
    column("last_run", Type::Text),
    column("success_at", Type::Big).or_null(),
    column("failure_at", Type::Big).or_null(),
    column("failed_for", Type::Big).or_null(),
    column("failures", Type::Big),
    column("healed_for", Type::Big).or_null(),
    column("left_for", Type::Big).or_null(),
    column("left_over", Type::Big),
    column("fresh_at", Type::Big).or_null(),
    column("took", Type::Big).or_null(),
];

const RETRYING: &[Column] = &[
    column("id", Type::Uuid),
    column("now_at", Type::Big),
    column("run", Type::Uuid),
    column("claim_at", Type::Big),
    column("failed_for", Type::Big).or_null(),
];

/// Whether a success of these ends makes good what its task is failing of: it is not of older work than the newest
/// that failed. What a clock that was ahead has noted keeps nothing from healing.
const HEALED: &str = "(v.healed_for IS NOT NULL AND (tasks.failed_for IS NULL OR tasks.failed_for <= v.healed_for \
     OR tasks.failed_for > v.now_at))";

/// The newest work that has failed, with that of the row of values.
const FAILED_FOR: &str = "CASE WHEN v.failed_for IS NULL OR (v.failed_for <= tasks.failed_for \
     AND tasks.failed_for <= v.now_at) THEN tasks.failed_for ELSE v.failed_for END";

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
        // One attempt that took long moves the usual duration by a quarter, not more.
        let set = format!(
            "UPDATE tasks SET last_run = v.last_run, \
             last_success_at = COALESCE(v.success_at, tasks.last_success_at), \
             last_failure_at = COALESCE(v.failure_at, tasks.last_failure_at), \
             consecutive_failures = CASE WHEN {HEALED} THEN v.left_over ELSE tasks.consecutive_failures + v.failures END, \
             failed_for = CASE WHEN {HEALED} THEN v.left_for ELSE {FAILED_FOR} END, \
             failing_since = CASE WHEN {HEALED} THEN CASE WHEN v.left_over > 0 THEN v.failure_at END \
             WHEN v.failures > 0 THEN COALESCE(tasks.failing_since, v.failure_at) ELSE tasks.failing_since END, \
             retrying = CASE WHEN {HEALED} THEN NULL ELSE tasks.retrying END, \
             fresh_at = CASE WHEN v.fresh_at > COALESCE(tasks.fresh_at, 0) OR (v.fresh_at IS NOT NULL \
             AND tasks.fresh_at > v.now_at) THEN v.fresh_at ELSE tasks.fresh_at END, \
             usual_ms = CASE WHEN v.took IS NULL THEN tasks.usual_ms \
             WHEN tasks.usual_ms IS NULL THEN v.took \
             WHEN v.took > 2 * tasks.usual_ms + 1000 THEN (5 * tasks.usual_ms + 1000) / 4 \
             ELSE (3 * tasks.usual_ms + v.took) / 4 END \
             FROM v WHERE tasks.id = v.id"
        );
        for chunk in rows.chunks(CHUNK) {
            let update = self
                .sql("")
                .with_values(HEALTH, chunk.iter().cloned())
                .push(&set)
                .done();
            self.run(update).await?;
        }
        Ok(())
    }

    /// A run that was tried again has ended: whatever its task is failing of now, it is not its attempts, but may be
    /// those of another run beside it.
    async fn note_retried(&mut self, runs: &[Run]) -> Result<()> {
        let at_once = |run: &Run| run.attempt <= 1 && run.state == RunState::Succeeded;
        let ended = |run: &&Run| run.state.is_terminal() && 0 < run.attempt && !at_once(run);
        let rows: Vec<Vec<Value>> = runs
            .iter()
            .filter(ended)
            .map(|run| vec![run.task_id.0.into(), run.id.0.into()])
            .collect();
        // As after most ends.
        if rows.is_empty() {
            return Ok(());
        }
        let other = "(SELECT r.id FROM runs r WHERE r.task_id = v.id AND r.finished_at IS NULL AND r.id <> v.run \
             AND NOT r.dry_run AND EXISTS (SELECT 1 FROM run_attempts a WHERE a.run_id = r.id AND a.reason <> ";
        let other = format!("{other}'{}') ORDER BY r.id LIMIT 1)", reason::DRAINED);
        let fails = format!("tasks.consecutive_failures > 0 OR {other} IS NOT NULL");
        let update = format!(
            "UPDATE tasks SET retrying = {other}, \
             failing_since = CASE WHEN {fails} THEN tasks.failing_since END, \
             failed_for = CASE WHEN {fails} THEN tasks.failed_for END \
             FROM v WHERE tasks.id = v.id AND tasks.retrying = v.run"
        );
        for chunk in rows.chunks(CHUNK) {
            let update = self
                .sql("")
                .with_values(ENDED, chunk.iter().cloned())
                .push(&update)
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
            let failed_for = micros_of(run.failed_for(self.now));
            vec![
                run.task_id.0.into(),
                micros(self.now).into(),
                run.id.0.into(),
                claim_at.into(),
                failed_for.into(),
            ]
        };
        let rows: Vec<Vec<Value>> = runs.iter().filter(failed).map(row).collect();
        let first = "(SELECT min(a.finished_at) FROM run_attempts a WHERE a.run_id = v.run)";
        for chunk in rows.chunks(CHUNK) {
            let update = self
                .sql("")
                .with_values(RETRYING, chunk.iter().cloned())
                .push("UPDATE tasks SET retrying = v.run, failed_for = ")
                .push(FAILED_FOR)
                .push(", failing_since = COALESCE(tasks.failing_since, ")
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
    let (mut success_at, mut failure_at, mut failures) = (None, None, 0_i64);
    let (mut failed_for, mut left_for, mut left) = (None, None, 0_i64);
    let (mut healed_for, mut fresh_at, mut took) = (None, None, None);
    for run in runs {
        if run.state.is_failure() {
            failures += 1;
            left += 1;
            failure_at = Some(at);
            failed_for = failed_for.max(run.failed_for(now));
            left_for = left_for.max(run.failed_for(now));
        } else if run.is_full_success() {
            success_at = Some(at);
            fresh_at = fresh_at.max(run.fresh_at(now));
            // How long other work takes says nothing of what slots ask for.
            let started_at = run.attempt_started_at.filter(|_| !run.policy.given);
            took = started_at.map_or(took, |started_at| {
                Some(((at - micros(started_at)) / 1000).max(0))
            });
            // One that was given values is older than all that is due.
            if left_for <= run.fresh_at(now) {
                (left, left_for) = (0, None);
                healed_for = healed_for.max(Some(run.fresh_at(now).map_or(0, micros)));
            }
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
        at.into(),
        json_of(last.as_ref())?.into(),
        success_at.into(),
        failure_at.into(),
        micros_of(failed_for).into(),
        failures.into(),
        healed_for.into(),
        micros_of(left_for).into(),
        left.into(),
        micros_of(fresh_at).into(),
        took.into(),
    ])
}
