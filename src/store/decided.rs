//! What a decision writes. It is made ready apart from the transaction, so that this can go on while the
//! database writes what was made ready before.

use jiff::Timestamp;
use sea_orm::Statement;

use super::{Store, Tx, cursors::move_cursors, ledger::insert_slots, runs::insert_runs};
use crate::{
    domain::{EventKind, NewEvent, Run, ledger::SlotRow, task::Course},
    error::Result,
};

/// What was decided about some tasks.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    pub runs: Vec<Run>,
    pub rows: Vec<SlotRow>,
    /// Courses, each with the cursor from which it was moved.
    pub moved: Vec<(Timestamp, Course)>,
    /// What is to be told besides the runs.
    pub told: Vec<NewEvent>,
}

/// The same as statements and events.
#[derive(Clone, Debug)]
pub struct ReadyWrite {
    inserts: Vec<Statement>,
    moves: Vec<(Statement, u64)>,
    told: Vec<NewEvent>,
    /// When the first was due of those that it puts into the queue.
    queued_from: Option<Timestamp>,
}

impl Store {
    /// Makes a decision ready to be written.
    pub fn ready(&self, decided: Decided) -> Result<ReadyWrite> {
        let backend = self.inner.backend;
        let mut inserts = insert_runs(backend, &decided.runs)?;
        inserts.extend(insert_slots(backend, &decided.rows));
        let mut told = decided.told;
        let compactly = self.tells_compactly();
        let queued = |run: &Run| NewEvent::of_run(EventKind::RunQueued, run, compactly);
        told.extend(decided.runs.iter().map(queued));
        Ok(ReadyWrite {
            inserts,
            moves: move_cursors(backend, &decided.moved),
            told,
            queued_from: decided.runs.iter().map(|run| run.due_at).min(),
        })
    }
}

impl Tx {
    /// Writes a decision; tells of it, and rings for the runs that may start. The caller holds the tasks'
    /// locks.
    ///
    /// # Errors
    /// [`crate::error::Error::Aborted`] where a cursor was moved meanwhile: then nothing of this write may
    /// stay.
    pub async fn write(&mut self, ready: ReadyWrite) -> Result<()> {
        for insert in ready.inserts {
            self.run(insert).await?;
        }
        for (update, expected) in ready.moves {
            self.move_by(update, expected).await?;
        }
        self.told.extend(ready.told);
        if let Some(due_at) = ready.queued_from {
            self.rings.queue = true;
            self.put_in_queue(due_at);
        }
        Ok(())
    }
}
