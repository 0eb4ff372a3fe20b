//! Log lines of runs, keyed (run, attempt, line).

use jiff::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, sea_query::OnConflict,
};

use super::{CHUNK, Store, Tx, convert, convert::micros, entity::run_log};
use crate::{domain::RunId, error::Result};

/// A line of a run's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub run: RunId,
    pub attempt: i64,
    pub line: i64,
    pub at: Timestamp,
    /// `log`, `stdout` or `stderr`.
    pub stream: String,
    pub text: String,
}

impl Store {
    /// Lines of a run after (attempt, line), in order.
    pub async fn log_after(
        &self,
        run: RunId,
        after: (i64, i64),
        limit: u64,
    ) -> Result<Vec<LogLine>> {
        let (attempt, line) = after;
        let later_line = Condition::all()
            .add(run_log::Column::Attempt.eq(attempt))
            .add(run_log::Column::Line.gt(line));
        let rows = run_log::Entity::find()
            .filter(run_log::Column::RunId.eq(run.0))
            .filter(
                Condition::any()
                    .add(run_log::Column::Attempt.gt(attempt))
                    .add(later_line),
            )
            .order_by_asc(run_log::Column::Attempt)
            .order_by_asc(run_log::Column::Line)
            .limit(limit)
            .all(&self.inner.read)
            .await?;
        let read = |row: run_log::Model| {
            Ok(LogLine {
                run: RunId(row.run_id),
                attempt: row.attempt,
                line: row.line,
                at: convert::instant(row.at)?,
                stream: row.stream,
                text: row.text,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx {
    /// Adds lines. One that is there already stays: a flush whose end was not heard is repeated.
    pub async fn log_insert(&mut self, lines: &[LogLine]) -> Result<()> {
        for chunk in lines.chunks(CHUNK) {
            let rows = chunk.iter().map(|line| run_log::ActiveModel {
                run_id: Set(line.run.0),
                attempt: Set(line.attempt),
                line: Set(line.line),
                at: Set(micros(line.at)),
                stream: Set(line.stream.clone()),
                text: Set(line.text.clone()),
            });
            let key = [
                run_log::Column::RunId,
                run_log::Column::Attempt,
                run_log::Column::Line,
            ];
            let insert = run_log::Entity::insert_many(rows)
                .on_conflict(OnConflict::columns(key).do_nothing().to_owned());
            let done = insert.exec_without_returning(self.open()?).await;
            self.check(done)?;
        }
        Ok(())
    }
}
