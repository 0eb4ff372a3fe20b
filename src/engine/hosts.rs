//! The runs whose handlers live in this process, and how they are asked to stop.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::context::Feed;
use crate::domain::RunId;

/// Why a handler is asked to stop. Later wins over earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// The attempt took longer than it may.
    Timeout,
    /// Nothing was heard of it for too long.
    NoProgress,
    /// The server stops.
    Drain,
    /// Someone wishes it.
    Cancel,
    /// The run is no longer this attempt's.
    LeaseLost,
}

/// A run whose handler lives in this process.
#[derive(Clone, Debug)]
pub(super) struct Hosted {
    /// `tasks/{task}/runs/{run}`.
    pub(super) name: String,
    pub(super) token: i64,
    pub(super) stop: watch::Sender<Option<Stop>>,
    pub(super) feed: Feed,
}

/// The runs whose handlers live in this process: whatever the table says, none of them is claimed
/// again before its handler has ended.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    inner: Arc<Mutex<Inner>>,
    /// Whether there is any.
    any: watch::Sender<bool>,
}

impl Default for Hosts {
    fn default() -> Self {
        Self {
            inner: Arc::default(),
            any: watch::Sender::new(false),
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    runs: HashMap<RunId, Hosted>,
    /// Whoever comes now is asked to stop at once.
    draining: bool,
}

impl Hosts {
    pub(super) fn add(&self, run: RunId, hosted: Hosted) {
        let mut inner = self.lock();
        if inner.draining {
            ask(&hosted.stop, Stop::Drain);
        }
        inner.runs.insert(run, hosted);
        self.tell_any(&inner);
    }

    pub(super) fn remove(&self, run: RunId) {
        let mut inner = self.lock();
        inner.runs.remove(&run);
        self.tell_any(&inner);
    }

    /// Waits until there is any, so that what looks at all of them rests meanwhile.
    pub(super) async fn are_any(&self) {
        // The sender lives as long as this does.
        let _ = self.any.subscribe().wait_for(|any| *any).await;
    }

    pub(super) fn len(&self) -> usize {
        self.lock().runs.len()
    }

    pub(super) fn ids(&self) -> Vec<RunId> {
        self.lock().runs.keys().copied().collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let inner = self.lock();
        inner.runs.values().map(|run| run.name.clone()).collect()
    }

    pub(super) fn all(&self) -> Vec<(RunId, Hosted)> {
        self.lock()
            .runs
            .iter()
            .map(|(run, hosted)| (*run, hosted.clone()))
            .collect()
    }

    pub(super) fn contains(&self, run: RunId) -> bool {
        self.lock().runs.contains_key(&run)
    }

    /// Asks a handler to stop, unless it was asked for a weightier reason.
    pub(super) fn stop(&self, run: RunId, why: Stop) {
        if let Some(hosted) = self.lock().runs.get(&run) {
            ask(&hosted.stop, why);
        }
    }

    /// The same, where it is still this attempt that lives here.
    pub(super) fn stop_attempt(&self, run: RunId, token: i64, why: Stop) {
        if let Some(hosted) = self.lock().runs.get(&run)
            && hosted.token == token
        {
            ask(&hosted.stop, why);
        }
    }

    /// Asks all handlers to stop, and each that is still to come.
    pub(super) fn drain(&self) {
        let mut inner = self.lock();
        inner.draining = true;
        for hosted in inner.runs.values() {
            ask(&hosted.stop, Stop::Drain);
        }
    }

    /// Whether all are asked to stop, since the server must end.
    pub(super) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    fn tell_any(&self, inner: &Inner) {
        let any = !inner.runs.is_empty();
        self.any.send_if_modified(|told| {
            let before = std::mem::replace(told, any);
            before != any
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn ask(stop: &watch::Sender<Option<Stop>>, why: Stop) {
    stop.send_if_modified(|asked| {
        let weightier = asked.is_none_or(|asked| asked < why);
        if weightier {
            *asked = Some(why);
        }
        weightier
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosted(token: i64) -> Hosted {
        Hosted {
            name: String::new(),
            token,
            stop: watch::Sender::new(None),
            feed: Feed::default(),
        }
    }

    fn asked(hosted: &Hosted) -> Option<Stop> {
        *hosted.stop.borrow()
    }

    #[test]
    fn who_comes_after_the_drain_is_asked_to_stop_as_well() {
        let hosts = Hosts::default();
        let (before, after) = (hosted(1), hosted(1));
        hosts.add(RunId(uuid::Uuid::from_u128(1)), before.clone());
        assert_eq!(asked(&before), None);
        hosts.drain();
        hosts.add(RunId(uuid::Uuid::from_u128(2)), after.clone());
        assert_eq!(asked(&before), Some(Stop::Drain));
        assert_eq!(asked(&after), Some(Stop::Drain));
    }

    #[test]
    fn the_loss_of_an_attempt_stops_no_later_one() {
        let hosts = Hosts::default();
        let run = RunId(uuid::Uuid::from_u128(1));
        let second = hosted(2);
        hosts.add(run, second.clone());
        hosts.stop_attempt(run, 1, Stop::LeaseLost);
        assert_eq!(asked(&second), None);
        hosts.stop_attempt(run, 2, Stop::LeaseLost);
        assert_eq!(asked(&second), Some(Stop::LeaseLost));
    }
}
