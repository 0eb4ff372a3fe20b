//! What is wrong, and how the server is: probes, the table of problems, and the status that reads it.
//!
//! A [`Probe`] looks for problems of its own kinds; `sentry` has each look at its period and when an event touches it,
//! compares what it has found with the rows that are open of it, and tells `problem.raised`, `.changed` or `.cleared`
//! where a row was made, changed or removed. `pulse` says how far the probes have come, and decides which server looks
//! for the cluster. What a process knows of its own database, clock and loops lives in [`Memory`] first. `status` reads
//! the rows and judges by itself how old they are.
//!
//! How to add a problem: (1) a variant of `domain::problem::ProblemKind`, with how grave it is and what to do about it in
//! the table below it; (2) a pure function from facts to a `Problem` in a file of `probes`, called in the look of the
//! probe there, or a probe of its own that [`Monitor::new`] lists. What is found out by an event, in a write, is told
//! there by `Tx::problem_raise` and `Tx::problem_clear`.

mod follow;
mod halted;
mod memory;
mod probe;
mod probes;
mod pulse;
mod sentry;
mod stalled;
mod status;
mod supervised;

use std::sync::Arc;

use jiff::SignedDuration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::{
    memory::Memory,
    probe::{Look, Probe, Scope, SharedProbe},
    status::Status,
    supervised::Supervisor,
};
use self::{
    probes::{
        BackupsProbe, DocumentsProbe, DrainProbe, FilesProbe, LogProbe, ReplicasProbe, StoreProbe,
        TasksProbe,
    },
    pulse::Pulse,
    sentry::{Post, Sentry},
};
use crate::{backup::Backups, engine::Engine, error::Error, records::Documents};

/// The room's handle; cheap to clone.
#[derive(Clone, Debug)]
pub struct Monitor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    memory: Memory,
    supervisor: Supervisor,
    store: Arc<StoreProbe>,
    sentries: Arc<[Sentry]>,
    pulse: Arc<Pulse>,
    holds: watch::Receiver<bool>,
    followed: watch::Sender<i64>,
    reader: status::Reader,
}

impl Monitor {
    /// A monitor with the probes that ship, and these. Nothing looks before [`Monitor::start`].
    pub fn new(
        engine: Engine,
        documents: Documents,
        backups: Backups,
        others: Vec<SharedProbe>,
    ) -> Self {
        let memory = Memory::new(engine.replica().id);
        let store = Arc::new(StoreProbe::new(engine.clone(), memory.clone()));
        let mut probes: Vec<SharedProbe> = vec![
            store.clone(),
            Arc::new(LogProbe::new(engine.clone(), memory.clone())),
            Arc::new(DrainProbe(engine.clone())),
            Arc::new(FilesProbe(engine.clone())),
            Arc::new(TasksProbe(engine.clone())),
            Arc::new(ReplicasProbe(engine.clone())),
            Arc::new(DocumentsProbe(documents.clone())),
            Arc::new(BackupsProbe(backups.clone())),
        ];
        probes.extend(others);
        let attended = probes.iter().flat_map(|probe| probe.attends_runs_of());
        engine
            .store()
            .tail()
            .attend_tasks(attended.copied().collect());
        let sentries = probes.into_iter().map(|probe| Sentry::new(probe, &engine));
        let sentries: Arc<[Sentry]> = sentries.collect();
        let (hold, holds) = watch::channel(false);
        let inner = Inner {
            supervisor: Supervisor::new(memory.clone(), engine.clock().clone()),
            pulse: Arc::new(Pulse::new(sentries.clone(), hold)),
            followed: watch::Sender::new(engine.store().tail().last()),
            reader: status::Reader::new(documents, backups),
            engine,
            memory,
            store,
            sentries,
            holds,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What keeps the process's loops.
    pub fn supervisor(&self) -> &Supervisor {
        &self.inner.supervisor
    }

    /// Problems that this process knows of by itself.
    pub fn memory(&self) -> &Memory {
        &self.inner.memory
    }

    /// Has everything look, until `stop`.
    pub fn start(&self, stop: &CancellationToken) {
        let inner = &self.inner;
        let post = Post {
            engine: inner.engine.clone(),
            memory: inner.memory.clone(),
            holds: inner.holds.clone(),
            stop: stop.clone(),
        };
        for index in 0..inner.sentries.len() {
            let (sentries, post) = (inner.sentries.clone(), post.clone());
            inner.supervisor.keep("probe", stop, move || {
                let (sentries, post) = (sentries.clone(), post.clone());
                async move {
                    if let Some(sentry) = sentries.get(index) {
                        sentry.run(post).await;
                    }
                }
            });
        }
        let pulse = inner.pulse.clone();
        inner.supervisor.keep("monitor", stop, move || {
            let (pulse, post) = (pulse.clone(), post.clone());
            async move { pulse.run(post).await }
        });
        let (this, until) = (self.clone(), stop.clone());
        inner.supervisor.keep("monitor-log", stop, move || {
            let (this, until) = (this.clone(), until.clone());
            async move { this.inner.see_log(until).await }
        });
        let (this, until) = (self.clone(), stop.clone());
        inner.supervisor.keep("monitor-events", stop, move || {
            let (this, until) = (this.clone(), until.clone());
            async move { this.inner.follow(until).await }
        });
    }

    /// Tells whether something could be written just now, or why not.
    pub async fn tell_written(&self, failed: Option<&Error>) {
        self.inner.store.tell_written(failed).await;
    }

    /// Tells how far the host's clock is off the database's.
    pub fn tell_clock_offset(&self, offset: SignedDuration) {
        self.inner.store.tell_clock_offset(offset);
    }
}
