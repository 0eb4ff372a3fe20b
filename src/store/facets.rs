//! What tasks are found by: a row of each that is not deleted, which edits write and runs do not.

use std::{collections::BTreeSet, sync::Arc};

use sea_orm::{FromQueryResult, Statement};

use super::{
    Id, Store, Tx,
    rows::{CHUNK, Column, Type, column},
    specs,
    sql::Sql,
    tasks::{WHOLE, whole},
};
use crate::{
    domain::{Task, TaskId, TaskName, TaskSpec, task::Lower},
    error::Result,
};

const COLUMNS: &[Column] = &[
    column("task_id", Type::Uuid),
    column("name", Type::Text),
    column("kind", Type::Text),
    column("category", Type::Text),
    column("added", Type::Bool),
    column("overridden", Type::Bool),
    column("work", Type::Big),
    column("built_in", Type::Big),
    column("configured", Type::Big),
    column("version", Type::Big),
    column("owner", Type::Text),
];

/// All but the key.
const WRITE: &str = " ON CONFLICT (task_id) DO UPDATE SET name = excluded.name, kind = excluded.kind, \
     category = excluded.category, added = excluded.added, overridden = excluded.overridden, work = excluded.work, \
     built_in = excluded.built_in, configured = excluded.configured, version = excluded.version, owner = excluded.owner";

/// Rows read in one go.
const PAGE: usize = 5000;

/// A task of which a start has brought layers.
#[derive(Clone, Debug)]
pub struct LowerOf {
    pub name: TaskName,
    pub lower: Lower,
}

/// A task that the API has added, and the first that others define and that does the same work.
#[derive(Clone, Debug)]
pub struct Double {
    pub added: TaskName,
    pub defined: TaskName,
    /// What both are told to do, but for when.
    pub spec: Arc<TaskSpec>,
}

#[derive(FromQueryResult)]
struct LowerRow {
    task_id: uuid::Uuid,
    name: String,
    built_in: i64,
    configured: i64,
}

#[derive(FromQueryResult)]
struct DoubleRow {
    added: String,
    defined: String,
    spec: String,
}

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

#[derive(FromQueryResult)]
struct LastRow {
    last: Option<String>,
    number: i64,
}

/// Tasks that differ behind a page of those that do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adrift {
    pub number: i64,
    /// Whether that is all of them; else so many at least.
    pub is_all: bool,
}

#[derive(Default, FromQueryResult)]
struct AdriftRow {
    changed: i64,
    doubled: i64,
    added: i64,
}

impl Store {
    /// What a start brought of tasks, in the order in which they were made: a page is read by the key, and nothing is sorted.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_brought(&self) -> Result<Vec<LowerOf>> {
        let mut brought: Vec<LowerOf> = Vec::new();
        let mut behind = None;
        loop {
            let mut select = self.sql(
                // A server of an earlier version leaves the row of a task that it ends.
                "SELECT f.task_id, f.name, f.built_in, f.configured FROM task_facets f CROSS JOIN tasks t WHERE t.id = f.task_id \
                 AND t.deleted_at IS NULL AND (f.built_in <> 0 OR f.configured <> 0)",
            );
            if let Some(last) = behind {
                select = select.push(" AND f.task_id > ").bind(last);
            }
            let select = select.push(" ORDER BY f.task_id").limit(PAGE as u64).done();
            let rows: Vec<LowerRow> = self.all(select).await?;
            behind = rows.last().map(|row| row.task_id);
            let is_last = rows.len() < PAGE;
            for row in rows {
                brought.push(LowerOf {
                    name: row.name.parse()?,
                    lower: Lower {
                        built_in: row.built_in,
                        configuration: row.configured,
                    },
                });
            }
            if is_last {
                return Ok(brought);
            }
        }
    }

    /// Those of these names that tasks have which are not deleted.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn names_there(&self, names: &[&TaskName]) -> Result<BTreeSet<TaskName>> {
        let mut there = BTreeSet::new();
        for chunk in names.chunks(CHUNK) {
            let select = self
                .sql("SELECT name FROM tasks WHERE deleted_at IS NULL AND name")
                .one_of(Type::Text, chunk.iter().map(|name| name.as_str()))
                .done();
            let rows: Vec<Name> = self.all(select).await?;
            for row in rows {
                there.insert(row.name.parse()?);
            }
        }
        Ok(there)
    }

    /// Tasks of which the API has changed what others define, by name: so many behind one of them.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_overridden(
        &self,
        behind: Option<&TaskName>,
        limit: usize,
    ) -> Result<Vec<Task>> {
        let select = overridden(self.sql(""), behind, limit);
        whole(self.all(select).await?)
    }

    /// Tasks that the API has added although others define one that does the same work, by name; and up to which of those
    /// that it has added that is all, as so many are looked at behind one of them. None where there are no more.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_doubled(
        &self,
        behind: Option<&TaskName>,
        looked_at: usize,
    ) -> Result<(Vec<Double>, Option<TaskName>)> {
        let last = added(
            self.sql("SELECT max(l.name) AS last, count(*) AS number FROM "),
            behind,
            looked_at,
        );
        let last: Option<LastRow> = self.one(last.push(" l").done()).await?;
        let last =
            last.filter(|row| usize::try_from(row.number).is_ok_and(|number| looked_at <= number));
        let last = last.and_then(|row| row.last).map(|name| name.parse());
        let select = self
            .sql("SELECT s.added, s.defined, r.spec FROM (SELECT a.task_id, a.name AS added, (SELECT d.name FROM task_facets d \
                 WHERE d.work = a.work AND NOT d.added ORDER BY d.name LIMIT 1) AS defined FROM ");
        let select = added(select, behind, looked_at)
            .push(
                " a) s CROSS JOIN tasks t CROSS JOIN task_revisions r WHERE s.defined IS NOT NULL AND t.id = s.task_id \
                 AND t.deleted_at IS NULL AND r.task_id = t.id AND r.revision = t.revision ORDER BY s.added",
            )
            .done();
        let rows: Vec<DoubleRow> = self.all(select).await?;
        let read = |row: DoubleRow| {
            Ok(Double {
                added: row.added.parse()?,
                defined: row.defined.parse()?,
                spec: specs::read(&row.spec)?,
            })
        };
        let doubled: Vec<Double> = rows.into_iter().map(read).collect::<Result<_>>()?;
        Ok((doubled, last.transpose()?))
    }

    /// How many tasks behind one of them the API has changed, or has added although another does the same: counted among
    /// the next `most` of either.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_adrift(&self, behind: &TaskName, most: usize) -> Result<Adrift> {
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let select = self
            .sql("SELECT (SELECT count(*) FROM (SELECT f.name FROM task_facets f WHERE f.overridden AND f.name > ")
            .bind(behind.as_str())
            .push(" ORDER BY f.name LIMIT ")
            .bind(limit)
            .push(") o) AS changed, (SELECT count(*) FROM ");
        let select = added(select, Some(behind), most)
            .push(" a WHERE EXISTS (SELECT 1 FROM task_facets d WHERE d.work = a.work AND NOT d.added)) AS doubled, (SELECT count(*) FROM ");
        let select = added(select, Some(behind), most)
            .push(" b) AS added")
            .done();
        let row: Option<AdriftRow> = self.one(select).await?;
        // A statement of numbers alone has one row.
        let row = row.unwrap_or_default();
        Ok(Adrift {
            number: row.changed + row.doubled,
            is_all: row.changed < limit && row.added < limit,
        })
    }

    /// Whether some task's row is missing, or is of another version. It reads every task.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn some_facets_outdated(&self) -> Result<bool> {
        let select = "SELECT t.id FROM tasks t LEFT JOIN task_facets f ON f.task_id = t.id WHERE t.deleted_at IS NULL \
             AND (f.version IS NULL OR f.version <> t.version) LIMIT 1";
        let row: Option<Id> = self.one(self.sql(select).done()).await?;
        Ok(row.is_some())
    }

    /// Those of these tasks whose row is missing, or is of another version: as a server of an earlier version leaves
    /// it.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn facets_outdated(&self, of: &[TaskId]) -> Result<Vec<TaskId>> {
        let mut outdated = Vec::new();
        for chunk in of.chunks(CHUNK) {
            let select = self
                .sql(
                    "SELECT t.id FROM tasks t LEFT JOIN task_facets f ON f.task_id = t.id \
                     WHERE t.deleted_at IS NULL AND (f.version IS NULL OR f.version <> t.version) AND t.id",
                )
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
                .done();
            let rows: Vec<Id> = self.all(select).await?;
            outdated.extend(rows.into_iter().map(|row| TaskId(row.id)));
        }
        Ok(outdated)
    }
}

/// A page of tasks of which the API has changed what others define.
fn overridden(sql: Sql, behind: Option<&TaskName>, limit: usize) -> Statement {
    let mut sql = sql
        .push(&WHOLE.replace("FROM tasks t", "FROM task_facets f CROSS JOIN tasks t"))
        .push("f.overridden AND t.id = f.task_id AND t.deleted_at IS NULL");
    if let Some(behind) = behind {
        sql = sql.push(" AND f.name > ").bind(behind.as_str());
    }
    sql.push(" ORDER BY f.name LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .done()
}

/// A subquery: so many tasks that the API has added, by name, behind one of them.
fn added(sql: Sql, behind: Option<&TaskName>, limit: usize) -> Sql {
    let mut sql = sql.push("(SELECT f.task_id, f.name, f.work FROM task_facets f WHERE f.added");
    if let Some(behind) = behind {
        sql = sql.push(" AND f.name > ").bind(behind.as_str());
    }
    sql.push(" ORDER BY f.name LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .push(")")
}

impl Tx {
    /// Writes what tasks are found by; of one that is deleted, nothing is left.
    pub(super) async fn facets_write(&mut self, tasks: &[&Task]) -> Result<()> {
        let (gone, there): (Vec<&Task>, Vec<&Task>) =
            tasks.iter().partition(|task| task.deleted_at.is_some());
        let rows = there.into_iter().map(|task| {
            let facets = task.facets();
            vec![
                task.id.0.into(),
                task.name.as_str().into(),
                task.spec.kind.as_str().into(),
                facets.category.into(),
                facets.is_added.into(),
                facets.is_overridden.into(),
                facets.work.into(),
                facets.lower.built_in.into(),
                facets.lower.configuration.into(),
                task.version.into(),
                facets.owner.into(),
            ]
        });
        self.insert("task_facets", COLUMNS, &[], rows.collect(), WRITE)
            .await?;
        if !gone.is_empty() {
            let delete = self
                .sql("DELETE FROM task_facets WHERE task_id")
                .one_of(Type::Uuid, gone.iter().map(|task| task.id.0))
                .done();
            self.run(delete).await?;
        }
        Ok(())
    }

    /// Writes anew what these tasks are found by.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn facets_renew(&mut self, ids: &[TaskId]) -> Result<()> {
        self.tasks_lock(ids).await?;
        for chunk in ids.chunks(CHUNK) {
            let select = self
                .sql(WHOLE)
                .push("t.id")
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
                .done();
            let tasks = whole(self.all(select).await?)?;
            let tasks: Vec<&Task> = tasks.iter().collect();
            self.facets_write(&tasks).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_looks_at_no_more_of_what_differs_than_a_page_takes() {
        let (_dir, store) = empty_store().await;
        let name: TaskName = "m".parse().unwrap();
        for behind in [None, Some(&name)] {
            let steps = plan(&store, overridden(store.sql(""), behind, 10)).await;
            assert!(steps[0].contains("task_facets_overridden"), "{steps:?}");
            let doubled = added(store.sql("SELECT * FROM "), behind, 10).done();
            let added = plan(&store, doubled).await;
            let found = added
                .iter()
                .any(|step| step.contains("task_facets_added_name"));
            assert!(found, "{added:?}");
            let sorted = steps.iter().chain(&added);
            let sorted = sorted.filter(|step| step.contains("TEMP B-TREE"));
            assert_eq!(sorted.count(), 0, "{steps:?} {added:?}");
        }
    }
}
