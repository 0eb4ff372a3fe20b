//! Figures of this process that are in no table: for the status.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::rounds::Round;

/// What the loops note as they go; cheap to clone.
#[derive(Clone, Debug)]
pub struct Board {
    max_running: usize,
    notes: Arc<Mutex<Notes>>,
}

/// What is on the board.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    pub last_tick_at: Option<Timestamp>,
    pub running: usize,
    pub rounds: Vec<Round>,
    pub clock_offset: Option<SignedDuration>,
    /// Finishes that are held back because the database is away.
    pub unrecorded: usize,
    /// Tasks planned by other rules of their zone, and left to a server that has newer ones.
    pub planned_otherwise: u64,
    /// Rows of the ledger that the auditor has looked at since the start, and of these what it did not compare.
    pub audited_rows: u64,
    pub uncompared_rows: u64,
    /// Moves where a caller has changed what a status shows: the next one is read anew.
    pub changes: u64,
}

impl Board {
    pub(super) fn new(max_running: usize) -> Self {
        Self {
            max_running,
            notes: Arc::default(),
        }
    }

    pub fn max_running(&self) -> usize {
        self.max_running
    }

    pub fn read(&self) -> Notes {
        self.notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn ticked(&self, at: Timestamp) {
        self.note(|notes| notes.last_tick_at = Some(at));
    }
}
