//! Decides what is due, runs it, and watches over both.
//!
//! [`Scheduler`] turns due slots into queued runs; [`Runner`] takes queued runs and runs them;
//! [`Recovery`] moves on what a dead replica left; [`Auditor`] recomputes the ledger. Each is a `tick`
//! that does all there is to do now, and a loop that waits for the next reason to. [`Engine`] is what
//! others may ask of them.

mod agenda;
mod audit;
mod audited;
mod auditor;
mod board;
mod catalogue;
mod checks;
mod compared;
mod configuration;
mod context;
mod deciding;
mod drain;
mod drift;
mod edits;
mod ending;
mod etag;
mod finisher;
mod forsaken;
mod held;
mod hosts;
mod keeper;
mod kind;
mod known;
mod log_end;
mod log_keeper;
mod orders;
mod owned;
mod pauses;
mod perform;
mod readiness;
mod realign;
mod recovery;
mod restored;
mod returning;
mod rounds;
mod rules;
mod run_log;
mod runner;
mod scheduler;
mod shown;
mod starts;
mod upkeep;
mod work;

use std::sync::Arc;

pub use self::{
    agenda::{AgendaEntry, AgendaNext, AgendaPage, AgendaPlace},
    audit::{Finding, Uncompared, WholeAudit, audit},
    auditor::Auditor,
    board::Board,
    catalogue::{catalogue_misfits, check_catalogue},
    configuration::{Brought, MissingConfiguration, Verdict, refuse_missing},
    context::{RunContext, Step},
    drain::{Drain, Drained},
    drift::{DriftItem, DriftPage},
    held::CLOCK,
    hosts::Stop,
    kind::{Again, BuiltIn, Done, Failure, Kind, Registry, SharedRegistry},
    orders::{BackfillOrder, Backfilled, TriggerOrder},
    readiness::Need,
    recovery::Recovery,
    restored::Settled,
    rounds::{Round, Rounds},
    rules::{Rules, rules_in_use},
    run_log::LOG_BYTES_MAX,
    runner::Runner,
    scheduler::Scheduler,
    upkeep::keep_up,
};
use crate::{
    clock::SharedClock,
    store::{ReplicaRow, Store},
};

/// What others may ask of the engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: SharedClock,
    registry: SharedRegistry,
    replica: ReplicaRow,
    settings: Settings,
    known: known::KnownTasks,
    board: Board,
    starter: starts::Starter,
    hosts: hosts::Hosts,
    draining: drain::Draining,
    forsaken: forsaken::Forsaken,
    /// The turn of who reads many tasks for an agenda.
    far_agenda: tokio::sync::Mutex<()>,
    /// The turn of who ends the pause of all for some tasks.
    ending_turn: tokio::sync::Mutex<()>,
    searches: agenda::Searches,
    /// Of runs that wait since an instant which a clock has noted that was ahead.
    ahead: forsaken::Forsaken,
    doubts: held::Doubts,
}

/// What the engine takes from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The organisation's zone.
    pub default_zone: String,
    /// Runs under way at once on this replica.
    pub max_running: usize,
    /// How long a claim holds without being renewed.
    pub lease: std::time::Duration,
    /// A slot decided later than this after it was due is a problem.
    pub audit_grace: std::time::Duration,
}

impl Engine {
    pub fn new(
        store: Store,
        clock: SharedClock,
        registry: SharedRegistry,
        replica: ReplicaRow,
        settings: Settings,
    ) -> Self {
        let board = Board::new(settings.max_running);
        let inner = Inner {
            doubts: held::Doubts::of(&*clock),
            store,
            clock,
            registry,
            replica,
            settings,
            known: known::KnownTasks::default(),
            board,
            starter: starts::Starter::default(),
            hosts: hosts::Hosts::default(),
            draining: drain::Draining::default(),
            forsaken: forsaken::Forsaken::default(),
            far_agenda: tokio::sync::Mutex::default(),
            ending_turn: tokio::sync::Mutex::default(),
            searches: agenda::Searches::default(),
            ahead: forsaken::Forsaken::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub fn replica(&self) -> &ReplicaRow {
        &self.inner.replica
    }

    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub fn default_zone(&self) -> &str {
        &self.inner.settings.default_zone
    }

    /// Version of the tz database in use, as it was at the last look.
    pub fn tzdb(&self) -> String {
        crate::domain::schedule::tzdb_version().to_string()
    }

    /// Figures of this process that are in no table.
    pub fn board(&self) -> &Board {
        &self.inner.board
    }

    /// Notes how far the host's clock is off the database's.
    pub fn note_clock_offset(&self, offset: jiff::SignedDuration) {
        self.board().note(|notes| notes.clock_offset = Some(offset));
    }

    fn hosts(&self) -> &hosts::Hosts {
        &self.inner.hosts
    }

    fn draining(&self) -> &drain::Draining {
        &self.inner.draining
    }

    fn forsaken(&self) -> &forsaken::Forsaken {
        &self.inner.forsaken
    }

    fn searches(&self) -> &agenda::Searches {
        &self.inner.searches
    }

    fn far_agenda(&self) -> &tokio::sync::Mutex<()> {
        &self.inner.far_agenda
    }

    fn ending_turn(&self) -> &tokio::sync::Mutex<()> {
        &self.inner.ending_turn
    }

    fn ahead(&self) -> &forsaken::Forsaken {
        &self.inner.ahead
    }

    fn doubts(&self) -> &held::Doubts {
        &self.inner.doubts
    }

    fn starter(&self) -> &starts::Starter {
        &self.inner.starter
    }
}
