//! Cursors: which tasks are due, and moving them on. The scheduler's hot path.

use jiff::Timestamp;
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, FromQueryResult, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, sea_query::Expr,
};

use super::{
    Store, Tx, convert,
    convert::{micros, micros_of},
    entity::task,
    rows::{CHUNK, Column, Type, column},
};
use crate::{
    domain::{Task, TaskId},
    error::Result,
};

#[derive(FromQueryResult)]
struct Wake {
    wake_at: Option<i64>,
}

impl Store {
    /// When the scheduler has to look next.
    pub async fn next_wake(&self) -> Result<Option<Timestamp>> {
        let select = "SELECT min(wake_at) AS wake_at FROM tasks WHERE wake_at IS NOT NULL";
        let wake: Option<Wake> = self.one(self.sql(select).done()).await?;
        convert::instant_of(wake.and_then(|wake| wake.wake_at))
    }

    /// The ids of tasks that have to be looked at by `now`, the longest overdue first.
    pub async fn tasks_due(&self, now: Timestamp, limit: u64) -> Result<Vec<TaskId>> {
        let ids: Vec<uuid::Uuid> = task::Entity::find()
            .select_only()
            .column(task::Column::Id)
            .filter(task::Column::WakeAt.lte(micros(now)))
            .order_by_asc(task::Column::WakeAt)
            .limit(limit)
            .into_tuple()
            .all(&self.inner.read)
            .await?;
        Ok(ids.into_iter().map(TaskId).collect())
    }
}

impl Tx {
    /// Moves the cursors of tasks that the caller holds locked: the scheduler's hot path. A cursor
    /// that was moved meanwhile is not moved again; says how many were.
    pub async fn cursors_move(&mut self, moved: &[(Timestamp, Task)]) -> Result<u64> {
        const COLUMNS: &[Column] = &[
            column("id", Type::Uuid),
            column("from_at", Type::Big),
            column("cursor_at", Type::Big),
            column("next_slot_at", Type::Big).or_null(),
            column("next_due_at", Type::Big).or_null(),
            column("wake_at", Type::Big).or_null(),
        ];
        let mut done = 0;
        for chunk in moved.chunks(CHUNK) {
            let rows = chunk.iter().map(|(from, task)| {
                vec![
                    task.id.0.into(),
                    micros(*from).into(),
                    micros(task.cursor_at).into(),
                    micros_of(task.next_slot_at).into(),
                    micros_of(task.next_due_at).into(),
                    micros_of(task.wake_at()).into(),
                ]
            });
            let update = self
                .sql("")
                .with_values(COLUMNS, rows)
                .push(
                    "UPDATE tasks SET cursor_at = v.cursor_at, next_slot_at = v.next_slot_at, \
                     next_due_at = v.next_due_at, wake_at = v.wake_at FROM v \
                     WHERE tasks.id = v.id AND tasks.cursor_at = v.from_at",
                )
                .done();
            done += self.run(update).await?;
        }
        Ok(done)
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

    /// Moves the auditor's own mark.
    pub async fn audited(&mut self, id: TaskId, upto: Timestamp) -> Result<()> {
        let update = task::Entity::update_many()
            .col_expr(task::Column::AuditedAt, Expr::value(micros(upto)))
            .filter(task::Column::Id.eq(id.0));
        let done = update.exec(self.open()?).await;
        self.check(done)?;
        Ok(())
    }
}
