//! The tail reader: one per process reads the log's end, so that a thousand watches cost one query.
//!
//! It delivers only what can no longer change. On SQLite, with its one writer, that is what is there.
//! On PostgreSQL a number may be missing because its transaction is not over yet, or because it was
//! rolled back: see [`numbers`] for how that is told apart, and `reader` for who does. `known` is what
//! the tail knows of itself: how far the log is complete, and since when nothing moves. What nobody here
//! follows is not read: see `passing`.

mod known;
mod numbers;
mod passing;
mod reader;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use self::known::Known;
pub use self::known::{Complete, Hindrance};
pub(super) use self::numbers::HOLD_NUMBERS;
use crate::domain::{Event, EventKind};

const RING_EVENTS: usize = 16_384;
const RING_BYTES: usize = 16 << 20;
/// Between two times that followers are woken, for each of them: with a thousand, several events come at
/// once, in one packet, instead of each for itself. After a pause the first is told at once.
const PACE_EACH: Duration = Duration::from_micros(35);
const PACE_MAX: Duration = Duration::from_millis(100);

/// The newest events of the log, as far as they are final.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    ring: Arc<Mutex<Ring>>,
    last: Arc<watch::Sender<i64>>,
    of_documents: Arc<AtomicI64>,
    of_tasks: Arc<AtomicI64>,
    of_attended: Arc<AtomicI64>,
    /// Those for whom events are read.
    attending: Arc<AtomicUsize>,
    /// How names of tasks begin whose runs are attended to where nobody follows.
    attended: Arc<OnceLock<Vec<&'static str>>>,
    known: Arc<Mutex<Known>>,
    begun: Arc<watch::Sender<bool>>,
    stalled: Arc<watch::Sender<Option<Timestamp>>>,
    /// Rings when a look begins.
    tried: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Everything after this one is in the ring.
    floor: i64,
}

impl Tail {
    /// The last final event's number.
    pub fn last(&self) -> i64 {
        *self.last.borrow()
    }

    /// The last event of a document that came by, or where the tail began where none has.
    pub fn last_of_documents(&self) -> i64 {
        self.of_documents.load(Ordering::Relaxed)
    }

    /// The last event of a task that came or went, since this process began; 0 where none has.
    pub fn last_of_tasks(&self) -> i64 {
        self.of_tasks.load(Ordering::Relaxed)
    }

    /// The last event that may concern who attends: any that was read, and of those that were passed by those of runs of
    /// tasks that are attended, and of kinds that this server does not know; 0 where there is none since this process began.
    pub fn last_of_attended(&self) -> i64 {
        self.of_attended.load(Ordering::Relaxed)
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

    /// Begins: what comes after `sequence` is told from now on.
    fn start_at(&self, sequence: i64, at: Timestamp) {
        self.ring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .floor = sequence;
        // What happened before nobody has seen go by.
        self.of_documents.store(sequence, Ordering::Relaxed);
        self.last.send_replace(sequence);
        self.completed(at, sequence);
        self.begun.send_replace(true);
    }

    /// Takes in what is final up to `upto`, and wakes the followers.
    fn push(&self, events: Vec<Event>, upto: i64) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(event) = events.last() {
            self.of_attended.store(event.sequence, Ordering::Relaxed);
        }
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
