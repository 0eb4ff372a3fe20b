//! What tasks were told to do, and since when: each edit is a revision, and none is changed.

use std::sync::Arc;

use jiff::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, DbBackend, EntityTrait as _, FromQueryResult,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement,
};

use super::{
    Store, Tx, convert,
    convert::{json, micros},
    entity::task_revision,
    rows::{CHUNK, Column, Type, column},
    specs,
    sql::Sql,
};
use crate::{
    domain::{Task, TaskId, TaskSpec},
    error::Result,
};

/// A specification and since when it holds.
#[derive(Clone, Debug)]
pub struct Revision {
    pub revision: i64,
    pub effective_from: Timestamp,
    pub spec: TaskSpec,
}

#[derive(FromQueryResult)]
struct SpecRow {
    task_id: uuid::Uuid,
    revision: i64,
    spec: String,
}

impl Store {
    /// The revisions in force at or after `since`, oldest first.
    pub async fn revisions_since(&self, id: TaskId, since: Timestamp) -> Result<Vec<Revision>> {
        let mut rows = task_revision::Entity::find()
            .filter(task_revision::Column::TaskId.eq(id.0))
            .order_by_desc(task_revision::Column::Revision)
            .limit(1000)
            .all(&self.inner.read)
            .await?;
        rows.sort_by_key(|row| row.revision);
        let since = micros(since);
        let first = rows
            .iter()
            .rposition(|row| row.effective_from <= since)
            .unwrap_or(0);
        rows.drain(..first);
        let read = |row: task_revision::Model| {
            Ok(Revision {
                revision: row.revision,
                effective_from: convert::instant(row.effective_from)?,
                spec: convert::read(&row.spec)?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// What these revisions of tasks say, but for those that this program cannot read: these must not stop
    /// the others.
    pub async fn specs(&self, of: &[(TaskId, i64)]) -> Result<Vec<SpecOf>> {
        let mut specs = Vec::with_capacity(of.len());
        for chunk in of.chunks(CHUNK) {
            let rows: Vec<SpecRow> = self.all(select_specs(self.inner.backend, chunk)).await?;
            specs.extend(rows.into_iter().filter_map(spec_of));
        }
        Ok(specs)
    }
}

/// A task, the number of a revision, and what it says.
pub type SpecOf = (TaskId, i64, Arc<TaskSpec>);

fn select_specs(backend: DbBackend, of: &[(TaskId, i64)]) -> Statement {
    const COLUMNS: &[Column] = &[column("id", Type::Uuid), column("number", Type::Big)];
    let rows = of
        .iter()
        .map(|(id, revision)| vec![id.0.into(), (*revision).into()]);
    Sql::new(backend, "")
        .with_values(COLUMNS, rows)
        .push(
            "SELECT r.task_id, r.revision, r.spec FROM v JOIN task_revisions r \
             ON r.task_id = v.id AND r.revision = v.number",
        )
        .done()
}

fn spec_of(row: SpecRow) -> Option<SpecOf> {
    let spec = specs::read(&row.spec).ok()?;
    Some((TaskId(row.task_id), row.revision, spec))
}

impl Tx {
    /// As [`Store::specs`].
    pub async fn specs(&mut self, of: &[(TaskId, i64)]) -> Result<Vec<SpecOf>> {
        let mut specs = Vec::with_capacity(of.len());
        for chunk in of.chunks(CHUNK) {
            let rows: Vec<SpecRow> = self.all(select_specs(self.backend(), chunk)).await?;
            specs.extend(rows.into_iter().filter_map(spec_of));
        }
        Ok(specs)
    }

    /// Writes the specification of a task as a new revision in force from its cursor on.
    pub async fn revision_insert(
        &mut self,
        task: &Task,
        principal: &str,
        reason: &str,
    ) -> Result<()> {
        let row = task_revision::ActiveModel {
            task_id: Set(task.id.0),
            revision: Set(task.revision),
            effective_from: Set(micros(task.cursor_at)),
            spec: Set(json(&*task.spec)?),
            principal: Set(principal.to_owned()),
            reason: Set(reason.to_owned()),
        };
        let insert = task_revision::Entity::insert(row);
        let done = insert.exec_without_returning(self.open()?).await;
        self.check(done)?;
        Ok(())
    }
}
