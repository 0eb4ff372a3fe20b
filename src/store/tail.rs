//! The tail reader: one per process reads the log's end, so that a thousand watches cost one query.
//!
//! It delivers only what can no longer change. On SQLite, with its one writer, that is what is there.
//! On PostgreSQL a number may be missing because its transaction is not over yet, or because it was
//! rolled back. A gap is first seen; then a transaction id is drawn; once every transaction below
//! that id has ended, whoever drew the missing numbers has ended too, and what is in the table then
//! is final.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use sea_orm::DbBackend;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Store;
use crate::{
    clock::Stopwatch,
    domain::{Event, EventKind},
    error::Result,
};

const PAGE: u64 = 1000;
const RING_EVENTS: usize = 16_384;
const RING_BYTES: usize = 16 << 20;
const GAP_WAIT_MIN: Duration = Duration::from_millis(2);
const GAP_WAIT_MAX: Duration = Duration::from_millis(100);
/// Between two looks where no bell rang: a bell of another replica can be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Between two times that followers are woken, for each of them: with a thousand, several events come at
/// once, in one packet, instead of each for itself. After a pause the first is told at once.
const PACE_EACH: Duration = Duration::from_micros(35);
const PACE_MAX: Duration = Duration::from_millis(100);
/// A start that waits for longer says why.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// The newest events of the log, as far as they are final.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    ring: Arc<Mutex<Ring>>,
    last: Arc<watch::Sender<i64>>,
    of_documents: Arc<AtomicI64>,
    of_tasks: Arc<AtomicI64>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Everything after this one is in the ring.
    floor: i64,
}

/// A gap that has been seen, and how to tell when it is final.
#[derive(Clone, Copy, Debug)]
struct Gap {
    upto: i64,
    transaction_id: i64,
}

impl Tail {
    /// The last final event's number.
    pub fn last(&self) -> i64 {
        *self.last.borrow()
    }

    /// The last event of a document that came by, since this process began; 0 where none has.
    pub fn last_of_documents(&self) -> i64 {
        self.of_documents.load(Ordering::Relaxed)
    }

    /// The last event of a task that came or went, since this process began; 0 where none has.
    pub fn last_of_tasks(&self) -> i64 {
        self.of_tasks.load(Ordering::Relaxed)
    }

    /// Tells when there is more.
    pub fn grown(&self) -> watch::Receiver<i64> {
        self.last.subscribe()
    }

    /// How long to wait between two times that all followers are woken.
    fn pace(&self) -> Duration {
        let followers = u32::try_from(self.last.receiver_count()).unwrap_or(u32::MAX);
        PACE_EACH.saturating_mul(followers).min(PACE_MAX)
    }

    /// Up to `limit` events after `sequence`; none where the ring no longer reaches back that far.
    pub fn after(&self, sequence: i64, limit: usize) -> Option<Vec<Arc<Event>>> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if sequence < ring.floor {
            return None;
        }
        let from = ring
            .events
            .partition_point(|event| event.sequence <= sequence);
        Some(ring.events.iter().skip(from).take(limit).cloned().collect())
    }

    fn start_at(&self, sequence: i64) {
        self.ring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .floor = sequence;
        self.last.send_replace(sequence);
    }

    /// Takes in what is final up to `upto`, and wakes the followers.
    fn push(&self, events: Vec<Event>, upto: i64) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if event.is_of_document() {
                self.of_documents.store(event.sequence, Ordering::Relaxed);
            }
            if matches!(event.kind, EventKind::TaskCreated | EventKind::TaskDeleted) {
                self.of_tasks.store(event.sequence, Ordering::Relaxed);
            }
            ring.bytes += event.payload.len();
            ring.events.push_back(Arc::new(event));
            while RING_EVENTS < ring.events.len() || RING_BYTES < ring.bytes {
                let Some(oldest) = ring.events.pop_front() else {
                    break;
                };
                ring.bytes -= oldest.payload.len();
                ring.floor = oldest.sequence;
            }
        }
        drop(ring);
        self.last.send_replace(upto);
    }
}

impl Store {
    /// Finds where the log ends for good, so that followers can begin.
    ///
    /// On PostgreSQL this waits for the transactions that are under way on that server, of any
    /// database; a `stop` ends the wait.
    pub async fn start_tail(&self, stop: &CancellationToken) -> Result<()> {
        let last = self.events_highest().await?;
        if self.inner.backend == DbBackend::Postgres {
            let transaction_id = self.draw_transaction_id().await?;
            let mut wait = GAP_WAIT_MIN;
            let watch = Stopwatch::start();
            let mut told = false;
            while self.oldest_transaction_id().await? <= transaction_id && !stop.is_cancelled() {
                if TELL_AFTER < watch.elapsed() && !told {
                    told = true;
                    warn!(
                        "waiting for a transaction that someone holds open on this PostgreSQL server"
                    );
                }
                stop.run_until_cancelled(tokio::time::sleep(wait)).await;
                wait = (wait * 2).min(GAP_WAIT_MAX);
            }
        }
        self.tail().start_at(last);
        Ok(())
    }

    /// Keeps the tail up to date until `stop`.
    pub async fn run_tail(self, stop: CancellationToken) {
        let mut bell = self.bells().log();
        let mut gap = None;
        let mut wait = GAP_WAIT_MIN;
        let mut told: Option<Stopwatch> = None;
        while !stop.is_cancelled() {
            if let Some(told) = &told {
                let rest = self.tail().pace().saturating_sub(told.elapsed());
                if !rest.is_zero() {
                    stop.run_until_cancelled(tokio::time::sleep(rest)).await;
                }
            }
            bell.mark_unchanged();
            let before = self.tail().last();
            let read = self.read_tail(&mut gap).await;
            let news = self.tail().last() - before;
            if 0 < news {
                // A full page has more behind it: nobody is woken for little then.
                told = (news < PAGE as i64).then(Stopwatch::start);
            }
            match read {
                Ok(true) => {
                    wait = GAP_WAIT_MIN;
                    continue;
                }
                Ok(false) => {}
                Err(error) => {
                    warn!(%error, "could not read the log's end; trying again");
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
            if gap.is_some() {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(GAP_WAIT_MAX);
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                _ = bell.changed() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// One look; says whether to look again at once.
    async fn read_tail(&self, gap: &mut Option<Gap>) -> Result<bool> {
        let last = self.tail().last();
        if let Some(seen) = *gap {
            if self.oldest_transaction_id().await? <= seen.transaction_id {
                return Ok(false);
            }
            // Read after the look at the transactions: what is here now is all there will be.
            let events = self.events_between(last, seen.upto, PAGE).await?;
            let full = events.len() as u64 == PAGE;
            let upto = match events.last() {
                Some(event) if full => event.sequence,
                _ => seen.upto,
            };
            if upto == seen.upto {
                *gap = None;
            }
            self.tail().push(events, upto);
            return Ok(true);
        }
        let mut events = self.events_between(last, i64::MAX, PAGE).await?;
        let Some(newest) = events.last().map(|event| event.sequence) else {
            return Ok(false);
        };
        let whole = if self.inner.backend == DbBackend::Postgres {
            let expected = (last + 1..).zip(&events);
            expected
                .take_while(|(number, event)| *number == event.sequence)
                .count()
        } else {
            events.len()
        };
        if whole < events.len() {
            *gap = Some(Gap {
                upto: newest,
                transaction_id: self.draw_transaction_id().await?,
            });
        }
        events.truncate(whole);
        let Some(upto) = events.last().map(|event| event.sequence) else {
            return Ok(gap.is_none());
        };
        self.tail().push(events, upto);
        Ok(true)
    }
}
