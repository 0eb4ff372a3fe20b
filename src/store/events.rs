//! The log of events.
//!
//! On PostgreSQL the sequence is drawn by the last statements of a transaction, while its row locks
//! are held, and a later number can be committed before an earlier one. [`super::tail`] delivers
//! only the prefix that can no longer change; no reader may go past it.

use jiff::Timestamp;
use sea_orm::FromQueryResult;

use super::{
    Store, Tx, convert,
    entity::event,
    rows::{Column, Type, column},
};
use crate::{
    domain::{Event, NewEvent, TaskId},
    error::{Error, Result},
};

const PRUNED: &str = "log_pruned_upto";
const PRUNED_AT_ONCE: i64 = 2000;

const COLUMNS: &[Column] = &[
    column("at", Type::Big),
    column("kind", Type::Text),
    column("task_id", Type::Uuid).or_null(),
    column("subject", Type::Text),
    column("payload", Type::Text),
];

#[derive(FromQueryResult)]
struct Number {
    number: Option<i64>,
}

impl Store {
    /// Events with `after < sequence <= upto`, in order.
    pub async fn events_between(&self, after: i64, upto: i64, limit: u64) -> Result<Vec<Event>> {
        let select = self
            .sql("SELECT * FROM events WHERE sequence > ")
            .bind(after)
            .push(" AND sequence <= ")
            .bind(upto)
            .push(" ORDER BY sequence LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done();
        let rows: Vec<event::Model> = self.all(select).await?;
        rows.into_iter().map(Event::try_from).collect()
    }

    /// The highest number in the table; 0 where there is none.
    pub async fn events_highest(&self) -> Result<i64> {
        let highest: Option<Number> = self
            .one(
                self.sql("SELECT max(sequence) AS number FROM events")
                    .done(),
            )
            .await?;
        let highest = highest.and_then(|row| row.number);
        Ok(highest.unwrap_or(0).max(self.events_pruned_upto().await?))
    }

    /// When the newest event was told; none where there is none.
    pub async fn events_newest_at(&self) -> Result<Option<Timestamp>> {
        let newest = "SELECT at AS number FROM events ORDER BY sequence DESC LIMIT 1";
        let newest: Option<Number> = self.one(self.sql(newest).done()).await?;
        convert::instant_of(newest.and_then(|row| row.number))
    }

    async fn events_lowest(&self) -> Result<i64> {
        let select = "SELECT min(sequence) AS number FROM events";
        let lowest: Option<Number> = self.one(self.sql(select).done()).await?;
        Ok(lowest.and_then(|row| row.number).unwrap_or(0))
    }

    /// Numbers up to this one are no longer in the table.
    pub async fn events_pruned_upto(&self) -> Result<i64> {
        Ok(self.value(PRUNED).await?.unwrap_or(0))
    }

    /// PostgreSQL: a transaction id drawn now.
    pub(super) async fn draw_transaction_id(&self) -> Result<i64> {
        let draw = self
            .sql("SELECT pg_current_xact_id()::text::bigint AS number")
            .done();
        // On the writer's pool: reading pools may be replicas one day, which cannot draw.
        self.number(draw).await
    }

    /// PostgreSQL: every transaction with a lower id has ended.
    pub(super) async fn oldest_transaction_id(&self) -> Result<i64> {
        let text = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS number";
        self.number(self.sql(text).done()).await
    }

    /// The number up to which events are older than `before`. They are about in the order of time, so that
    /// halving finds it, and no index is needed.
    async fn events_older_than(&self, before: Timestamp) -> Result<i64> {
        let before = convert::micros(before);
        let (mut older, mut newer) = (self.events_lowest().await? - 1, self.tail().last() + 1);
        while older + 1 < newer {
            let middle = older + (newer - older) / 2;
            let next = self
                .sql("SELECT at AS number FROM events WHERE sequence >= ")
                .bind(middle)
                .push(" ORDER BY sequence LIMIT 1")
                .done();
            let next: Option<Number> = self.one(next).await?;
            match next.and_then(|row| row.number) {
                Some(at) if at < before => older = middle,
                _ => newer = middle,
            }
        }
        Ok(older.max(0))
    }

    async fn number(&self, statement: sea_orm::Statement) -> Result<i64> {
        let row: Option<Number> = self.one(statement).await?;
        let number = row.and_then(|row| row.number);
        number.ok_or_else(|| Error::internal("the database gave no number"))
    }

    /// The number up to which events go that are older than `before` or beyond `keep`.
    pub async fn events_to_prune(&self, before: Timestamp, keep: i64) -> Result<i64> {
        let older = self.events_older_than(before).await?;
        // Never past what the tail has delivered.
        Ok(older.max(self.tail().last() - keep).min(self.tail().last()))
    }

    /// Drops the oldest events up to `upto`: as many as hold up nobody, whose count is returned; none where all of them
    /// are gone.
    pub async fn events_prune(&self, upto: i64) -> Result<Option<u64>> {
        let from = self.events_pruned_upto().await?;
        if upto <= from {
            return Ok(None);
        }
        let to = upto.min(from.max(self.events_lowest().await?) + PRUNED_AT_ONCE);
        let mut tx = self.begin().await?;
        let delete = tx
            .sql("DELETE FROM events WHERE sequence <= ")
            .bind(to)
            .done();
        let gone = tx.run(delete).await?;
        tx.set_value(PRUNED, &to).await?;
        tx.commit().await?;
        Ok(Some(gone))
    }
}

impl Tx {
    /// Writes what was told. Last of all, so that on PostgreSQL the transaction already has its id
    /// when the numbers are drawn: the tail's rule rests on that.
    pub(super) async fn append(&mut self, told: Vec<NewEvent>) -> Result<()> {
        let at = convert::micros(self.now);
        let rows = told.into_iter().map(|new| {
            vec![
                at.into(),
                new.kind.as_str().into(),
                new.task_id.map(|id| id.0).into(),
                new.subject.into(),
                new.payload.into(),
            ]
        });
        // The numbers are drawn in the order of the rows.
        self.insert("events", COLUMNS, &[], rows.collect(), "")
            .await
    }
}

impl TryFrom<event::Model> for Event {
    type Error = Error;

    fn try_from(row: event::Model) -> Result<Self> {
        Ok(Self::new(
            row.sequence,
            convert::instant(row.at)?,
            row.kind,
            row.task_id.map(TaskId),
            row.subject,
            row.payload,
        ))
    }
}
