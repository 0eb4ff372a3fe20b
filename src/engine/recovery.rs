//! Moves on what a dead replica left behind, and lines that have come to a halt.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{hosts::Hosts, runner::Runner};
use crate::{
    domain::{Run, RunState, TaskId, retry},
    error::Result,
    store::{AttemptEnd, Ended},
};

const BATCH: usize = 256;
const EVERY: Duration = Duration::from_secs(5);
/// What was noted is later than now by so much at the most, where the clock is right.
const AHEAD: Duration = Duration::from_secs(60);
/// A clock that runs ahead by more, from one look to the next, was set.
const JUMP: Duration = Duration::from_secs(1);

/// The recovery's loop.
#[derive(Clone, Debug)]
pub struct Recovery {
    engine: super::Engine,
    hosts: Hosts,
    /// When this last looked, by the clock and by the time that has passed.
    looked: Option<(Timestamp, Duration)>,
    /// Until so much time has passed, nothing is taken from others.
    hold_until: Duration,
    /// The clock was set back, or may have been while no server ran.
    was_set_back: bool,
}

impl Recovery {
    pub fn new(runner: &Runner) -> Self {
        Self {
            engine: runner.engine.clone(),
            hosts: runner.hosts.clone(),
            looked: None,
            hold_until: Duration::ZERO,
            was_set_back: true,
        }
    }

    /// Where the lock of the data directory proves that no other process lives (SQLite), moves on at
    /// once whatever the last one left.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn take_over(&mut self) -> Result<()> {
        if self.engine.store().file().is_some() {
            self.reap(true).await?;
        }
        Ok(())
    }

    /// Moves on what is dead until `stop`. A lease of another replica is looked at within a second of
    /// its end; `bell` is that of a round.
    pub async fn run(
        mut self,
        stop: CancellationToken,
        mut bell: tokio::sync::watch::Receiver<()>,
    ) {
        while !stop.is_cancelled() {
            if let Err(error) = self.tick().await {
                warn!(%error, "could not look for lost leases; trying again");
            }
            let clock = self.engine.clock();
            let every = retry::later(clock.now(), EVERY);
            let replica = self.engine.replica().id;
            let next = self.engine.store().lease_next(replica).await;
            let wake_at = next
                .ok()
                .flatten()
                .filter(|at| clock.now() < *at)
                .map_or(every, |at| at.min(every));
            tokio::select! {
                () = stop.cancelled() => {}
                () = clock.sleep_until(wake_at) => {}
                // A clock that is set back would let it sleep for as long.
                () = clock.sleep_for(EVERY) => {}
                _ = bell.changed() => {}
            }
        }
    }

    /// # Errors
    /// Where the database is away: nothing is lost, the next tick does it.
    pub async fn tick(&mut self) -> Result<()> {
        self.reap(false).await?;
        self.recall().await?;
        self.mend_lines().await
    }

    async fn reap(&mut self, all_others: bool) -> Result<()> {
        let replica = self.engine.replica().id;
        loop {
            let now = self.engine.clock().now();
            if self.holds_back(now) && !all_others {
                return Ok(());
            }
            let store = self.engine.store();
            // No lease is given for so long but by a clock that was ahead; who lives has renewed its own since.
            let longest = self.engine.settings().lease.saturating_mul(2) + AHEAD;
            let beyond = retry::later(now, longest);
            let lost = store.runs_lost(now, beyond, replica, all_others, BATCH);
            let mut lost = lost.await?;
            // While its handler lives here, a run is ours whatever the lease says.
            lost.retain(|run| !self.hosts.contains(run.id));
            // Locked one after another, in the one order.
            lost.sort_by_key(|run| run.id);
            if lost.is_empty() {
                return Ok(());
            }
            let mut tx = store.begin().await?;
            let mut tasks: Vec<TaskId> = lost.iter().map(|run| run.task_id).collect();
            tasks.sort();
            tasks.dedup();
            tx.tasks_lock(&tasks).await?;
            let mut ended = Vec::with_capacity(lost.len());
            for run in &lost {
                let seen = tx.run_locked(run.id).await?;
                let expired = seen
                    .lease_until
                    .is_none_or(|until| until <= tx.now() || beyond < until);
                if seen.state == RunState::Running
                    && seen.attempt == run.attempt
                    && (expired || all_others)
                {
                    ended.push(end_of(&seen, tx.now()));
                }
            }
            let moved = tx.runs_end(&ended, &[RunState::Running]).await?;
            tx.commit().await?;
            for run in &moved {
                info!(run.id = %run.id, run.state = %run.state, "moved on run {} of a dead replica", run.id);
            }
            if moved.is_empty() {
                return Ok(());
            }
        }
    }

    /// Whether leases say nothing now, since the clock was set a moment ago: they have all run out by it, or go on for
    /// long, and who lives has still to see that, and to renew its own.
    fn holds_back(&mut self, now: Timestamp) -> bool {
        let passed = self.engine.clock().passed();
        if let Some((then, by_then)) = self.looked.replace((now, passed)) {
            let should = retry::later(then, passed.saturating_sub(by_then));
            let off = now.duration_since(should);
            let jump = jiff::SignedDuration::try_from(JUMP).unwrap_or_default();
            self.was_set_back |= off < -jump;
            if jump < off.abs() {
                let renewed_within = self.engine.settings().lease + EVERY;
                self.hold_until = passed.saturating_add(renewed_within);
            }
        }
        passed < self.hold_until
    }

    /// Has runs tried again that wait until an instant which a clock has set that was ahead: at the start, and once it
    /// was set back.
    async fn recall(&mut self) -> Result<()> {
        if !self.was_set_back {
            return Ok(());
        }
        let mut tx = self.engine.store().begin().await?;
        let beyond = retry::later(tx.now(), AHEAD);
        let recalled = tx.retries_recall(beyond).await?;
        tx.commit().await?;
        self.was_set_back = false;
        if 0 < recalled {
            info!(
                runs = recalled,
                "runs are tried again that a clock which was ahead had put off"
            );
        }
        Ok(())
    }

    /// Lets lines move up whose head has gone without a word.
    async fn mend_lines(&self) -> Result<()> {
        let halted = self.engine.store().lines_halted().await?;
        if halted.is_empty() {
            return Ok(());
        }
        let mut tx = self.engine.store().begin().await?;
        tx.tasks_lock(&halted).await?;
        let mended = tx.runs_promote(&halted).await?;
        tx.commit().await?;
        if 0 < mended {
            info!(lines = mended, "let lines move up that had come to a halt");
        }
        Ok(())
    }
}

fn end_of(run: &Run, now: Timestamp) -> Ended {
    let (state, reason) = retry::after_lost_lease(run);
    let message = "its replica gave no sign of life: what became of the attempt is not known";
    Ended {
        run: run.id,
        task: run.task_id,
        token: run.attempt,
        replica: run.lease_owner,
        end: AttemptEnd {
            claim_at: (state == RunState::Queued).then_some(now),
            ..AttemptEnd::because(state, reason, message)
        },
        known: None,
    }
}
