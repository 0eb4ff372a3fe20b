//! The bells: they say that something may have changed, never what.
//!
//! Each bell is rung here at once, and on the other replicas by its name (see [`super::remote`]). What was queued here is
//! left to the runner of this process first: the others are rung only for what it leaves unclaimed, and where there
//! is no runner. A bell that is lost costs time, since every loop also looks by itself.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::Store;

/// How long the log's bell waits for more before it is rung elsewhere: a run's start and its end, often, and those of
/// others. Nothing but followers waits for it.
const LOG_WAITS_FOR: Duration = Duration::from_millis(25);

/// Which bells a transaction rings when it commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rings {
    pub(super) schedule: bool,
    pub(super) queue: bool,
    pub(super) cancel: bool,
    pub(super) log: bool,
}

/// A bell for each loop that waits; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bells {
    schedule: Arc<watch::Sender<()>>,
    queue: Arc<watch::Sender<()>>,
    cancel: Arc<watch::Sender<()>>,
    log: Arc<watch::Sender<()>>,
    elsewhere: Arc<Elsewhere>,
    queued: Arc<Queued>,
}

/// What the other replicas have still to hear (PostgreSQL).
#[derive(Debug, Default)]
struct Elsewhere {
    waiting: Mutex<Rings>,
    news: Notify,
}

/// What this process has queued, as a number that grows, and how much of that its own runner has seen to.
#[derive(Debug, Default)]
struct Queued {
    taken_here: AtomicBool,
    count: AtomicU64,
    settled: AtomicU64,
}

/// While it lives, this process takes what it has queued, and calls the others for what it leaves.
#[derive(Debug)]
pub struct TakesQueued(Bells);

impl Rings {
    pub(super) const ALL: Self = Self {
        schedule: true,
        queue: true,
        cancel: true,
        log: true,
    };
    const NONE: Self = Self {
        schedule: false,
        queue: false,
        cancel: false,
        log: false,
    };
    const LOG: Self = Self {
        log: true,
        ..Self::NONE
    };
    const QUEUE: Self = Self {
        queue: true,
        ..Self::NONE
    };

    /// What rings once both have.
    fn with(self, other: Self) -> Self {
        Self {
            schedule: self.schedule | other.schedule,
            queue: self.queue | other.queue,
            cancel: self.cancel | other.cancel,
            log: self.log | other.log,
        }
    }

    /// The names of those that ring, as other replicas are told them.
    pub(super) fn names(self) -> Vec<&'static str> {
        let all = [
            (self.schedule, "schedule"),
            (self.queue, "queue"),
            (self.cancel, "cancel"),
            (self.log, "log"),
        ];
        let ringing = all.into_iter().filter(|(rings, _)| *rings);
        ringing.map(|(_, name)| name).collect()
    }

    /// What these names mean. A replica that names none is older, and one that names what is not known here is newer:
    /// for both all of them ring.
    pub(super) fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut rings = Self::NONE;
        for name in names {
            match name {
                "schedule" => rings.schedule = true,
                "queue" => rings.queue = true,
                "cancel" => rings.cancel = true,
                "log" => rings.log = true,
                _ => return Self::ALL,
            }
        }
        match rings == Self::NONE {
            true => Self::ALL,
            false => rings,
        }
    }
}

impl Bells {
    /// Rings when a task's next slot may have moved.
    pub fn schedule(&self) -> watch::Receiver<()> {
        self.schedule.subscribe()
    }

    /// Rings when a run may have become ready.
    pub fn queue(&self) -> watch::Receiver<()> {
        self.queue.subscribe()
    }

    /// Rings when someone asked a run to stop.
    pub fn cancel(&self) -> watch::Receiver<()> {
        self.cancel.subscribe()
    }

    /// Rings when the log has grown.
    pub fn log(&self) -> watch::Receiver<()> {
        self.log.subscribe()
    }

    pub fn ring_schedule(&self) {
        self.schedule.send_replace(());
    }

    pub fn ring_queue(&self) {
        self.queue.send_replace(());
    }

    /// Rings these here, and nowhere else.
    pub(super) fn ring_here(&self, rings: Rings) {
        let bells = [
            (rings.schedule, &self.schedule),
            (rings.queue, &self.queue),
            (rings.cancel, &self.cancel),
            (rings.log, &self.log),
        ];
        for (_, bell) in bells.iter().filter(|(rings, _)| *rings) {
            bell.send_replace(());
        }
    }

    /// Rings these for what was committed here.
    pub(super) fn ring(&self, rings: Rings) {
        if rings.queue {
            // Counted before the bell rings: who hears it sees to this one, too.
            self.queued.count.fetch_add(1, SeqCst);
        }
        self.ring_here(rings);
        let queue = rings.queue && !self.queued.taken_here.load(SeqCst);
        self.ring_elsewhere(Rings { queue, ..rings });
    }

    /// Has these rung on the other replicas, together with what waits for that already.
    pub(super) fn ring_elsewhere(&self, rings: Rings) {
        if rings != Rings::NONE {
            let mut waiting = self.waiting();
            *waiting = waiting.with(rings);
            drop(waiting);
            self.elsewhere.news.notify_one();
        }
    }

    /// What has to be rung elsewhere, once there is something; it waits no longer after that. One may wait here.
    pub(super) async fn due_elsewhere(&self) -> Rings {
        let news = async |enough: fn(Rings) -> bool| {
            while !enough(*self.waiting()) {
                self.elsewhere.news.notified().await;
            }
        };
        news(|waiting| waiting != Rings::NONE).await;
        let more = news(|waiting| waiting != Rings::LOG);
        // With more or without: it is due.
        let _ = tokio::time::timeout(LOG_WAITS_FOR, more).await;
        std::mem::take(&mut *self.waiting())
    }

    /// From now until the end of what is returned, what is queued here is taken here.
    pub fn take_queued(&self) -> TakesQueued {
        self.queued.taken_here.store(true, SeqCst);
        TakesQueued(self.clone())
    }

    /// How much was queued here so far: to be asked before the look at the queue, and given to [`Bells::queue_seen`]
    /// after it.
    pub fn queued_so_far(&self) -> u64 {
        self.queued.count.load(SeqCst)
    }

    /// Notes that the runner has seen to what was queued by then. Where something was `left` that this process had queued
    /// since the last time, the others are called.
    pub fn queue_seen(&self, upto: u64, left: bool) {
        let settled = self.queued.settled.fetch_max(upto, SeqCst);
        if left && settled < upto {
            self.ring_elsewhere(Rings::QUEUE);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Rings> {
        let waiting = &self.elsewhere.waiting;
        waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TakesQueued {
    fn drop(&mut self) {
        let Self(bells) = self;
        bells.queued.taken_here.store(false, SeqCst);
        // Nobody here sees to it any more.
        bells.queue_seen(bells.queued_so_far(), true);
    }
}

/// Rings when it is dropped: whoever waits for a commit may be gone by its answer, or hear of none, and it is true all the
/// same. A ring for nothing costs a look. The last is when the first was due of what was put into the queue.
pub(super) struct Rung<'a>(
    pub(super) &'a Store,
    pub(super) Rings,
    pub(super) Option<i64>,
);

impl Drop for Rung<'_> {
    fn drop(&mut self) {
        let inner = &self.0.inner;
        if self.1.schedule {
            inner.floors.wakes.lift();
        }
        if let Some(from) = self.2 {
            inner.floors.queue.put(from, inner.clock.now());
        }
        inner.bells.ring(self.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stopwatch;

    fn waiting(bells: &Bells) -> Vec<&'static str> {
        std::mem::take(&mut *bells.waiting()).names()
    }

    #[test]
    fn names_come_back_as_what_they_were() {
        let queue_and_log = Rings::QUEUE.with(Rings::LOG);
        for rings in [Rings::ALL, Rings::QUEUE, Rings::LOG, queue_and_log] {
            assert_eq!(Rings::named(rings.names()), rings);
        }
    }

    #[test]
    fn no_name_and_one_that_is_not_known_ring_all() {
        assert_eq!(Rings::named([]), Rings::ALL);
        assert_eq!(Rings::named(["log", "of-a-newer-one"]), Rings::ALL);
    }

    #[test]
    fn the_others_are_called_for_what_the_runner_leaves_and_once() {
        let bells = Bells::default();
        let takes = bells.take_queued();
        bells.ring(Rings::QUEUE);
        assert_eq!(waiting(&bells), [""; 0]);
        let upto = bells.queued_so_far();
        // Queued after the look: not settled by it.
        bells.ring(Rings::QUEUE);
        bells.queue_seen(upto, false);
        assert_eq!(waiting(&bells), [""; 0]);
        let upto = bells.queued_so_far();
        bells.queue_seen(upto, true);
        assert_eq!(waiting(&bells), ["queue"]);
        // Nothing new of ours: what is left is known to the others.
        bells.queue_seen(upto, true);
        assert_eq!(waiting(&bells), [""; 0]);
        drop(takes);
    }

    #[test]
    fn without_a_runner_the_others_are_called_at_once() {
        let bells = Bells::default();
        bells.ring(Rings::QUEUE);
        assert_eq!(waiting(&bells), ["queue"]);
        let takes = bells.take_queued();
        bells.ring(Rings::QUEUE);
        assert_eq!(waiting(&bells), [""; 0]);
        drop(takes);
        assert_eq!(waiting(&bells), ["queue"]);
    }

    #[tokio::test]
    async fn the_log_waits_a_moment_for_more_and_goes_with_what_does_not_wait() {
        let bells = Bells::default();
        bells.ring(Rings::LOG);
        let watch = Stopwatch::start();
        assert_eq!(bells.due_elsewhere().await, Rings::LOG);
        assert!(LOG_WAITS_FOR <= watch.elapsed());
        bells.ring(Rings::LOG);
        bells.ring(Rings::QUEUE);
        assert_eq!(bells.due_elsewhere().await.names(), ["queue", "log"]);
        assert_eq!(waiting(&bells), [""; 0]);
    }
}
