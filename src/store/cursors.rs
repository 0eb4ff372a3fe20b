//! Cursors: which tasks are due, and moving them on. The scheduler's hot path, which reads and writes no
//! more of a task than that takes.

use std::sync::Arc;

use jiff::Timestamp;
use sea_orm::{
    ColumnTrait as _, DbBackend, EntityTrait as _, FromQueryResult, QueryFilter as _, Statement,
    sea_query::Expr,
};

use super::{
    Store, Tx, convert,
    convert::{micros, micros_of},
    entity::task,
    rows::{CHUNK, Column, Type, column},
    sql::Sql,
};
use crate::{
    domain::{
        TaskId, TaskName, TaskSpec,
        task::{Course, Pause},
    },
    error::{Error, Reason, Result},
};

/// A task's course, but for what its revision says.
#[derive(Clone, Debug)]
pub struct CourseRow {
    pub id: TaskId,
    pub name: TaskName,
    pub revision: i64,
    pub cursor_at: Timestamp,
    pub next_slot_at: Option<Timestamp>,
    pub next_due_at: Option<Timestamp>,
    pub rules: i64,
    pub pause: Option<Pause>,
}

impl CourseRow {
    /// The course; `spec` is that of its revision.
    pub fn with(self, spec: Arc<TaskSpec>) -> Course {
        Course {
            id: self.id,
            name: self.name,
            revision: self.revision,
            spec,
            cursor_at: self.cursor_at,
            next_slot_at: self.next_slot_at,
            next_due_at: self.next_due_at,
            rules: self.rules,
            pause: self.pause,
        }
    }
}

#[derive(FromQueryResult)]
struct Row {
    id: uuid::Uuid,
    name: String,
    revision: i64,
    cursor_at: i64,
    next_slot_at: Option<i64>,
    next_due_at: Option<i64>,
    rules: i64,
    pause: Option<String>,
}

#[derive(FromQueryResult)]
struct Wake {
    wake_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

impl Store {
    /// When the scheduler has to look next.
    pub async fn next_wake(&self) -> Result<Option<Timestamp>> {
        let floor = &self.inner.floors.wakes;
        let look = floor.look();
        let now = self.inner.clock.now();
        let wake = self.next_seen().await?;
        if let Some(look) = look {
            floor.set(look, wake.map(micros), now);
        }
        Ok(wake)
    }

    /// When the scheduler, by what it knows, has to look next.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn next_seen(&self) -> Result<Option<Timestamp>> {
        let floor = &self.inner.floors.wakes;
        let select = self
            .sql("SELECT min(wake_at) AS wake_at FROM tasks WHERE wake_at IS NOT NULL AND wake_at > ")
            .bind(floor.at())
            .done();
        let wake: Option<Wake> = self.one(select).await?;
        convert::instant_of(wake.and_then(|wake| wake.wake_at))
    }

    /// Has the next look at what comes begin below all there is: what another process has put there may lie below
    /// the floor.
    pub fn look_anew(&self) {
        self.inner.floors.wakes.lift();
    }

    /// When the first slot is due of the tasks that are not paused by themselves: while everything is paused, the first
    /// that falls into that. The scheduler's index has those in order.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn first_due(&self) -> Result<Option<Timestamp>> {
        let select = "SELECT wake_at FROM tasks WHERE deleted_at IS NULL AND pause IS NULL \
             AND wake_at IS NOT NULL ORDER BY wake_at LIMIT 1";
        let wake: Option<Wake> = self.one(self.sql(select).done()).await?;
        convert::instant_of(wake.and_then(|wake| wake.wake_at))
    }

    /// How many tasks have to be looked at by `now`; counted up to `most`.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn due_count(&self, now: Timestamp, most: i64) -> Result<i64> {
        // Who asks whether the scheduler works does not share what it might be blind to.
        self.due_above(i64::MIN, now, most).await
    }

    /// As many of them as the scheduler, by what it knows, has to decide.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn due_seen(&self, now: Timestamp, most: i64) -> Result<i64> {
        self.due_above(self.inner.floors.wakes.at(), now, most)
            .await
    }

    async fn due_above(&self, floor: i64, now: Timestamp, most: i64) -> Result<i64> {
        let select = self
            .sql("SELECT count(*) AS count FROM (SELECT 1 FROM tasks WHERE wake_at <= ")
            .bind(micros(now))
            .push(" AND wake_at > ")
            .bind(floor)
            .push(" LIMIT ")
            .bind(most)
            .push(") due")
            .done();
        let count: Option<Count> = self.one(select).await?;
        Ok(count.map_or(0, |row| row.count))
    }
}

/// By which rules a task's next slot was found.
#[derive(Clone, Debug)]
pub struct Planned {
    pub id: TaskId,
    pub name: TaskName,
    pub revision: i64,
    pub rules: i64,
}

#[derive(FromQueryResult)]
struct PlannedRow {
    id: uuid::Uuid,
    name: String,
    revision: i64,
    rules: i64,
}

impl Store {
    /// Tasks that were planned by none of these rules, in the order of their ids, behind one of them. It reads every
    /// task, and is for when rules have changed.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn planned_besides(
        &self,
        known: &[i64],
        behind: Option<TaskId>,
        limit: u64,
    ) -> Result<Vec<Planned>> {
        let mut select = self
            .sql("SELECT id, name, revision, rules FROM tasks WHERE deleted_at IS NULL AND NOT rules")
            .one_of(Type::Big, known.iter().copied());
        if let Some(behind) = behind {
            select = select.push(" AND id > ").bind(behind.0);
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let select = select.push(" ORDER BY id LIMIT ").bind(limit).done();
        let rows: Vec<PlannedRow> = self.all(select).await?;
        let read = |row: PlannedRow| {
            Ok(Planned {
                id: TaskId(row.id),
                name: row.name.parse()?,
                revision: row.revision,
                rules: row.rules,
            })
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx {
    /// The courses of tasks that have to be looked at by now, the longest overdue first to be chosen, locked in
    /// the one order.
    ///
    /// With `share` (n, k), only the n-th of k shares of all tasks: so that several writes can decide at
    /// once, and none waits for another. There are no shares on SQLite, where there is one writer.
    pub async fn courses_due(
        &mut self,
        limit: u64,
        share: Option<(i64, i64)>,
    ) -> Result<Vec<CourseRow>> {
        let mut select = self
            .sql(
                "SELECT id, name, revision, cursor_at, next_slot_at, next_due_at, rules, pause FROM tasks \
                 WHERE deleted_at IS NULL AND id IN (SELECT id FROM tasks WHERE wake_at <= ",
            )
            .bind(micros(self.now))
            .push(" AND wake_at > ")
            .bind(self.store.inner.floors.wakes.at());
        if let Some((number, count)) = share
            && self.is_postgres()
        {
            select = select
                .push(" AND get_byte(uuid_send(id), 15) % ")
                .bind(count)
                .push(" = ")
                .bind(number);
        }
        let select = select
            .push(" ORDER BY wake_at LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .push(") ORDER BY id")
            .postgres(" FOR UPDATE")
            .done();
        courses(self.all(select).await?)
    }

    /// The courses of these tasks, locked in the one order.
    pub async fn courses_locked(&mut self, ids: &[TaskId]) -> Result<Vec<CourseRow>> {
        let mut found = Vec::with_capacity(ids.len());
        let mut ids = ids.to_vec();
        ids.sort();
        for chunk in ids.chunks(CHUNK) {
            let select = self
                .sql(
                    "SELECT id, name, revision, cursor_at, next_slot_at, next_due_at, rules, pause FROM tasks \
                     WHERE deleted_at IS NULL AND id",
                )
                .one_of(Type::Uuid, chunk.iter().map(|id| id.0))
                .push(" ORDER BY id")
                .postgres(" FOR UPDATE")
                .done();
            found.extend(courses(self.all(select).await?)?);
        }
        Ok(found)
    }

    /// Writes anew when the next slots of tasks come, whose cursors stay.
    ///
    /// # Errors
    /// As [`Tx::cursors_move`].
    pub async fn replan(&mut self, planned: &[(Timestamp, Course)]) -> Result<()> {
        self.rings.schedule = true;
        self.cursors_move(planned).await
    }

    /// Moves the cursors of tasks that the caller holds locked.
    ///
    /// # Errors
    /// [`Error::Aborted`] where one was moved meanwhile: then nothing of this write may stay.
    pub async fn cursors_move(&mut self, moved: &[(Timestamp, Course)]) -> Result<()> {
        for (update, expected) in move_cursors(self.backend(), moved) {
            self.move_by(update, expected).await?;
        }
        Ok(())
    }

    pub(super) async fn move_by(&mut self, update: Statement, expected: u64) -> Result<()> {
        if self.run(update).await? == expected {
            return Ok(());
        }
        self.failed = true;
        Err(Error::Aborted {
            reason: Reason::CursorMoved,
            message: "slots were decided by another at this moment: they are looked at again"
                .to_owned(),
        })
    }

    /// Puts off a task that cannot be decided now.
    pub async fn task_look_again(&mut self, id: TaskId, at: Timestamp) -> Result<()> {
        let update = task::Entity::update_many()
            .col_expr(task::Column::WakeAt, Expr::value(micros(at)))
            .filter(task::Column::Id.eq(id.0));
        let done = update.exec(self.open()?).await;
        self.check(done)?;
        Ok(())
    }
}

fn courses(rows: Vec<Row>) -> Result<Vec<CourseRow>> {
    let read = |row: Row| {
        Ok(CourseRow {
            id: TaskId(row.id),
            name: row.name.parse()?,
            revision: row.revision,
            cursor_at: convert::instant(row.cursor_at)?,
            next_slot_at: convert::instant_of(row.next_slot_at)?,
            next_due_at: convert::instant_of(row.next_due_at)?,
            rules: row.rules,
            pause: convert::read_of(row.pause.as_deref())?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// What moves cursors, and how many each statement must move.
pub(super) fn move_cursors(
    backend: DbBackend,
    moved: &[(Timestamp, Course)],
) -> Vec<(Statement, u64)> {
    const COLUMNS: &[Column] = &[
        column("id", Type::Uuid),
        column("from_at", Type::Big),
        column("cursor_at", Type::Big),
        column("next_slot_at", Type::Big).or_null(),
        column("next_due_at", Type::Big).or_null(),
        column("wake_at", Type::Big).or_null(),
        column("rules", Type::Big),
    ];
    let mut statements = Vec::new();
    for chunk in moved.chunks(CHUNK) {
        let rows = chunk.iter().map(|(from, course)| {
            vec![
                course.id.0.into(),
                micros(*from).into(),
                micros(course.cursor_at).into(),
                micros_of(course.next_slot_at).into(),
                micros_of(course.next_due_at).into(),
                micros_of(course.wake_at()).into(),
                course.rules.into(),
            ]
        });
        let update = Sql::new(backend, "")
            .with_values(COLUMNS, rows)
            .push(
                "UPDATE tasks SET cursor_at = v.cursor_at, next_slot_at = v.next_slot_at, \
                 next_due_at = v.next_due_at, wake_at = v.wake_at, rules = v.rules FROM v \
                 WHERE tasks.id = v.id AND tasks.cursor_at = v.from_at",
            )
            .done();
        statements.push((update, chunk.len() as u64));
    }
    statements
}
