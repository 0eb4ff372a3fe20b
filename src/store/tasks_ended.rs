//! Tasks that have ended and may come back.

use super::{
    Store, Tx,
    rows::{CHUNK, Type},
    tasks::{WHOLE, Whole, whole},
};
use crate::{
    domain::{Task, TaskId, TaskName},
    error::Result,
};

/// Rows read for one chunk of names: of a name that came and went, the newest count.
const ROWS: i64 = 2000;

impl Store {
    /// Tasks of these names that have ended and are not erased, those that ended last first; at most 2,000 for each
    /// chunk of names.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_ended(&self, names: &[&TaskName]) -> Result<Vec<Task>> {
        let mut ended = Vec::new();
        for chunk in names.chunks(CHUNK) {
            let select = self
                .sql(WHOLE)
                .push("t.deleted_at IS NOT NULL AND t.name")
                .one_of(Type::Text, chunk.iter().map(|name| name.as_str()))
                .push(" ORDER BY t.deleted_at DESC LIMIT ")
                .bind(ROWS)
                .done();
            ended.extend(whole(self.all(select).await?)?);
        }
        Ok(ended)
    }
}

impl Tx {
    /// A task that has ended, locked until this write is over; none where it lives again or was erased.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn task_ended_locked(&mut self, id: TaskId) -> Result<Option<Task>> {
        let select = self
            .sql(WHOLE)
            .push("t.deleted_at IS NOT NULL AND t.id = ")
            .bind(id.0)
            .postgres(" FOR UPDATE OF t")
            .done();
        let row: Option<Whole> = self.one(select).await?;
        row.map(Task::try_from).transpose()
    }
}
