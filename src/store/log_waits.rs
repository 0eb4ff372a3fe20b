//! Waiting for lines of runs: one reader looks for all who follow a log, so that six hundred cost one query.
//!
//! Who waits says which line of which run it has read last. The reader looks four times a second, which is how often
//! lines are written, by this server or another, and wakes those behind whose line there is more, or whose run has
//! ended. What is there they read by themselves: a look that comes to nothing is repeated, and loses nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use sea_orm::FromQueryResult;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Store,
    rows::{CHUNK, Type, column},
};
use crate::{clock::Stopwatch, domain::RunId, error::Result};

/// Between two looks; lines are written four times a second.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Looks that fail for so long are told to who waits.
const STALLED_AFTER: Duration = Duration::from_secs(1);

/// Who waits for lines of runs.
#[derive(Clone, Debug, Default)]
pub(super) struct LogWaits {
    inner: Arc<Mutex<Inner>>,
    /// Rings when somebody waits.
    bell: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    /// Looks that have begun.
    looks: u64,
    /// The last that has ended: its number, and when it began.
    looked: Option<(u64, Timestamp)>,
    failing: Option<(Timestamp, Stopwatch)>,
}

#[derive(Debug)]
struct Waiting {
    place: Place,
    wake: oneshot::Sender<()>,
}

/// A line of a run that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    run: RunId,
    attempt: i64,
    line: i64,
}

#[derive(FromQueryResult)]
struct Found {
    id: uuid::Uuid,
    attempt: i64,
    line: i64,
}

/// A wait for more of a log than was read. It ends by being dropped, too.
#[derive(Debug)]
pub struct LogWait {
    waits: LogWaits,
    key: u64,
    woken: oneshot::Receiver<()>,
    /// Looks that had begun before it.
    before: u64,
}

impl LogWait {
    /// Waits until there is more, or the run has ended. May be given up and begun again.
    pub async fn more(&mut self) {
        // The reader gives the sender back with the wait alone.
        let _ = (&mut self.woken).await;
    }

    /// When a look that counts for this wait last began: there was nothing more then.
    pub fn as_of(&self) -> Option<Timestamp> {
        let inner = self.waits.inner();
        let (number, at) = inner.looked?;
        (self.before < number).then_some(at)
    }

    /// Since when nobody could look, where that is more than a moment.
    pub fn stalled_since(&self) -> Option<Timestamp> {
        let inner = self.waits.inner();
        let (since, watch) = inner.failing.as_ref()?;
        (STALLED_AFTER <= watch.elapsed()).then_some(*since)
    }
}

impl Drop for LogWait {
    fn drop(&mut self) {
        self.waits.inner().waiting.remove(&self.key);
    }
}

impl LogWaits {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, place: Place) -> LogWait {
        let (wake, woken) = oneshot::channel();
        let mut inner = self.inner();
        let (key, before) = (inner.next, inner.looks);
        inner.next += 1;
        inner.waiting.insert(key, Waiting { place, wake });
        drop(inner);
        self.bell.notify_one();
        LogWait {
            waits: self.clone(),
            key,
            woken,
            before,
        }
    }

    /// A look begins: its number, and what it is for.
    fn begin(&self, now: Timestamp) -> (u64, Vec<Place>) {
        let mut inner = self.inner();
        inner.looks += 1;
        inner
            .failing
            .get_or_insert_with(|| (now, Stopwatch::start()));
        let mut places: Vec<Place> = inner
            .waiting
            .values()
            .map(|waiting| waiting.place)
            .collect();
        places.sort_unstable();
        places.dedup();
        (inner.looks, places)
    }

    /// A look has ended, and has found more behind these, which are in order.
    fn end(&self, number: u64, at: Timestamp, found: &[Place]) {
        let mut inner = self.inner();
        inner.looked = Some((number, at));
        inner.failing = None;
        let woken = |waiting: &Waiting| found.binary_search(&waiting.place).is_ok();
        let keys = inner.waiting.iter().filter(|(_, waiting)| woken(waiting));
        let keys: Vec<u64> = keys.map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(waiting) = inner.waiting.remove(&key) {
                // Who waited may have gone.
                let _ = waiting.wake.send(());
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.inner().waiting.is_empty()
    }
}

impl Store {
    /// A wait for more of a run's log than was read by then, which is up to (attempt, line), or for its end.
    pub fn wait_for_log(&self, run: RunId, (attempt, line): (i64, i64)) -> LogWait {
        self.inner.log_waits.add(Place { run, attempt, line })
    }

    /// Looks for all who wait, until `stop`.
    pub async fn run_log_waits(self, stop: CancellationToken) {
        let waits = self.inner.log_waits.clone();
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            if waits.is_empty() {
                // Rung also where somebody came and went: then it waits again.
                stop.run_until_cancelled(waits.bell.notified()).await;
                continue;
            }
            let now = self.inner.clock.now();
            let (number, places) = waits.begin(now);
            match self.grown_logs(&places).await {
                Ok(found) => waits.end(number, now, &found),
                Err(error) => warn!(%error, "could not look for new lines of runs; trying again"),
            }
        }
    }

    /// Of these, in order, those behind which there is more, or whose run has ended.
    async fn grown_logs(&self, places: &[Place]) -> Result<Vec<Place>> {
        let mut grown = Vec::new();
        for chunk in places.chunks(CHUNK) {
            let rows = chunk
                .iter()
                .map(|place| vec![place.run.0.into(), place.attempt.into(), place.line.into()]);
            let columns = [
                column("id", Type::Uuid),
                column("attempt", Type::Big),
                column("line", Type::Big),
            ];
            // No EXISTS, which PostgreSQL could answer by reading all runs.
            let select = self
                .sql("")
                .with_values(&columns, rows)
                .push(
                    "SELECT v.id AS id, v.attempt AS attempt, v.line AS line FROM v WHERE v.id IS NOT NULL AND \
                     ((SELECT CASE WHEN c.attempt > v.attempt OR (c.attempt = v.attempt AND c.line + c.lines - 1 > v.line) \
                     THEN 1 END FROM run_log_chunks c WHERE c.run_id = v.id ORDER BY c.attempt DESC, c.line DESC LIMIT 1) \
                     IS NOT NULL OR (SELECT 1 FROM run_log l WHERE l.run_id = v.id AND (l.attempt, l.line) > (v.attempt, v.line) \
                     LIMIT 1) IS NOT NULL OR (SELECT 1 FROM runs r WHERE r.id = v.id AND r.finished_at IS NULL \
                     LIMIT 1) IS NULL)",
                )
                .done();
            let rows: Vec<Found> = self.all(select).await?;
            grown.extend(rows.into_iter().map(|row| Place {
                run: RunId(row.id),
                attempt: row.attempt,
                line: row.line,
            }));
        }
        grown.sort_unstable();
        Ok(grown)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn who_waits_for_the_same_is_looked_for_once_and_woken_alone() {
        let waits = LogWaits::default();
        let place = |line| Place {
            run: RunId(uuid::Uuid::nil()),
            attempt: 1,
            line,
        };
        let (mut one, mut same, mut other) = (
            waits.add(place(4)),
            waits.add(place(4)),
            waits.add(place(9)),
        );
        let (number, places) = waits.begin(at(7));
        assert_eq!(places, [place(4), place(9)]);
        let mut late = waits.add(place(4));
        waits.end(number, at(7), &[place(9)]);
        assert!(other.more().now_or_never().is_some());
        assert!(one.more().now_or_never().is_none());
        assert_eq!(one.as_of(), Some(at(7)), "there was nothing more by then");
        assert_eq!(late.as_of(), None, "that look was not for it");

        let (number, places) = waits.begin(at(8));
        assert_eq!(places, [place(4)]);
        waits.end(number, at(8), &[place(4)]);
        for woken in [&mut one, &mut same, &mut late] {
            assert!(woken.more().now_or_never().is_some());
        }
        assert!(waits.is_empty());
        let gone = waits.add(place(5));
        drop(gone);
        assert!(waits.is_empty());
    }
}
