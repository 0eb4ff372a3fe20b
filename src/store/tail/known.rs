//! What the tail knows of itself: how far the log is complete, and since when nothing moves.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::watch;

use super::{Tail, numbers::Holder};
use crate::clock::Stopwatch;

#[derive(Debug, Default)]
pub(super) struct Known {
    complete: Option<Complete>,
    trying: Option<Trying>,
}

/// Whatever was committed before `at` is told, up to `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete {
    pub at: Timestamp,
    pub upto: i64,
}

/// That the log's end is looked for, and nothing new of it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindrance {
    pub since: Timestamp,
    pub lasts: Duration,
    /// Processes of PostgreSQL that have transactions open which hold numbers; none where the cause is another.
    pub holders: Vec<i32>,
}

#[derive(Debug)]
struct Trying {
    since: Timestamp,
    watch: Stopwatch,
    holders: Vec<i32>,
}

impl Tail {
    /// Whether it is known where the log ends: before that nobody can follow it.
    pub fn has_begun(&self) -> bool {
        *self.begun.borrow()
    }

    /// Waits until it is known where the log ends.
    pub async fn begins(&self) {
        let mut begun = self.begun.subscribe();
        // The sender lives as long as this does.
        let _ = begun.wait_for(|begun| *begun).await;
    }

    /// How far the log is known to be complete; none before it has begun.
    pub fn complete(&self) -> Option<Complete> {
        self.known().complete
    }

    /// What keeps it from moving, where something does; while it moves, or nothing happens, none.
    pub fn hindrance(&self) -> Option<Hindrance> {
        let known = self.known();
        let trying = known.trying.as_ref()?;
        Some(Hindrance {
            since: trying.since,
            lasts: trying.watch.elapsed(),
            holders: trying.holders.clone(),
        })
    }

    /// Whether what has happened is known here, but for what is happening now.
    pub fn hears(&self) -> bool {
        self.has_begun() && self.stalled.borrow().is_none()
    }

    /// Since when it has stalled, for those who follow: told once that is more than a moment, and when it is over.
    pub fn stalled(&self) -> watch::Receiver<Option<Timestamp>> {
        self.stalled.subscribe()
    }

    /// Tells those who follow since when it has stalled.
    pub fn tell_stalled(&self, since: Option<Timestamp>) {
        self.stalled.send_if_modified(|told| {
            let before = std::mem::replace(told, since);
            before != since
        });
    }

    /// A look begins at `now`.
    pub(super) fn tries(&self, now: Timestamp) {
        self.known().trying.get_or_insert_with(|| Trying {
            since: now,
            watch: Stopwatch::start(),
            holders: Vec::new(),
        });
        self.tried.notify_one();
    }

    /// Waits until a look has begun since this was last asked. For one that asks.
    pub async fn tried(&self) {
        self.tried.notified().await;
    }

    /// It has to wait for these.
    pub(super) fn waits_for(&self, holders: &[Holder]) {
        if let Some(trying) = &mut self.known().trying {
            trying.holders = holders.iter().filter_map(|holder| holder.process).collect();
        }
    }

    /// Something new was told.
    pub(super) fn moved(&self) {
        self.known().trying = None;
        self.tell_stalled(None);
    }

    /// A look that began at `at` has told whatever there was, up to `upto`.
    pub(super) fn completed(&self, at: Timestamp, upto: i64) {
        let mut known = self.known();
        known.complete = Some(Complete { at, upto });
        known.trying = None;
        drop(known);
        self.tell_stalled(None);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
