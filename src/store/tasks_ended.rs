//! Tasks that have ended and may come back.

use jiff::Timestamp;

use super::{
    Store, Tx,
    convert::micros,
    rows::{CHUNK, Type},
    tasks::{WHOLE, Whole, whole},
};
use crate::{
    domain::{Task, TaskId, TaskName},
    error::Result,
};

/// Rows read in one go.
const ROWS: u64 = 2000;

impl Store {
    /// Tasks of these names that have ended and are not erased; of one name, those that ended last first.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_ended(&self, names: &[&TaskName]) -> Result<Vec<Task>> {
        let mut ended = Vec::new();
        for chunk in names.chunks(CHUNK) {
            let mut behind: Option<(Timestamp, TaskId)> = None;
            loop {
                let mut select = self
                    .sql(WHOLE)
                    .push("t.deleted_at IS NOT NULL AND t.name")
                    .one_of(Type::Text, chunk.iter().map(|name| name.as_str()));
                if let Some((at, id)) = behind {
                    select = select
                        .push(" AND (t.deleted_at, t.id) < (")
                        .bind(micros(at))
                        .push(", ")
                        .bind(id.0)
                        .push(")");
                }
                let select = select
                    .push(" ORDER BY t.deleted_at DESC, t.id DESC")
                    .limit(ROWS)
                    .done();
                let page = whole(self.all(select).await?)?;
                let is_last = (page.len() as u64) < ROWS;
                let last = page.last();
                behind = last.and_then(|task| Some((task.deleted_at?, task.id)));
                ended.extend(page);
                // One name may have come and gone more often than there are rows in a page.
                if is_last || behind.is_none() {
                    break;
                }
            }
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
