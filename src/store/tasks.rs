//! Tasks: the row that is written all the time, and with what they are told to do, the whole.

use jiff::Timestamp;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::NotSet, ColumnTrait as _, EntityTrait as _,
    FromQueryResult, IntoActiveModel as _, QueryFilter as _, Statement,
};

use super::{
    Id, Store, Tx, convert,
    convert::{json, json_of, micros, micros_of},
    entity::task,
    near::near,
    rows::{CHUNK, Type},
    specs,
};
use crate::{
    domain::{
        RunId, Task, TaskId, TaskName,
        retry::later,
        task::{Freshness, Health, LOOKED_AT_WITHIN},
    },
    error::{Error, Result, Thing},
};

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

/// A task's row, with what its revision says and its layers.
#[derive(FromQueryResult)]
pub(super) struct Whole {
    id: uuid::Uuid,
    name: String,
    spec: String,
    layers: String,
    revision: i64,
    version: i64,
    cursor_at: i64,
    next_slot_at: Option<i64>,
    next_due_at: Option<i64>,
    rules: i64,
    pause: Option<String>,
    created_at: i64,
    updated_at: i64,
    deleted_at: Option<i64>,
    audited_at: i64,
    last_run: Option<String>,
    last_success_at: Option<i64>,
    last_failure_at: Option<i64>,
    consecutive_failures: i32,
    failing_since: Option<i64>,
    retrying: Option<uuid::Uuid>,
    fresh_at: Option<i64>,
    usual_ms: Option<i64>,
    scheduled_from: i64,
    owed_slots: i16,
    owed_at: Option<i64>,
}

pub(super) const WHOLE: &str = "SELECT t.*, r.spec AS spec, l.layers AS layers FROM tasks t \
     JOIN task_revisions r ON r.task_id = t.id AND r.revision = t.revision \
     JOIN task_layers l ON l.task_id = t.id WHERE ";

impl Store {
    /// The task of that name.
    ///
    /// # Errors
    /// [`Error::NotFound`] with names that are near.
    pub async fn task(&self, name: &TaskName) -> Result<Task> {
        let select = self
            .sql(WHOLE)
            .push("t.deleted_at IS NULL AND t.name = ")
            .bind(name.as_str())
            .done();
        let row: Option<Whole> = self.one(select).await?;
        match row {
            Some(row) => row.try_into(),
            None => Err(self.no_such_task(name).await?),
        }
    }

    /// Tasks that were deleted and not yet erased, the longest gone first: so many behind one of them.
    pub async fn tasks_deleted(
        &self,
        behind: Option<(Timestamp, TaskId)>,
        limit: u64,
    ) -> Result<Vec<Task>> {
        let mut select = self.sql(WHOLE).push("t.deleted_at IS NOT NULL");
        if let Some((at, id)) = behind {
            select = select
                .push(" AND (t.deleted_at, t.id) > (")
                .bind(micros(at))
                .push(", ")
                .bind(id.0)
                .push(")");
        }
        let select = select
            .push(" ORDER BY t.deleted_at, t.id")
            .limit(limit)
            .done();
        whole(self.all(select).await?)
    }

    /// Tasks that are failing, the longest first.
    pub async fn tasks_failing(&self, limit: u64) -> Result<Vec<Task>> {
        let select = self
            .sql(WHOLE)
            .push("t.deleted_at IS NULL AND t.failing_since IS NOT NULL ORDER BY t.failing_since")
            .limit(limit)
            .done();
        whole(self.all(select).await?)
    }

    /// Those of the tasks of these names that are failing.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_failing_of(&self, names: &[TaskName]) -> Result<Vec<Task>> {
        let mut failing = Vec::new();
        for chunk in names.chunks(CHUNK) {
            let select = self
                .sql(WHOLE)
                .push("t.deleted_at IS NULL AND t.failing_since IS NOT NULL AND t.name")
                .one_of(Type::Text, chunk.iter().map(TaskName::as_str))
                .done();
            failing.extend(whole(self.all(select).await?)?);
        }
        Ok(failing)
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
            .sql(WHOLE)
            .push("t.deleted_at IS NULL AND t.name = ")
            .bind(name.as_str())
            .postgres(" FOR UPDATE OF t")
            .done();
        let row: Whole = self.one_locked(name, select).await?;
        row.try_into()
    }

    /// The row of the task of that name, which the statement locks and reads together with its revision. A row that
    /// PostgreSQL has waited for is looked at anew, and what it was joined with is not: where whoever was waited for has
    /// made a revision, the two belong together no more, and the statement finds nothing. Then it is asked once more.
    ///
    /// # Errors
    /// As [`Tx::task_locked`].
    pub(super) async fn one_locked<M: FromQueryResult>(
        &mut self,
        name: &TaskName,
        select: Statement,
    ) -> Result<M> {
        let mut row: Option<M> = self.one(select.clone()).await?;
        if row.is_none() && self.task_lock_missed(name).await? {
            row = self.one(select).await?;
        }
        match row {
            Some(row) => Ok(row),
            None => Err(self.no_such_task(name).await?),
        }
    }

    /// Locks a task that a statement has missed, by its row alone; says whether it is there.
    async fn task_lock_missed(&mut self, name: &TaskName) -> Result<bool> {
        if !self.is_postgres() {
            return Ok(false);
        }
        let lock = self
            .sql("SELECT name FROM tasks WHERE deleted_at IS NULL AND name = ")
            .bind(name.as_str())
            .push(" FOR UPDATE")
            .done();
        let found: Option<Name> = self.one(lock).await?;
        Ok(found.is_some())
    }

    /// By this connection: with another, many at once would wait for each other's.
    async fn no_such_task(&mut self, name: &TaskName) -> Result<Error> {
        let names: Vec<Name> = self.all(self.sql(NAMES).done()).await?;
        Ok(no_such_task(name, names))
    }

    /// So many tasks that are not deleted, behind one of them, locked in the one order.
    pub async fn tasks_locked_behind(
        &mut self,
        behind: Option<TaskId>,
        limit: u64,
    ) -> Result<Vec<Task>> {
        // By itself first: one that is waited for may be found no more together with its revision.
        let mut lock = self.sql("SELECT id FROM tasks WHERE deleted_at IS NULL");
        if let Some(behind) = behind {
            lock = lock.push(" AND id > ").bind(behind.0);
        }
        let lock = lock
            .push(" ORDER BY id")
            .limit(limit)
            .postgres(" FOR UPDATE")
            .done();
        let locked: Vec<Id> = self.all(lock).await?;
        let select = self
            .sql(WHOLE)
            .push("t.deleted_at IS NULL AND t.id")
            .one_of(Type::Uuid, locked.iter().map(|locked| locked.id))
            .push(" ORDER BY t.id")
            .done();
        whole(self.all(select).await?)
    }

    /// Locks tasks in the one order until this write is over. SQLite has one writer, who has them all.
    pub async fn tasks_lock(&mut self, ids: &[TaskId]) -> Result<()> {
        if !self.is_postgres() {
            return Ok(());
        }
        let mut ids = ids.to_vec();
        ids.sort();
        for chunk in ids.chunks(CHUNK) {
            let lock = self
                .sql("SELECT id FROM tasks WHERE id")
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
                .push(" ORDER BY id FOR UPDATE")
                .done();
            self.run(lock).await?;
        }
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
                what: Thing::Task,
                id: task.name.to_string(),
            });
        }
        self.check(done)?;
        self.rings.schedule = true;
        self.layers_write(task).await?;
        self.facets_write(&[task]).await?;
        self.revision_insert(task, principal, reason).await
    }

    async fn layers_write(&mut self, task: &Task) -> Result<()> {
        let upsert = self
            .sql("INSERT INTO task_layers (task_id, layers) VALUES (")
            .bind(task.id.0)
            .push(", ")
            .bind(json(&task.layers)?)
            .push(") ON CONFLICT (task_id) DO UPDATE SET layers = excluded.layers")
            .done();
        self.run(upsert).await?;
        Ok(())
    }

    /// Writes all of a task but its specification, which is its revision's, and what its runs leave on it.
    /// The caller holds its lock.
    pub async fn task_update(&mut self, task: &Task) -> Result<()> {
        self.rings.schedule = true;
        let row = task::ActiveModel {
            last_run: NotSet,
            last_success_at: NotSet,
            last_failure_at: NotSet,
            consecutive_failures: NotSet,
            failing_since: NotSet,
            retrying: NotSet,
            fresh_at: NotSet,
            usual_ms: NotSet,
            ..row_of(task)?.into_active_model().reset_all()
        };
        let update = task::Entity::update_many()
            .set(row)
            .filter(task::Column::Id.eq(task.id.0));
        let done = update.exec(self.open()?).await;
        self.check(done)?;
        self.facets_write(&[task]).await?;
        self.layers_write(task).await
    }
}

pub(super) fn whole(rows: Vec<Whole>) -> Result<Vec<Task>> {
    rows.into_iter().map(Task::try_from).collect()
}

impl TryFrom<Whole> for Task {
    type Error = Error;

    fn try_from(row: Whole) -> Result<Self> {
        Ok(Self {
            id: TaskId(row.id),
            name: row.name.parse()?,
            spec: specs::read(&row.spec)?,
            layers: convert::read(&row.layers)?,
            revision: row.revision,
            version: row.version,
            cursor_at: convert::instant(row.cursor_at)?,
            next_slot_at: convert::instant_of(row.next_slot_at)?,
            next_due_at: convert::instant_of(row.next_due_at)?,
            rules: row.rules,
            pause: convert::read_of(row.pause.as_deref())?,
            created_at: convert::instant(row.created_at)?,
            updated_at: convert::instant(row.updated_at)?,
            deleted_at: convert::instant_of(row.deleted_at)?,
            audited_at: convert::instant(row.audited_at)?,
            health: Health {
                last_run: convert::read_of(row.last_run.as_deref())?,
                last_success_at: convert::instant_of(row.last_success_at)?,
                last_failure_at: convert::instant_of(row.last_failure_at)?,
                consecutive_failures: row.consecutive_failures,
                failing_since: convert::instant_of(row.failing_since)?,
                retrying: row.retrying.map(RunId),
            },
            freshness: Freshness {
                scheduled_from: convert::instant(row.scheduled_from)?,
                owed_slots: row.owed_slots,
                owed_at: convert::instant_of(row.owed_at)?,
                fresh_at: convert::instant_of(row.fresh_at)?,
                usual: convert::millis_of(row.usual_ms),
            },
        })
    }
}

const NAMES: &str = "SELECT name FROM tasks WHERE deleted_at IS NULL ORDER BY name LIMIT 5000";

fn no_such_task(name: &TaskName, names: Vec<Name>) -> Error {
    Error::NotFound {
        what: Thing::Task,
        id: name.to_string(),
        near: near(name.as_str(), names.into_iter().map(|row| row.name)),
    }
}

/// When it has to be looked at whether a task is stale: at once whatever has changed of it; a new one when its first slot
/// is due, before which it owes nothing.
fn look_at(task: &Task) -> Timestamp {
    let is_new = task.version == 1 && task.freshness.owed_slots == 0;
    let first = task.next_due_at.filter(|_| is_new);
    let at_most = later(task.updated_at, LOOKED_AT_WITHIN);
    first.map_or(task.updated_at, |first| {
        first.clamp(task.updated_at, at_most)
    })
}

fn row_of(task: &Task) -> Result<task::Model> {
    Ok(task::Model {
        id: task.id.0,
        name: task.name.to_string(),
        kind: task.spec.kind.clone(),
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
        retrying: task.health.retrying.map(|run| run.0),
        fresh_at: micros_of(task.freshness.fresh_at),
        usual_ms: task.freshness.usual.map(convert::millis),
        scheduled_from: micros(task.freshness.scheduled_from),
        owed_slots: task.freshness.owed_slots,
        owed_at: micros_of(task.freshness.owed_at),
        rules: task.rules,
        stale_check_at: task.deleted_at.is_none().then(|| micros(look_at(task))),
    })
}
