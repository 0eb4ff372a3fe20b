//! What has come to pass at the door, and words on it, few enough to be read.

use std::{
    fmt, io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tracing::warn;

use super::Peer;
use crate::clock::Stopwatch;

/// Between two lines of the log on the same.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// What has come to pass since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Connections there are, those of them that are idle, and how many there may be.
    pub open: usize,
    pub idle: usize,
    pub most: usize,
    /// Connections that were let in.
    pub accepted: u64,
    /// Idle connections that had to go for others.
    pub sent_away: u64,
    /// Connections that were closed at once, since it was full and none was idle.
    pub turned_away: u64,
    /// Connections that were closed since nothing came that is HTTP.
    pub silent: u64,
    /// Times that no connection could be taken from the system, and why not, the last time.
    pub failed: u64,
    pub failure: String,
}

#[derive(Debug, Default)]
pub(super) struct Tally {
    accepted: AtomicU64,
    silent: AtomicU64,
    sent_away: Remarked,
    turned_away: Remarked,
    failed: Remarked,
    failure: Mutex<String>,
    trouble: Notify,
}

impl Tally {
    pub(super) fn figures(&self, open: usize, idle: usize, most: usize) -> Figures {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        Figures {
            open,
            idle,
            most,
            accepted: self.accepted.load(Ordering::Relaxed),
            silent: self.silent.load(Ordering::Relaxed),
            sent_away: self.sent_away.count(),
            turned_away: self.turned_away.count(),
            failed: self.failed.count(),
            failure: failure.clone(),
        }
    }

    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn silent(&self) {
        self.silent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent_away(&self, most: usize) {
        self.sent_away.note(&format_args!(
            "{most} connections are open, as many as may be: idle ones are closed for new ones"
        ));
        self.trouble.notify_one();
    }

    pub(super) fn turned_away(&self, peer: Peer, most: usize) {
        self.turned_away.note(&format_args!(
            "turned {peer} away: {most} connections are open, as many as may be, and none is idle"
        ));
        self.trouble.notify_one();
    }

    pub(super) fn failed(&self, error: &io::Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        *failure = error.to_string();
        drop(failure);
        self.failed
            .note(&format_args!("could not take a connection: {error}"));
        self.trouble.notify_one();
    }

    pub(super) async fn troubled(&self) {
        self.trouble.notified().await;
    }
}

/// How often something happened; the log has a line of it a minute at most.
#[derive(Debug, Default)]
struct Remarked {
    count: AtomicU64,
    said: Mutex<Option<(Stopwatch, u64)>>,
}

impl Remarked {
    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn note(&self, what: &dyn fmt::Display) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.is_some_and(|(when, _)| when.elapsed() < SAID_EVERY) {
            return;
        }
        let before = said.map_or(0, |(_, count)| count);
        *said = Some((Stopwatch::start(), count));
        drop(said);
        match count.saturating_sub(before) {
            1 => warn!("{what}"),
            since => warn!("{what}; {since} times since this was last said"),
        }
    }
}
