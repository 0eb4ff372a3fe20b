//! What of logs is dropped: with their runs, and before them where logs are kept for less long.

use jiff::Timestamp;
use sea_orm::{FromQueryResult, Statement};

use super::At;
use crate::{
    domain::RunId,
    error::Result,
    store::{Id, Store, Tx, convert, convert::micros, rows::Type, sql::Sql},
};

/// Rows of logs that one transaction deletes, their bytes, and runs whose they are.
const LINES: i64 = 1000;
const BYTES: i64 = 256 << 10;
const LOGS: i64 = 50;
/// Where logs are: in lines, as earlier versions have written them, and in chunks; and what of a row is long.
const LOG_TABLES: [(&str, &str); 2] = [("run_log", "text"), ("run_log_chunks", "body")];

/// Rows of logs that one transaction deletes.
#[derive(Clone, Debug, Default)]
pub struct LogBite {
    /// Runs of which all goes.
    whole: Vec<RunId>,
    /// Where of a run what stands up to an attempt and a line goes.
    part: Option<Part>,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    table: &'static str,
    run: RunId,
    attempt: i64,
    line: i64,
}

impl LogBite {
    /// The runs whose logs lose something.
    fn runs(&self) -> Vec<RunId> {
        let part = self.part.map(|part| part.run);
        self.whole.iter().copied().chain(part).collect()
    }
}

/// Runs that have a log, and ended long ago: some, and how far they were looked for.
#[derive(Clone, Debug)]
pub struct OldLogs {
    pub runs: Vec<RunId>,
    pub upto: RunId,
}

#[derive(FromQueryResult)]
struct Line {
    attempt: i64,
    line: i64,
    bytes: i64,
}

impl Store {
    /// The oldest rows of the logs of these runs: as many as one transaction deletes. None where they have no more.
    pub async fn log_bite(&self, runs: &[RunId]) -> Result<Option<LogBite>> {
        let with_lines = self
            .sql("SELECT id FROM runs WHERE id")
            .one_of(Type::Uuid, runs.iter().map(|run| run.0))
            .push(
                " AND (EXISTS (SELECT 1 FROM run_log WHERE run_id = runs.id) OR EXISTS (SELECT 1 FROM run_log_chunks \
                 WHERE run_id = runs.id)) ORDER BY id LIMIT ",
            )
            .bind(LOGS)
            .done();
        let runs: Vec<Id> = self.all(with_lines).await?;
        let mut bite = LogBite::default();
        let (mut lines, mut bytes) = (LINES, BYTES);
        for run in runs {
            let run = RunId(run.id);
            for (table, long) in LOG_TABLES {
                bite.part = self
                    .part_of(run, (table, long), &mut lines, &mut bytes)
                    .await?;
                if bite.part.is_some() {
                    return Ok(Some(bite));
                }
            }
            bite.whole.push(run);
            if lines <= 0 || bytes <= 0 {
                break;
            }
        }
        Ok((!bite.whole.is_empty()).then_some(bite))
    }

    /// What of a run's log in this table fits into so many rows and bytes; none where all does.
    async fn part_of(
        &self,
        run: RunId,
        (table, long): (&'static str, &str),
        lines: &mut i64,
        bytes: &mut i64,
    ) -> Result<Option<Part>> {
        let most = (*lines).max(1);
        let select = self
            .sql("SELECT attempt, line, octet_length(")
            .push(long)
            .push(")")
            .postgres("::bigint")
            .push(" AS bytes FROM ")
            .push(table)
            .push(" WHERE run_id = ")
            .bind(run.0)
            .push(" ORDER BY attempt, line LIMIT ")
            .bind(most)
            .done();
        let read: Vec<Line> = self.all(select).await?;
        let mut taken = 0;
        for line in &read {
            if *bytes <= 0 {
                break;
            }
            *bytes -= line.bytes;
            taken += 1;
        }
        let taken_rows = i64::try_from(taken).unwrap_or(i64::MAX);
        if taken == read.len() && taken_rows < most {
            *lines -= taken_rows;
            return Ok(None);
        }
        // Where there is no room any more, one row goes all the same: a bite is never empty.
        let last = read[..taken.max(1)].last();
        Ok(last.map(|line| Part {
            table,
            run,
            attempt: line.attempt,
            line: line.line,
        }))
    }

    /// Runs behind `after` that were queued and ended before `before` and still have a log: as many as are looked at in one
    /// go. None where no run has one any more.
    pub async fn logs_old(&self, before: Timestamp, after: RunId) -> Result<Option<OldLogs>> {
        let end = RunId::first_from(before);
        let mut found: Vec<RunId> = Vec::new();
        let mut upto = after;
        while i64::try_from(found.len()).unwrap_or(LOGS) < LOGS {
            let mut next: Option<RunId> = None;
            for (table, _) in LOG_TABLES {
                // From key to key: the rows of a log are not read to find where it ends.
                let select = self
                    .sql("SELECT run_id AS id FROM ")
                    .push(table)
                    .push(" WHERE run_id > ")
                    .bind(upto.0)
                    .push(" AND run_id < ")
                    .bind(end.0)
                    .push(" ORDER BY run_id LIMIT 1")
                    .done();
                let row: Option<Id> = self.one(select).await?;
                next = next.into_iter().chain(row.map(|row| RunId(row.id))).min();
            }
            let Some(next) = next else { break };
            found.push(next);
            upto = next;
        }
        if found.is_empty() {
            return Ok(None);
        }
        let ended = self
            .sql("SELECT id FROM runs WHERE id")
            .one_of(Type::Uuid, found.iter().map(|run| run.0))
            .push(" AND finished_at < ")
            .bind(micros(before))
            .done();
        let ended: Vec<Id> = self.all(ended).await?;
        Ok(Some(OldLogs {
            runs: ended.into_iter().map(|row| RunId(row.id)).collect(),
            upto,
        }))
    }

    /// When the log of a run was dropped, or began to be.
    pub async fn log_dropped_at(&self, run: RunId) -> Result<Option<Timestamp>> {
        let select = self
            .sql("SELECT log_dropped_at AS at FROM runs WHERE id = ")
            .bind(run.0)
            .done();
        let row: Option<At> = self.one(select).await?;
        convert::instant_of(row.and_then(|row| row.at))
    }
}

impl Tx {
    /// Deletes what [`Store::log_bite`] has found, which is as much as one transaction should; says how many rows.
    pub async fn log_drop(&mut self, bite: &LogBite) -> Result<u64> {
        let mut rows = 0;
        if !bite.whole.is_empty() {
            for (table, _) in LOG_TABLES {
                let delete = self
                    .sql("DELETE FROM ")
                    .push(table)
                    .push(" WHERE run_id")
                    .one_of(Type::Uuid, bite.whole.iter().map(|run| run.0))
                    .done();
                rows += self.run(delete).await?;
            }
        }
        if let Some(part) = bite.part {
            let delete = delete_part(self.sql(""), part);
            rows += self.run(delete).await?;
        }
        Ok(rows)
    }

    /// Notes of runs whose logs lose this, and which stay themselves, that they were dropped: from the first row on, so that
    /// what is left of one is not taken for all there was.
    pub async fn log_note_dropped(&mut self, bite: &LogBite) -> Result<()> {
        let update = self
            .sql("UPDATE runs SET log_dropped_at = ")
            .bind(micros(self.now()))
            .push(" WHERE log_dropped_at IS NULL AND id")
            .one_of(Type::Uuid, bite.runs().iter().map(|run| run.0))
            .done();
        self.run(update).await.map(drop)
    }
}

/// Deletes what a part names.
fn delete_part(sql: Sql, part: Part) -> Statement {
    sql.push("DELETE FROM ")
        .push(part.table)
        .push(" WHERE run_id = ")
        .bind(part.run.0)
        // As one value: a range of the key on both databases.
        .push(" AND (attempt, line) <= (")
        .bind(part.attempt)
        .push(", ")
        .bind(part.line)
        .push(")")
        .done()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_deletes_a_part_of_a_log_by_a_range_of_its_key() {
        let (_dir, store) = empty_store().await;
        for (table, _) in LOG_TABLES {
            let run = RunId(uuid::Uuid::nil());
            let (attempt, line) = (1, 1);
            let part = Part {
                table,
                run,
                attempt,
                line,
            };
            let steps = plan(&store, delete_part(store.sql(""), part)).await;
            let range = "(run_id=? AND (attempt,line)<(?,?))";
            assert!(steps.iter().any(|step| step.contains(range)), "{steps:?}");
        }
    }
}
