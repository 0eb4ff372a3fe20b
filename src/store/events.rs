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
    rows::{Column, Type, column, insert},
};
use crate::{
    domain::{Event, NewEvent, TaskId},
    error::{Error, Result},
};

const PRUNED: &str = "log_pruned_upto";
/// Some milliseconds of the one who writes, also where events are large.
const PRUNED_AT_ONCE: i64 = 500;

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
        // From where they are gone on: what is left of those that went is passed over.
        let select = self
            .sql("SELECT min(sequence) AS number FROM events WHERE sequence > ")
            .bind(self.events_pruned_upto().await?)
            .done();
        let lowest: Option<Number> = self.one(select).await?;
        Ok(lowest.and_then(|row| row.number).unwrap_or(0))
    }

    /// Numbers up to this one are no longer in the table.
    pub async fn events_pruned_upto(&self) -> Result<i64> {
        Ok(self.value(PRUNED).await?.unwrap_or(0))
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
            .sql("DELETE FROM events WHERE sequence > ")
            .bind(from)
            .push(" AND sequence <= ")
            .bind(to)
            .done();
        let gone = tx.run(delete).await?;
        tx.set_value(PRUNED, &to).await?;
        tx.commit().await?;
        Ok(Some(gone))
    }
}

impl Tx {
    /// Writes what was told. Last of all, so that on PostgreSQL the numbers, which are held from then on, are held for
    /// a moment: the tail waits for whoever holds some.
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
        let Some(with) = self.with_events.take() else {
            return self
                .insert("events", COLUMNS, &[], rows.collect(), "")
                .await;
        };
        let both = insert(
            with,
            self.backend(),
            "events",
            (COLUMNS, &[]),
            rows.collect(),
        );
        self.run(both.done()).await?;
        Ok(())
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
