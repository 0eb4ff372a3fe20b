//! Finished runs: figures, and pruning.

use std::time::Duration;

use jiff::Timestamp;
use sea_orm::{FromQueryResult, Statement};

use super::{
    Id, Store, Tx, convert,
    convert::micros,
    rows::{CHUNK, Type},
    sql::Sql,
};
use crate::{
    domain::{Outcome, RunId, RunState, TaskId, run::reason},
    error::Result,
};

/// Figures of the runs that finished in a span; dry runs do not count.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub runs: i64,
    pub successes: i64,
    pub partial: i64,
    pub failures: i64,
    pub cancelled: i64,
    /// p50, p95 and maximum of the time from start to finish.
    pub durations: Option<[Duration; 3]>,
    /// p50, p95 and maximum of the time from due to start.
    pub latencies: Option<[Duration; 3]>,
    /// There were more runs than are looked at.
    pub sampled: bool,
}

/// Runs looked at for figures: so their cost does not grow with history.
const SAMPLE: usize = 10_000;

#[derive(FromQueryResult)]
struct Row {
    state: String,
    outcome: Option<String>,
    reason: String,
    dry_run: bool,
    due_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct Kept {
    id: uuid::Uuid,
    failed: bool,
}

#[derive(FromQueryResult)]
struct At {
    at: Option<i64>,
}

impl Store {
    /// Figures of a task's runs that finished since `since`; `also` are outcomes that its task counts as full
    /// successes besides those that always are.
    pub async fn figures(
        &self,
        task: TaskId,
        also: &[Outcome],
        since: Timestamp,
    ) -> Result<Figures> {
        let select = self
            .sql(
                "SELECT state, outcome, reason, dry_run, due_at, started_at, finished_at FROM runs WHERE task_id = ",
            )
            .bind(task.0)
            .push(" ORDER BY id DESC LIMIT ")
            .bind(SAMPLE as i64)
            .done();
        let mut rows: Vec<Row> = self.all(select).await?;
        let since = micros(since);
        // They are read by when they were queued. Where the oldest of a full sample ended within the
        // span, there may be more that did.
        let full = rows.len() == SAMPLE;
        let mut figures = Figures {
            sampled: full
                && rows
                    .last()
                    .is_some_and(|row| row.finished_at.is_none_or(|at| since <= at)),
            ..Figures::default()
        };
        rows.retain(|row| {
            row.finished_at.is_some_and(|at| since <= at)
                && !row.dry_run
                && ![reason::SUPERSEDED_BY_SLOT, reason::RESTORED].contains(&&*row.reason)
        });
        for row in &rows {
            let state = convert::word("run state", &row.state, RunState::parse(&row.state))?;
            figures.runs += 1;
            match state {
                RunState::Succeeded => {
                    let outcome = row.outcome.as_deref().and_then(Outcome::parse);
                    match outcome.is_some_and(|outcome| outcome.is_full(also)) {
                        true => figures.successes += 1,
                        false => figures.partial += 1,
                    }
                }
                RunState::Cancelled => figures.cancelled += 1,
                RunState::Failed | RunState::TimedOut | RunState::Expired | RunState::Abandoned => {
                    figures.failures += 1;
                }
                RunState::Queued | RunState::Running | RunState::RetryWait => {}
            }
        }
        let started = || rows.iter().filter_map(|row| Some((row, row.started_at?)));
        let ended = |(row, at): (&Row, i64)| Some(row.finished_at? - at);
        figures.durations = spread(started().filter_map(ended));
        figures.latencies = spread(started().map(|(row, at)| at - row.due_at));
        Ok(figures)
    }

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

    /// Runs of a task that were queued and ended before `before`, oldest first, but for those that are `kept`.
    pub async fn history_old(
        &self,
        task: TaskId,
        before: Timestamp,
        kept: &[RunId],
        limit: usize,
    ) -> Result<Vec<RunId>> {
        let mut select = self
            .sql("SELECT id FROM runs WHERE task_id = ")
            .bind(task.0)
            .push(" AND id < ")
            .bind(RunId::first_from(before).0)
            .push(" AND finished_at < ")
            .bind(micros(before));
        for id in kept {
            select = select.push(" AND id <> ").bind(id.0);
        }
        let select = select
            .push(" ORDER BY id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done();
        let rows: Vec<Id> = self.all(select).await?;
        Ok(rows.into_iter().map(|row| RunId(row.id)).collect())
    }

    /// Runs of a task that have ended, whichever.
    pub async fn history_all(&self, task: TaskId, limit: usize) -> Result<Vec<RunId>> {
        let select = self
            .sql("SELECT id FROM runs WHERE finished_at IS NOT NULL AND task_id = ")
            .bind(task.0)
            .push(" LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done();
        let rows: Vec<Id> = self.all(select).await?;
        Ok(rows.into_iter().map(|row| RunId(row.id)).collect())
    }
}

impl Tx {
    /// Deletes runs with their attempts and log lines; says how many.
    pub async fn runs_delete(&mut self, runs: &[RunId]) -> Result<u64> {
        let mut all_gone = 0;
        for chunk in runs.chunks(CHUNK) {
            let mut gone = 0;
            for table in [
                "run_log WHERE run_id",
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

/// p50, p95 and maximum of spans in microseconds (nearest rank).
fn spread(micros: impl Iterator<Item = i64>) -> Option<[Duration; 3]> {
    let mut sorted: Vec<u64> = micros.map(|span| span.max(0).unsigned_abs()).collect();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1)?;
    let rank = |percent: usize| {
        Duration::from_micros(
            sorted[(sorted.len() * percent)
                .div_ceil(100)
                .saturating_sub(1)
                .min(last)],
        )
    };
    Some([rank(50), rank(95), rank(100)])
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
