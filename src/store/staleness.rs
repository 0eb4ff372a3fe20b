//! Tasks whose freshness has to be looked at: by an index of when, so that most are never read.

use jiff::Timestamp;
use sea_orm::{FromQueryResult, Statement};

use super::{
    Store, Tx, convert,
    convert::{micros, micros_of},
    rows::{CHUNK, Column, Type, column},
};
use crate::{
    domain::{
        TaskId, TaskName,
        retry::later,
        task::{CLOCKS_DIFFER, Freshness, LastRun, Pause},
    },
    error::Result,
};

/// What the freshness of a task is judged by.
#[derive(Clone, Debug)]
pub struct FreshnessRow {
    pub id: TaskId,
    pub name: TaskName,
    pub revision: i64,
    pub pause: Option<Pause>,
    pub last_run: Option<LastRun>,
    pub freshness: Freshness,
    /// When it was to be looked at.
    pub check_at: Timestamp,
}

#[derive(FromQueryResult)]
struct Row {
    id: uuid::Uuid,
    name: String,
    revision: i64,
    pause: Option<String>,
    last_run: Option<String>,
    fresh_at: Option<i64>,
    usual_ms: Option<i64>,
    scheduled_from: i64,
    owed_slots: i16,
    owed_at: Option<i64>,
    stale_check_at: i64,
}

#[derive(FromQueryResult)]
struct Next {
    next_at: Option<i64>,
}

const SELECT: &str = "SELECT id, name, revision, pause, last_run, fresh_at, usual_ms, scheduled_from, owed_slots, owed_at, \
     stale_check_at FROM tasks WHERE stale_check_at IS NOT NULL AND stale_check_at ";

/// A task, when it was to be looked at, and when it is next; none where nothing is to come.
pub type FreshnessCheck = (TaskId, Timestamp, Option<Timestamp>);

impl Store {
    /// Tasks that have to be looked at by `now`, the longest due first, behind one of them.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn freshness_due(
        &self,
        now: Timestamp,
        behind: Option<(Timestamp, TaskId)>,
        limit: usize,
    ) -> Result<Vec<FreshnessRow>> {
        let mut select = self.sql(SELECT).push("<=").bind(micros(now));
        if let Some((at, id)) = behind {
            select = select
                .push(" AND (stale_check_at, id) > (")
                .bind(micros(at))
                .push(", ")
                .bind(id.0)
                .push(")");
        }
        let select = select
            .push(" ORDER BY stale_check_at, id LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done();
        self.freshness_rows(select, now).await
    }

    /// Tasks that nobody would look at until after `beyond`, as a clock that was ahead has noted.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn freshness_beyond(
        &self,
        now: Timestamp,
        beyond: Timestamp,
        limit: usize,
    ) -> Result<Vec<FreshnessRow>> {
        let select = self
            .sql(SELECT)
            .push(">")
            .bind(micros(beyond))
            .push(" ORDER BY stale_check_at DESC, id DESC LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done();
        self.freshness_rows(select, now).await
    }

    async fn freshness_rows(&self, select: Statement, now: Timestamp) -> Result<Vec<FreshnessRow>> {
        let rows: Vec<Row> = self.all(select).await?;
        let read = |row: Row| {
            Ok(FreshnessRow {
                id: TaskId(row.id),
                name: row.name.parse()?,
                revision: row.revision,
                pause: convert::read_of(row.pause.as_deref())?,
                last_run: convert::read_of(row.last_run.as_deref())?,
                freshness: Freshness {
                    scheduled_from: convert::instant(row.scheduled_from)?,
                    owed_slots: row.owed_slots,
                    owed_at: convert::instant_of(row.owed_at)?,
                    fresh_at: convert::instant_of(row.fresh_at)?,
                    usual: convert::millis_of(row.usual_ms),
                }
                .known(now),
                check_at: convert::instant(row.stale_check_at)?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// When the next task has to be looked at after `now`.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn freshness_next(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let select = self
            .sql(
                "SELECT min(stale_check_at) AS next_at FROM tasks WHERE stale_check_at IS NOT NULL \
                 AND stale_check_at > ",
            )
            .bind(micros(now))
            .done();
        let next: Option<Next> = self.one(select).await?;
        convert::instant_of(next.and_then(|next| next.next_at))
    }
}

impl Tx {
    /// Notes when tasks that were looked at have to be looked at next, but for those that have changed since.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn freshness_checked(&mut self, checks: &[FreshnessCheck]) -> Result<()> {
        const COLUMNS: &[Column] = &[
            column("id", Type::Uuid),
            column("now_at", Type::Big),
            column("beyond", Type::Big),
            column("seen_at", Type::Big),
            column("next_at", Type::Big).or_null(),
        ];
        let ids: Vec<TaskId> = checks.iter().map(|(id, ..)| *id).collect();
        self.tasks_lock(&ids).await?;
        let now = micros(self.now);
        let beyond = micros(later(self.now, CLOCKS_DIFFER));
        // What is not believed is forgotten, lest it be as new as each later look.
        let update = "UPDATE tasks SET stale_check_at = v.next_at, \
             fresh_at = CASE WHEN tasks.fresh_at > v.beyond THEN v.now_at ELSE tasks.fresh_at END, \
             scheduled_from = CASE WHEN tasks.scheduled_from > v.beyond THEN v.now_at \
             ELSE tasks.scheduled_from END \
             FROM v WHERE tasks.id = v.id AND tasks.stale_check_at = v.seen_at";
        for chunk in checks.chunks(CHUNK) {
            let rows = chunk.iter().map(|(id, seen_at, next_at)| {
                vec![
                    id.0.into(),
                    now.into(),
                    beyond.into(),
                    micros(*seen_at).into(),
                    micros_of(*next_at).into(),
                ]
            });
            let statement = self.sql("").with_values(COLUMNS, rows).push(update).done();
            self.run(statement).await?;
        }
        Ok(())
    }
}
