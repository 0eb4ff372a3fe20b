//! How many tasks there are, without counting them each time.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use sea_orm::FromQueryResult;

use super::{
    Store,
    convert::{self, micros},
};
use crate::{clock::Stopwatch, error::Result};

/// A total is counted anew when the log tells of a task that came or went; and after this long in any case, should the
/// log be held up.
const COUNTED_FOR: Duration = Duration::from_secs(60);

/// How many tasks there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskCounts {
    pub total: i64,
    pub paused: i64,
    pub failing: i64,
}

/// The total as it was counted last.
#[derive(Debug, Default)]
pub(super) struct Counted(Mutex<Option<Total>>);

/// The latest instant, in microseconds, at which a write was begun.
#[derive(Debug)]
pub(super) struct Latest(AtomicI64);

impl Default for Latest {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Latest {
    pub(super) fn note(&self, now: Timestamp) {
        self.0.fetch_max(micros(now), Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug)]
struct Total {
    total: i64,
    /// The last event of a task that came or went before it was counted.
    upto: i64,
    at: Stopwatch,
}

#[derive(FromQueryResult)]
struct Few {
    paused: i64,
    failing: i64,
}

#[derive(FromQueryResult)]
struct Number {
    number: Option<i64>,
}

impl Store {
    /// How many tasks are not deleted, and how many of them are paused by themselves, or fail.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn task_counts(&self) -> Result<TaskCounts> {
        let select = "SELECT (SELECT count(*) FROM tasks WHERE pause IS NOT NULL AND deleted_at IS NULL) AS paused, \
            (SELECT count(*) FROM tasks WHERE failing_since IS NOT NULL AND deleted_at IS NULL) AS failing";
        let few: Option<Few> = self.one(self.sql(select).done()).await?;
        let total = self.task_total().await?;
        Ok(few.map_or_else(TaskCounts::default, |few| TaskCounts {
            total,
            paused: few.paused,
            failing: few.failing,
        }))
    }

    async fn task_total(&self) -> Result<i64> {
        let upto = self.tail().last_of_tasks();
        let counted = &self.inner.counted.0;
        let known = *counted.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |known: &Total| known.upto == upto && known.at.elapsed() < COUNTED_FOR;
        if let Some(known) = known.filter(holds) {
            return Ok(known.total);
        }
        let at = Stopwatch::start();
        let select = "SELECT count(*) AS number FROM tasks WHERE deleted_at IS NULL";
        let row: Option<Number> = self.one(self.sql(select).done()).await?;
        let total = row.and_then(|row| row.number).unwrap_or(0);
        *counted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Total { total, upto, at });
        Ok(total)
    }

    /// The latest instant of a write that this process has begun: nothing that it decided goes beyond.
    pub fn latest_write(&self) -> Option<Timestamp> {
        let latest = self.inner.latest.0.load(Ordering::Relaxed);
        (latest != i64::MIN).then(|| convert::instant(latest).ok())?
    }

    /// Takes back what a clock said that was ahead, once it is known that nothing is decided beyond `now`.
    pub fn none_written_beyond(&self, now: Timestamp) {
        self.inner
            .latest
            .0
            .fetch_min(micros(now), Ordering::Relaxed);
    }

    /// The newest instant up to which a task is decided. It reads every task.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn decided_upto(&self) -> Result<Option<Timestamp>> {
        let select = "SELECT max(cursor_at) AS number FROM tasks WHERE deleted_at IS NULL";
        let row: Option<Number> = self.one(self.sql(select).done()).await?;
        convert::instant_of(row.and_then(|row| row.number))
    }
}
