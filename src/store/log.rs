//! Log lines of runs, keyed (run, attempt, line).

use jiff::Timestamp;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::{
    Store, Tx, convert,
    convert::micros,
    entity::run_log,
    rows::{Column, Type, column},
};
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

const COLUMNS: &[Column] = &[
    column("run_id", Type::Uuid),
    column("attempt", Type::Big),
    column("line", Type::Big),
    column("at", Type::Big),
    column("stream", Type::Text),
    column("text", Type::Text),
];

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
        let values = |line: &LogLine| {
            vec![
                line.run.0.into(),
                line.attempt.into(),
                line.line.into(),
                micros(line.at).into(),
                line.stream.as_str().into(),
                line.text.as_str().into(),
            ]
        };
        // Two that write the same lines at once wait for each other at most once: both go in this order.
        let mut in_order: Vec<&LogLine> = lines.iter().collect();
        in_order.sort_by_key(|line| (line.run, line.attempt, line.line));
        let rows = in_order.into_iter().map(values).collect();
        let tail = " ON CONFLICT (run_id, attempt, line) DO NOTHING";
        self.insert("run_log", COLUMNS, &[], rows, tail).await
    }
}
