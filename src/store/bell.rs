//! The bells: they say that something may have changed, never what.

use std::sync::Arc;

use tokio::sync::watch;

/// Which bells a transaction rings when it commits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rings {
    pub(super) schedule: bool,
    pub(super) queue: bool,
    pub(super) cancel: bool,
    pub(super) log: bool,
}

/// A bell for each loop that waits; cheap to clone. `remote` collects what the other replicas have
/// to hear (PostgreSQL).
#[derive(Clone, Debug, Default)]
pub struct Bells {
    schedule: Arc<watch::Sender<()>>,
    queue: Arc<watch::Sender<()>>,
    cancel: Arc<watch::Sender<()>>,
    log: Arc<watch::Sender<()>>,
    remote: Arc<watch::Sender<()>>,
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

    /// Rings when this process has committed something that other replicas may wait for.
    pub fn remote(&self) -> watch::Receiver<()> {
        self.remote.subscribe()
    }

    /// Rings them all, as after a time in which rings may have been missed.
    pub fn ring_all(&self) {
        for bell in [&self.schedule, &self.queue, &self.cancel, &self.log] {
            bell.send_replace(());
        }
    }

    pub fn ring_schedule(&self) {
        self.schedule.send_replace(());
    }

    pub fn ring_queue(&self) {
        self.queue.send_replace(());
    }

    pub(super) fn ring(&self, rings: Rings) {
        let bells = [
            (rings.schedule, &self.schedule),
            (rings.queue, &self.queue),
            (rings.cancel, &self.cancel),
            (rings.log, &self.log),
        ];
        for (_, bell) in bells.iter().filter(|(rings, _)| *rings) {
            bell.send_replace(());
        }
        if bells.iter().any(|(rings, _)| *rings) {
            self.remote.send_replace(());
        }
    }
}
