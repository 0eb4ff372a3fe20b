//! After an instance was restored from a backup: what was under way is over, what was due meanwhile is not made up for,
//! and nothing runs until someone says so, because the original may still live.

use super::Engine;
use crate::{
    domain::{Caller, EventKind, RunState, ledger::SlotOutcome, run::reason},
    error::{Error, Result},
    store::{AttemptEnd, Ended},
};

/// Runs that are ended in one write.
const PORTION: usize = 500;

/// What was put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub runs: usize,
    pub tasks: usize,
}

impl Engine {
    /// Ends what was under way as ABANDONED, closes each task's ledger up to now as RESTORED, and pauses everything.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn settle_restored(&self, who: &Caller, why: &str) -> Result<Settled> {
        let mut settled = Settled::default();
        loop {
            let runs = self.store().runs_unfinished(PORTION).await?;
            if runs.is_empty() {
                break;
            }
            let ended: Vec<Ended> = runs
                .into_iter()
                .map(|run| Ended {
                    run: run.id,
                    task: run.task_id,
                    token: run.attempt,
                    replica: run.lease_owner,
                    end: AttemptEnd::because(RunState::Abandoned, reason::RESTORED, why),
                    known: None,
                })
                .collect();
            let from = [RunState::Queued, RunState::Running, RunState::RetryWait];
            let mut tx = self.store().begin().await?;
            let done = tx.runs_end(&ended, &from).await?.len();
            tx.commit().await?;
            if done == 0 {
                return Err(Error::internal("runs that are under way cannot be ended"));
            }
            settled.runs += done;
        }
        for task in self.store().tasks_all().await? {
            let mut tx = self.store().begin().await?;
            let mut task = tx.task_locked(&task.name).await?;
            self.close_restored(&mut tx, &mut task, SlotOutcome::SkippedRestored, why)
                .await?;
            self.touch(&mut tx, &mut task, EventKind::TaskUpdated)
                .await?;
            tx.commit().await?;
            settled.tasks += 1;
        }
        // Whoever restores goes by this clock, however old the backup is.
        let mut tx = self.store().begin().await?;
        self.note_clock(&mut tx).await?;
        tx.commit().await?;
        match self.pause_all(who, why, None, None).await {
            // It was paused when the backup was made.
            Err(Error::Conflict { .. }) => {}
            paused => drop(paused?),
        }
        Ok(settled)
    }
}
