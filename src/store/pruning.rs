//! Pruning: what of history is dropped, in transactions that hold nobody up.
//!
//! A run may have a hundred attempts and a hundred MiB of log: what one transaction deletes is measured in rows and bytes,
//! not in runs. What of logs goes stands in `logs`.

mod logs;

use jiff::Timestamp;
use sea_orm::{FromQueryResult, Statement};

pub use self::logs::{LogBite, OldLogs};
use super::{
    Store, Tx, convert,
    convert::micros,
    rows::{CHUNK, Type},
    sql::Sql,
};
use crate::{
    domain::{Outcome, RunId, RunState, Task, TaskId, ledger::SlotOutcome},
    error::Result,
};

/// Runs that one transaction deletes, and attempts of them.
const RUNS: i64 = 200;
const ATTEMPTS: i64 = 500;
/// Revisions that one transaction deletes.
const REVISIONS: i64 = 200;

#[derive(FromQueryResult)]
struct Kept {
    id: uuid::Uuid,
    failed: bool,
}

#[derive(FromQueryResult)]
struct At {
    at: Option<i64>,
}

#[derive(FromQueryResult)]
struct Old {
    id: uuid::Uuid,
    attempt: i64,
}

impl Store {
    /// When the `keep`th newest run of a task was queued: those before it are beyond the count.
    pub async fn history_cutoff(&self, task: TaskId, keep: u32) -> Result<Option<Timestamp>> {
        let select = self
            .sql("SELECT queued_at AS at FROM runs WHERE task_id = ")
            .bind(task.0)
            .push(" ORDER BY id DESC LIMIT 1 OFFSET ")
            .bind(i64::from(keep.saturating_sub(1)))
            .done();
        let row: Option<At> = self.one(select).await?;
        convert::instant_of(row.and_then(|row| row.at))
    }

    /// A task's newest full success (`also` as in [`Store::figures`]) and newest failure, which are kept however old
    /// they are; dry runs are neither.
    pub async fn history_kept(&self, task: TaskId, also: &[Outcome]) -> Result<Vec<RunId>> {
        let rows: Vec<Kept> = self.all(select_kept(self.sql(""), task, also)).await?;
        let success = rows.iter().filter(|row| !row.failed).map(|row| row.id);
        let failure = rows.iter().filter(|row| row.failed).map(|row| row.id);
        let kept = success.max().into_iter().chain(failure.max());
        Ok(kept.map(RunId).collect())
    }

    /// The oldest runs of a task that were queued and ended before `before`, but for those that are `kept`: as many as
    /// one transaction deletes.
    pub async fn history_old(
        &self,
        task: TaskId,
        before: Timestamp,
        kept: &[RunId],
    ) -> Result<Vec<RunId>> {
        let mut select = self
            .sql("SELECT id, attempt FROM runs WHERE task_id = ")
            .bind(task.0)
            .push(" AND id < ")
            .bind(RunId::first_from(before).0)
            .push(" AND finished_at < ")
            .bind(micros(before));
        for id in kept {
            select = select.push(" AND id <> ").bind(id.0);
        }
        let select = select.push(" ORDER BY id LIMIT ").bind(RUNS).done();
        Ok(portion(self.all(select).await?))
    }

    /// Runs of a task that have ended, whichever: as many as one transaction deletes.
    pub async fn history_all(&self, task: TaskId) -> Result<Vec<RunId>> {
        let select = self
            .sql("SELECT id, attempt FROM runs WHERE finished_at IS NOT NULL AND task_id = ")
            .bind(task.0)
            .push(" LIMIT ")
            .bind(RUNS)
            .done();
        Ok(portion(self.all(select).await?))
    }
}

impl Tx {
    /// Deletes revisions of a task that no row of its ledger was decided by any more, some hundred of the oldest; says how
    /// many. What a row was decided by never grows older along the ledger.
    pub async fn revisions_prune(&mut self, task: &Task) -> Result<u64> {
        let delete = self
            .sql("DELETE FROM task_revisions WHERE task_id = ")
            .bind(task.id.0)
            .push(" AND revision IN (SELECT revision FROM task_revisions WHERE task_id = ")
            .bind(task.id.0)
            .push(" AND revision < ")
            .bind(task.revision)
            .push(" AND revision < coalesce((SELECT revision FROM slots WHERE task_id = ")
            .bind(task.id.0)
            .push(" AND outcome <> ")
            .bind(SlotOutcome::Pruned.as_str())
            .push(" ORDER BY upto_at LIMIT 1), ")
            .bind(task.revision)
            .push(") ORDER BY revision LIMIT ")
            .bind(REVISIONS)
            .push(")")
            .done();
        self.run(delete).await
    }

    /// Deletes runs with their attempts, and the log lines that are left of them; says how many.
    pub async fn runs_delete(&mut self, runs: &[RunId]) -> Result<u64> {
        let mut all_gone = 0;
        for chunk in runs.chunks(CHUNK) {
            let mut gone = 0;
            for table in [
                "run_log WHERE run_id",
                "run_log_chunks WHERE run_id",
                "run_attempts WHERE run_id",
                "runs WHERE id",
            ] {
                let delete = self
                    .sql("DELETE FROM ")
                    .push(table)
                    .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
                    .done();
                gone = self.run(delete).await?;
            }
            // The runs themselves come last.
            all_gone += gone;
        }
        Ok(all_gone)
    }

    /// Deletes a task that was deleted long ago, with all that hangs on it but its runs.
    pub async fn task_erase(&mut self, id: TaskId) -> Result<()> {
        for table in [
            "slots WHERE task_id",
            "task_revisions WHERE task_id",
            "task_layers WHERE task_id",
            "task_facets WHERE task_id",
            "tasks WHERE id",
        ] {
            let delete = self
                .sql("DELETE FROM ")
                .push(table)
                .push(" = ")
                .bind(id.0)
                .done();
            self.run(delete).await?;
        }
        Ok(())
    }
}

/// The first of them, with as many attempts as one transaction deletes.
fn portion(old: Vec<Old>) -> Vec<RunId> {
    let mut left = ATTEMPTS;
    let taken = old.into_iter().take_while(|run| {
        let fits = 0 < left;
        left -= run.attempt.max(1);
        fits
    });
    taken.map(|run| RunId(run.id)).collect()
}

/// The newest success, and the newest run that failed in each of the ways there are. A failure is found by the
/// index of what was no success: many a task has never failed, and its history would be read to the end.
fn select_kept(sql: Sql, task: TaskId, also: &[Outcome]) -> Statement {
    let full = Outcome::ALL
        .iter()
        .filter(|outcome| outcome.is_full(also))
        .map(|outcome| outcome.as_str());
    let newest = " AND NOT dry_run ORDER BY id DESC LIMIT 1) AS ";
    let mut sql = sql
        .push(
            "SELECT id, false AS failed FROM (SELECT id FROM runs WHERE finished_at IS NOT NULL \
             AND state = 'succeeded' AND outcome",
        )
        .one_of(Type::Text, full)
        .push(" AND task_id = ")
        .bind(task.0)
        .push(newest)
        .push("succeeded");
    for state in RunState::ALL.iter().filter(|state| state.is_failure()) {
        sql = sql
            .push(" UNION ALL SELECT id, true AS failed FROM (SELECT id FROM runs")
            // It has no statistics of the index, and would rather read the task's runs.
            .sqlite(" INDEXED BY runs_unsuccessful_of")
            .push(" WHERE finished_at IS NOT NULL AND state <> 'succeeded' AND state = ")
            .bind(state.as_str())
            .push(" AND task_id = ")
            .bind(task.0)
            .push(newest)
            .push(state.as_str());
    }
    sql.done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_finds_the_newest_failure_without_reading_what_succeeded() {
        let (_dir, store) = empty_store().await;
        let select = select_kept(store.sql(""), TaskId(uuid::Uuid::nil()), &[]);
        let steps = plan(&store, select).await;
        let has = |what: &str| steps.iter().filter(|step| step.contains(what)).count();
        let by_state = "USING INDEX runs_unsuccessful_of (task_id=? AND state=?)";
        assert_eq!(has(by_state), 4, "failed, timed out, expired and abandoned");
        assert_eq!(has("runs_task (task_id=?)"), 1);
        assert_eq!(has("TEMP B-TREE"), 0);
    }
}
