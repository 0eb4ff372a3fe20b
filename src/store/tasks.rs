//! Tasks and their revisions.

use jiff::Timestamp;
use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::{NotSet, Set},
    ColumnTrait as _, EntityTrait as _, FromQueryResult, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use super::{
    Page, PageOf, Store, Tx, convert,
    convert::{json, json_of, micros, micros_of},
    entity::{task, task_revision},
    rows::{CHUNK, Type},
};
use crate::{
    domain::{Task, TaskId, TaskName, TaskSpec},
    error::{Error, Result},
};

/// Which tasks a list holds.
#[derive(Clone, Debug, Default)]
pub struct TaskFilter {
    pub kind: Option<String>,
    pub paused: Option<bool>,
    pub failing: Option<bool>,
}

/// A specification and since when it holds.
#[derive(Clone, Debug)]
pub struct Revision {
    pub revision: i64,
    pub effective_from: Timestamp,
    pub spec: TaskSpec,
}

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

#[derive(FromQueryResult)]
struct Counts {
    total: i64,
    paused: i64,
    failing: i64,
}

/// How many tasks there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskCounts {
    pub total: i64,
    pub paused: i64,
    pub failing: i64,
}

impl Store {
    /// The task of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`] with names that are near.
    pub async fn task(&self, name: &TaskName) -> Result<Task> {
        let row = task::Entity::find()
            .filter(task::Column::Name.eq(name.as_str()))
            .filter(task::Column::DeletedAt.is_null())
            .one(&self.inner.read)
            .await?;
        match row {
            Some(row) => row.try_into(),
            None => Err(self.no_such_task(name).await?),
        }
    }

    /// Every task that is not deleted, by name, in pages of `CHUNK`.
    pub async fn tasks_all(&self) -> Result<Vec<Task>> {
        let mut tasks: Vec<Task> = Vec::new();
        let mut after = None;
        loop {
            let page = Page {
                size: CHUNK as u64,
                after,
            };
            let PageOf { items, next } = self.tasks(&TaskFilter::default(), &page).await?;
            tasks.extend(items);
            after = next;
            if after.is_none() {
                return Ok(tasks);
            }
        }
    }

    /// A page of tasks by name.
    pub async fn tasks(
        &self,
        filter: &TaskFilter,
        page: &Page<String>,
    ) -> Result<PageOf<Task, String>> {
        let mut select = task::Entity::find().filter(task::Column::DeletedAt.is_null());
        if let Some(kind) = &filter.kind {
            select = select.filter(task::Column::Kind.eq(kind));
        }
        select = match filter.paused {
            Some(true) => select.filter(task::Column::Pause.is_not_null()),
            Some(false) => select.filter(task::Column::Pause.is_null()),
            None => select,
        };
        select = match filter.failing {
            Some(true) => select.filter(task::Column::ConsecutiveFailures.gt(0)),
            Some(false) => select.filter(task::Column::ConsecutiveFailures.eq(0)),
            None => select,
        };
        if let Some(after) = &page.after {
            select = select.filter(task::Column::Name.gt(after));
        }
        let rows = select
            .order_by_asc(task::Column::Name)
            .limit(page.size + 1)
            .all(&self.inner.read)
            .await?;
        let tasks = rows
            .into_iter()
            .map(Task::try_from)
            .collect::<Result<_>>()?;
        Ok(PageOf::cut(tasks, page.size, |task: &Task| {
            task.name.to_string()
        }))
    }

    /// Tasks that were deleted and not yet erased, the longest gone first.
    pub async fn tasks_deleted(&self, limit: u64) -> Result<Vec<Task>> {
        let rows = task::Entity::find()
            .filter(task::Column::DeletedAt.is_not_null())
            .order_by_asc(task::Column::DeletedAt)
            .limit(limit)
            .all(&self.inner.read)
            .await?;
        rows.into_iter().map(Task::try_from).collect()
    }

    pub async fn task_counts(&self) -> Result<TaskCounts> {
        let select = "SELECT count(*) AS total, count(pause) AS paused, \
            count(CASE WHEN consecutive_failures > 0 THEN 1 END) AS failing \
            FROM tasks WHERE deleted_at IS NULL";
        let counts: Option<Counts> = self.one(self.sql(select).done()).await?;
        Ok(
            counts.map_or_else(TaskCounts::default, |counts| TaskCounts {
                total: counts.total,
                paused: counts.paused,
                failing: counts.failing,
            }),
        )
    }

    /// Tasks whose last runs failed, the longest first.
    pub async fn tasks_failing(&self, limit: u64) -> Result<Vec<Task>> {
        let rows = task::Entity::find()
            .filter(task::Column::DeletedAt.is_null())
            .filter(task::Column::ConsecutiveFailures.gt(0))
            .order_by_asc(task::Column::FailingSince)
            .limit(limit)
            .all(&self.inner.read)
            .await?;
        rows.into_iter().map(Task::try_from).collect()
    }

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

    async fn no_such_task(&self, name: &TaskName) -> Result<Error> {
        let names: Vec<Name> = self.all(self.sql(NAMES).done()).await?;
        Ok(no_such_task(name, names))
    }
}

impl Tx {
    /// The task of that name, locked until this write is over.
    ///
    /// # Errors
    /// [`Error::NotFound`] with names that are near.
    pub async fn task_locked(&mut self, name: &TaskName) -> Result<Task> {
        let select = self
            .sql("SELECT * FROM tasks WHERE deleted_at IS NULL AND name = ")
            .bind(name.as_str())
            .postgres(" FOR UPDATE")
            .done();
        let row: Option<task::Model> = self.one(select).await?;
        match row {
            Some(row) => row.try_into(),
            None => {
                // By this connection: with another, many at once would wait for each other's.
                let names: Vec<Name> = self.all(self.sql(NAMES).done()).await?;
                Err(no_such_task(name, names))
            }
        }
    }

    /// Every task that is not deleted, locked in the one order.
    pub async fn tasks_all_locked(&mut self) -> Result<Vec<Task>> {
        let select = self
            .sql("SELECT * FROM tasks WHERE deleted_at IS NULL ORDER BY id")
            .postgres(" FOR UPDATE")
            .done();
        let rows: Vec<task::Model> = self.all(select).await?;
        rows.into_iter().map(Task::try_from).collect()
    }

    /// These tasks, locked in the one order; deleted ones are left out.
    pub async fn tasks_locked(&mut self, ids: &[TaskId]) -> Result<Vec<Task>> {
        let mut tasks = Vec::with_capacity(ids.len());
        let mut ids = ids.to_vec();
        ids.sort();
        for chunk in ids.chunks(CHUNK) {
            let select = self
                .sql("SELECT * FROM tasks WHERE deleted_at IS NULL AND id")
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
                .push(" ORDER BY id")
                .postgres(" FOR UPDATE")
                .done();
            let rows: Vec<task::Model> = self.all(select).await?;
            for row in rows {
                tasks.push(row.try_into()?);
            }
        }
        Ok(tasks)
    }

    /// PostgreSQL: locks tasks in the one order, and reads nothing of them.
    pub(super) async fn tasks_lock(&mut self, ids: &[TaskId]) -> Result<()> {
        if !self.is_postgres() {
            return Ok(());
        }
        let lock = self
            .sql("SELECT id FROM tasks WHERE id")
            .one_of(Type::Uuid, ids.iter().map(|id| id.0))
            .push(" ORDER BY id FOR UPDATE")
            .done();
        self.run(lock).await?;
        Ok(())
    }

    /// Adds a task and its first revision.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where the name is taken.
    pub async fn task_insert(&mut self, task: &Task, principal: &str, reason: &str) -> Result<()> {
        let insert = task::Entity::insert(row_of(task)?.into_active_model());
        let done = insert.exec_without_returning(self.open()?).await;
        if let Err(error) = &done
            && error.sql_err().is_some()
        {
            self.failed = true;
            return Err(Error::AlreadyExists {
                what: "task",
                id: task.name.to_string(),
            });
        }
        self.check(done)?;
        self.rings.schedule = true;
        self.revision_insert(task, principal, reason).await
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
            spec: Set(json(&task.spec)?),
            principal: Set(principal.to_owned()),
            reason: Set(reason.to_owned()),
        };
        let insert = task_revision::Entity::insert(row);
        let done = insert.exec_without_returning(self.open()?).await;
        self.check(done)?;
        Ok(())
    }

    /// Writes all of a task but what its runs leave on it. The caller holds its lock.
    pub async fn task_update(&mut self, task: &Task) -> Result<()> {
        self.rings.schedule = true;
        let row = task::ActiveModel {
            last_run: NotSet,
            last_success_at: NotSet,
            last_failure_at: NotSet,
            consecutive_failures: NotSet,
            failing_since: NotSet,
            ..row_of(task)?.into_active_model().reset_all()
        };
        let update = task::Entity::update_many()
            .set(row)
            .filter(task::Column::Id.eq(task.id.0));
        let done = update.exec(self.open()?).await;
        self.check(done)?;
        Ok(())
    }
}

const NAMES: &str = "SELECT name FROM tasks WHERE deleted_at IS NULL ORDER BY name LIMIT 5000";

fn no_such_task(name: &TaskName, names: Vec<Name>) -> Error {
    // Of a short name, three edits make anything.
    let far_at_most = (name.as_str().len() / 3).clamp(1, 3);
    let mut near: Vec<(usize, String)> = names
        .into_iter()
        .map(|row| (distance(name.as_str(), &row.name), row.name))
        .filter(|(far, other)| *far <= far_at_most || other.contains(name.as_str()))
        .collect();
    near.sort();
    Error::NotFound {
        what: "task",
        id: name.to_string(),
        near: near.into_iter().take(3).map(|(_, name)| name).collect(),
    }
}

fn row_of(task: &Task) -> Result<task::Model> {
    Ok(task::Model {
        id: task.id.0,
        name: task.name.to_string(),
        kind: task.spec.kind.clone(),
        spec: json(&task.spec)?,
        layers: json(&task.layers)?,
        revision: task.revision,
        version: task.version,
        cursor_at: micros(task.cursor_at),
        next_slot_at: micros_of(task.next_slot_at),
        next_due_at: micros_of(task.next_due_at),
        wake_at: if task.deleted_at.is_some() {
            None
        } else {
            micros_of(task.wake_at())
        },
        pause: json_of(task.pause.as_ref())?,
        created_at: micros(task.created_at),
        updated_at: micros(task.updated_at),
        deleted_at: micros_of(task.deleted_at),
        audited_at: micros(task.audited_at),
        last_run: json_of(task.health.last_run.as_ref())?,
        last_success_at: micros_of(task.health.last_success_at),
        last_failure_at: micros_of(task.health.last_failure_at),
        consecutive_failures: task.health.consecutive_failures,
        failing_since: micros_of(task.health.failing_since),
    })
}

/// Edits that turn one word into the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}
