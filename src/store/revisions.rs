//! What tasks were told to do, and since when: each edit is a revision, and none is changed.

use std::sync::Arc;

use sea_orm::{ActiveValue::Set, DbBackend, EntityTrait as _, FromQueryResult, Statement};

use super::{
    Store, Tx,
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

#[derive(FromQueryResult)]
struct SpecRow {
    task_id: uuid::Uuid,
    revision: i64,
    spec: String,
}

impl Store {
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
