//! What the auditor reads and notes: its own mark on each task, and the ledger behind it.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use sea_orm::{FromQueryResult, Statement, Value};

use super::{
    Id, Store, Tx, convert,
    convert::micros,
    entity::slot,
    rows::{CHUNK, Column, Type, column},
    sql::Sql,
};
use crate::{
    domain::{TaskId, TaskName, ledger::SlotRow, task::Pause},
    error::Result,
};

/// How far a task is decided, and how far that was audited.
#[derive(Clone, Debug)]
pub struct Mark {
    pub id: TaskId,
    pub name: TaskName,
    pub revision: i64,
    pub cursor_at: Timestamp,
    pub audited_at: Timestamp,
    pub pause: Option<Pause>,
    /// The instant for which its work is done.
    pub fresh_at: Option<Timestamp>,
}

impl Mark {
    /// Whether its own pause keeps slots undecided: see [`Pause::holds_at`].
    pub fn holds_at(&self, now: Timestamp, grace: Duration) -> bool {
        self.pause
            .as_ref()
            .is_some_and(|pause| pause.holds_at(now, grace))
    }
}

/// Where a page of the ledger begins, in the order of its key.
#[derive(Clone, Copy, Debug)]
pub struct SlotPlace {
    task: uuid::Uuid,
    upto_at: i64,
}

impl SlotPlace {
    /// Behind all rows of a task; before all there are, where none is given.
    pub fn behind(task: Option<TaskId>) -> Self {
        Self {
            task: task.map_or(uuid::Uuid::nil(), |task| task.0),
            upto_at: task.map_or(i64::MIN, |_| i64::MAX),
        }
    }

    /// Behind one row.
    pub fn at(task: TaskId, upto_at: Timestamp) -> Self {
        Self {
            task: task.0,
            upto_at: micros(upto_at),
        }
    }
}

/// A task, deleted or not, whose whole ledger is compared.
#[derive(Clone, Debug)]
pub struct Audited {
    pub id: TaskId,
    pub name: TaskName,
    pub revision: i64,
    pub created_at: Timestamp,
    /// Up to when it is decided.
    pub cursor_at: Timestamp,
    pub pause: Option<Pause>,
    pub is_deleted: bool,
}

#[derive(FromQueryResult)]
struct AuditedRow {
    id: uuid::Uuid,
    name: String,
    revision: i64,
    created_at: i64,
    cursor_at: i64,
    pause: Option<String>,
    deleted_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct CursorRow {
    id: uuid::Uuid,
    cursor_at: i64,
}

#[derive(FromQueryResult)]
struct Row {
    id: uuid::Uuid,
    name: String,
    revision: i64,
    cursor_at: i64,
    audited_at: i64,
    pause: Option<String>,
    fresh_at: Option<i64>,
}

const MARKS: &[Column] = &[column("id", Type::Uuid), column("mark_at", Type::Big)];

/// The values of [`MARKS`].
fn values((id, mark_at): &(TaskId, Timestamp)) -> Vec<Value> {
    vec![id.0.into(), micros(*mark_at).into()]
}

/// Which tasks the auditor reads the marks of.
#[derive(Clone, Debug)]
pub enum Marked<'a> {
    /// All of them.
    All,
    /// With rows of the ledger behind the mark.
    Unaudited,
    /// That were to be looked at by then, and were not: the longest first, and none behind another.
    OverdueSince(Timestamp),
    Ids(&'a [TaskId]),
    Names(&'a [TaskName]),
}

impl Store {
    /// The marks of tasks that are not deleted, but for overdue ones in the order of their ids, behind one of them. Of at
    /// most 500 ids or names.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn marks(
        &self,
        which: &Marked<'_>,
        behind: Option<TaskId>,
        limit: usize,
    ) -> Result<Vec<Mark>> {
        let select = select_marks(self.sql(""), which, behind, limit);
        let rows: Vec<Row> = self.all(select).await?;
        let read = |row: Row| {
            Ok(Mark {
                id: TaskId(row.id),
                name: row.name.parse()?,
                revision: row.revision,
                cursor_at: convert::instant(row.cursor_at)?,
                audited_at: convert::instant(row.audited_at)?,
                pause: convert::read_of(row.pause.as_deref())?,
                fresh_at: convert::instant_of(row.fresh_at)?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// A page of all tasks, deleted or not, in the order of their ids.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_to_audit(
        &self,
        behind: Option<TaskId>,
        limit: usize,
    ) -> Result<Vec<Audited>> {
        let mut select = self
            .sql("SELECT id, name, revision, created_at, cursor_at, pause, deleted_at FROM tasks");
        if let Some(behind) = behind {
            select = select.push(" WHERE id > ").bind(behind.0);
        }
        let select = select
            .push(" ORDER BY id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done();
        let rows: Vec<AuditedRow> = self.all(select).await?;
        let read = |row: AuditedRow| {
            Ok(Audited {
                id: TaskId(row.id),
                name: row.name.parse()?,
                revision: row.revision,
                created_at: convert::instant(row.created_at)?,
                cursor_at: convert::instant(row.cursor_at)?,
                pause: convert::read_of(row.pause.as_deref())?,
                is_deleted: row.deleted_at.is_some(),
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Rows of the ledger behind a place, in the order of its key, of tasks up to one.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn slots_upto(
        &self,
        place: SlotPlace,
        last: TaskId,
        limit: usize,
    ) -> Result<Vec<SlotRow>> {
        let select = select_slots(self.sql(""), place, last, limit);
        let rows: Vec<slot::Model> = self.all(select).await?;
        rows.into_iter().map(SlotRow::try_from).collect()
    }

    /// Up to when tasks are decided, deleted or not.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn cursors_of(&self, ids: &[TaskId]) -> Result<HashMap<TaskId, Timestamp>> {
        let mut cursors = HashMap::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let select = self
                .sql("SELECT id, cursor_at FROM tasks WHERE id")
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
                .done();
            let rows: Vec<CursorRow> = self.all(select).await?;
            for row in rows {
                cursors.insert(TaskId(row.id), convert::instant(row.cursor_at)?);
            }
        }
        Ok(cursors)
    }

    /// Rows of the ledger behind these marks, by task and then oldest first. Of at most 500 tasks.
    pub async fn slots_behind(
        &self,
        marks: &[(TaskId, Timestamp)],
        limit: usize,
    ) -> Result<Vec<SlotRow>> {
        if marks.is_empty() {
            return Ok(Vec::new());
        }
        let select = self
            .sql("")
            .with_values(MARKS, marks.iter().map(values))
            .push(
                "SELECT s.* FROM v JOIN slots s ON s.task_id = v.id AND s.upto_at > v.mark_at \
                 ORDER BY s.task_id, s.upto_at LIMIT ",
            )
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done();
        let rows: Vec<slot::Model> = self.all(select).await?;
        rows.into_iter().map(SlotRow::try_from).collect()
    }
}

fn select_slots(sql: Sql, place: SlotPlace, last: TaskId, limit: usize) -> Statement {
    sql.push("SELECT * FROM slots WHERE (task_id, upto_at) > (")
        .bind(place.task)
        .push(", ")
        .bind(place.upto_at)
        .push(") AND task_id <= ")
        .bind(last.0)
        .push(" ORDER BY task_id, upto_at LIMIT ")
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .done()
}

fn select_marks(sql: Sql, which: &Marked<'_>, behind: Option<TaskId>, limit: usize) -> Statement {
    let mut sql = sql.push(
        "SELECT id, name, revision, cursor_at, audited_at, pause, fresh_at FROM tasks \
         WHERE deleted_at IS NULL",
    );
    sql = match which {
        Marked::All => sql,
        Marked::Unaudited => sql.push(" AND audited_at < cursor_at"),
        Marked::OverdueSince(since) => sql.push(" AND wake_at < ").bind(micros(*since)),
        Marked::Ids(ids) => sql
            .push(" AND id")
            .one_of(Type::Uuid, ids.iter().map(|id| id.0)),
        Marked::Names(names) => sql
            .push(" AND name")
            .one_of(Type::Text, names.iter().map(|name| name.as_str())),
    };
    if let Some(behind) = behind {
        sql = sql.push(" AND id > ").bind(behind.0);
    }
    let order = match which {
        Marked::OverdueSince(_) => " ORDER BY wake_at LIMIT ",
        _ => " ORDER BY id LIMIT ",
    };
    sql.push(order)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .done()
}

impl Tx {
    /// Which of these tasks are there still. Until this write is over, where they are locked.
    pub async fn tasks_there(&mut self, ids: &[TaskId]) -> Result<BTreeSet<TaskId>> {
        if ids.is_empty() {
            return Ok(BTreeSet::new());
        }
        let select = self
            .sql("SELECT id FROM tasks WHERE deleted_at IS NULL AND id")
            .one_of(Type::Uuid, ids.iter().map(|id| id.0))
            .done();
        let there: Vec<Id> = self.all(select).await?;
        Ok(there.into_iter().map(|row| TaskId(row.id)).collect())
    }

    /// Moves the auditor's own marks, never back: another replica's auditor may be further.
    pub async fn audited(&mut self, marks: &[(TaskId, Timestamp)]) -> Result<()> {
        for chunk in marks.chunks(CHUNK) {
            let update = self
                .sql("")
                .with_values(MARKS, chunk.iter().map(values))
                .push(
                    "UPDATE tasks SET audited_at = v.mark_at FROM v WHERE tasks.id = v.id \
                     AND tasks.audited_at < v.mark_at",
                )
                .done();
            self.run(update).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_reads_no_task_that_has_nothing_to_audit() {
        let (_dir, store) = empty_store().await;
        let since = Marked::OverdueSince(Timestamp::UNIX_EPOCH);
        let cases = [
            (Marked::Unaudited, "tasks_unaudited"),
            (since, "tasks_wake (wake_at<?)"),
        ];
        for (which, index) in cases {
            let select = select_marks(store.sql(""), &which, None, 500);
            let steps = plan(&store, select).await;
            assert!(
                steps.iter().any(|step| step.contains(index)),
                "{which:?}: {steps:?}"
            );
            let sorts = steps.iter().any(|step| step.contains("TEMP B-TREE"));
            assert!(!sorts, "{which:?}: {steps:?}");
        }
    }

    #[tokio::test]
    async fn sqlite_reads_the_ledger_in_the_order_of_its_key() {
        let (_dir, store) = empty_store().await;
        let task = TaskId(uuid::Uuid::from_u128(7));
        let place = SlotPlace::behind(Some(task));
        let steps = plan(&store, select_slots(store.sql(""), place, task, 500)).await;
        let sorts = steps.iter().any(|step| step.contains("TEMP B-TREE"));
        assert!(steps[0].contains("SEARCH") && !sorts, "{steps:?}");
    }
}
