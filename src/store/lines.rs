//! The lines in which runs of one task stand behind each other, and who may come next.
//!
//! A run in line has no `claim_at`; one that may be claimed, is under way or waits for its retry has one,
//! and occupies its task. So one index answers both who is first and whether anybody is before them.

use sea_orm::FromQueryResult;

use super::{
    Tx, convert,
    convert::micros,
    rows::{CHUNK, Type, column},
};
use crate::{
    domain::{RunId, TaskId},
    error::Result,
};

#[derive(FromQueryResult)]
struct Head {
    task_id: uuid::Uuid,
    run_id: Option<uuid::Uuid>,
}

#[derive(FromQueryResult)]
struct Due {
    due_at: i64,
}

impl Tx {
    /// Lets the first in line of each of these tasks be claimed, where nothing else of the task may be
    /// claimed, is under way, or waits for its retry; says how many. The caller holds the tasks' locks.
    pub async fn runs_promote(&mut self, tasks: &[TaskId]) -> Result<u64> {
        let heads = self.line_heads(tasks).await?;
        self.promote(heads.into_iter().map(|(_, head)| head).collect())
            .await
    }

    /// Whether others stand in line behind what has ended in this write.
    pub async fn lines_wait(&mut self) -> Result<bool> {
        let freed: Vec<TaskId> = std::mem::take(&mut self.freed).into_iter().collect();
        let heads = self.line_heads(&freed).await?;
        self.heads.extend(heads);
        Ok(!self.heads.is_empty())
    }

    /// Lets the lines move up behind what has ended in this write, and was not taken from.
    pub(super) async fn move_lines(&mut self) -> Result<()> {
        self.lines_wait().await?;
        let heads = std::mem::take(&mut self.heads);
        self.promote(heads.into_values().collect()).await?;
        Ok(())
    }

    async fn promote(&mut self, heads: Vec<RunId>) -> Result<u64> {
        let mut promoted = 0;
        for chunk in heads.chunks(CHUNK) {
            let update = self
                .sql("UPDATE runs SET claim_at = ")
                .bind(micros(self.now))
                .push(" WHERE id")
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
                .push(" RETURNING due_at")
                .done();
            let rows: Vec<Due> = self.all(update).await?;
            for row in &rows {
                self.put_in_queue(convert::instant(row.due_at)?);
            }
            promoted += rows.len() as u64;
        }
        self.rings.queue |= 0 < promoted;
        Ok(promoted)
    }

    /// The first in line of each of these tasks, where nothing else of the task may be claimed, is under
    /// way, or waits for its retry. The caller holds the tasks' locks.
    async fn line_heads(&mut self, tasks: &[TaskId]) -> Result<Vec<(TaskId, RunId)>> {
        let mut heads = Vec::new();
        for chunk in tasks.chunks(CHUNK) {
            let rows = chunk.iter().map(|id| vec![id.0.into()]);
            let select = self
                .sql("")
                .with_values(&[column("id", Type::Uuid)], rows)
                .push("SELECT v.id AS task_id, (")
                .push(&first_in_line("v.id"))
                .push(") AS run_id FROM v WHERE v.id IS NOT NULL AND ")
                .push(&occupies("v.id"))
                .push(" IS NULL")
                .done();
            let rows: Vec<Head> = self.all(select).await?;
            let found = |row: Head| Some((TaskId(row.task_id), RunId(row.run_id?)));
            heads.extend(rows.into_iter().filter_map(found));
        }
        Ok(heads)
    }
}

/// A subquery: 1 where a run of the task may be claimed, is under way, or waits for its retry, else null.
/// Only those have a `claim_at`; a comparison finds them in the index, where IS NOT NULL would read all. It is
/// no EXISTS, which PostgreSQL would make a join of all such runs with all such tasks.
pub(super) fn occupies(task: &str) -> String {
    format!(
        "(SELECT 1 FROM runs o WHERE o.task_id = {task} AND o.finished_at IS NULL AND o.claim_at > 0 LIMIT 1)"
    )
}

/// The first run of the task that stands in line. Ordered as the index is, in which all that have no
/// `claim_at` stand together.
pub(super) fn first_in_line(task: &str) -> String {
    format!(
        "SELECT q.id FROM runs q WHERE q.task_id = {task} AND q.finished_at IS NULL \
         AND q.claim_at IS NULL ORDER BY q.claim_at, q.due_at, q.id LIMIT 1"
    )
}
