//! Turns due slots into queued runs and ledger rows.
//!
//! The index on `wake_at` is the ordered set of what comes; one sleep until its first is the timer.
//! Any replica may decide any slot: the rows are locked, the cursor moves by compare-and-set, and
//! the keys of the ledger and of the runs refuse a second decision.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Engine;
use crate::error::Result;

/// Tasks decided in one transaction.
const BATCH: u64 = 1000;
/// From how many due tasks on they are decided in shares.
const MANY: i64 = 250;
/// How long to sleep at the most, should a bell have been missed.
pub(super) const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// By the time that passes, whatever the clock is set to meanwhile.
const AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// After an error, real time: the clock of the schedule may stand still.
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// The scheduler's loop.
#[derive(Clone, Debug)]
pub struct Scheduler {
    engine: Engine,
}

impl Scheduler {
    pub fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// Decides what is due until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut bell = self.engine.store().bells().schedule();
        let mut looked_anew = self.engine.clock().passed();
        while !stop.is_cancelled() {
            bell.mark_unchanged();
            // By the time that passes: what another process has put below the floor is found whatever the clock is set to.
            let passed = self.engine.clock().passed();
            if AT_LEAST_EVERY <= passed.saturating_sub(looked_anew) {
                self.engine.store().look_anew();
                looked_anew = passed;
            }
            let wake_at = match self.step().await {
                // Between two portions of what is much it is looked whether to stop.
                Ok(None) => continue,
                Ok(Some(wake_at)) => wake_at,
                Err(error) => {
                    warn!(%error, "could not decide what is due; trying again");
                    stop.run_until_cancelled(tokio::time::sleep(AFTER_ERROR))
                        .await;
                    continue;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.engine.clock().sleep_until(wake_at) => {}
                // A clock that is set back would let it sleep for as long.
                () = self.engine.clock().sleep_for(AT_LEAST_EVERY) => {}
                _ = bell.changed() => {}
            }
        }
    }

    /// Decides all that is due now; says when to look again.
    ///
    /// # Errors
    /// Where the database is away: nothing is lost, the next tick does it.
    pub async fn tick(&self) -> Result<Timestamp> {
        loop {
            if let Some(wake_at) = self.step().await? {
                return Ok(wake_at);
            }
        }
    }

    /// Decides a portion of what is due now; says when to look again, where that was all.
    async fn step(&self) -> Result<Option<Timestamp>> {
        let store = self.engine.store();
        let now = self.engine.clock().now();
        self.engine.board().ticked(now);
        // By a clock in doubt nothing is decided. Its own time, at which it may be trusted again, wakes.
        if let Some(hold) = self.engine.held_still().await? {
            return Ok(Some(hold.until.min(now + LOOK_AGAIN)));
        }
        if let Some(pause) = store.global_pause().await? {
            if !pause.is_to_end(now) {
                // Nothing is decided; the bell rings when the pause ends before its time.
                return Ok(Some(pause.until.unwrap_or(now + LOOK_AGAIN)));
            }
            self.engine.end_some(&pause).await?;
            return Ok(None);
        }
        let latest = now + LOOK_AGAIN;
        let next = store.next_wake().await?.unwrap_or(latest);
        if now < next {
            return Ok(Some(next.min(latest)));
        }
        // Where there is much, and a database that writes for several at once, two shares.
        let many = store.kind() == "postgresql" && MANY <= store.due_seen(now, MANY).await?;
        if many {
            let (one, other) = tokio::join!(self.decide(Some((0, 2))), self.decide(Some((1, 2))));
            one.and(other)?;
        } else {
            self.decide(None).await?;
        }
        Ok(None)
    }

    /// Decides a batch of what is due, in one transaction.
    async fn decide(&self, share: Option<(i64, i64)>) -> Result<()> {
        let mut tx = self.engine.store().begin().await?;
        if tx.global_pause_locked().await?.is_some() {
            return Ok(());
        }
        let due = tx.courses_due(BATCH, share).await?;
        let tasks = due.len();
        if tasks == 0 {
            return Ok(());
        }
        let courses = self.engine.courses(&mut tx, due).await?;
        let runs = self.engine.decide(&mut tx, courses).await?;
        tx.commit().await?;
        debug!(tasks, runs, "decided what was due");
        Ok(())
    }
}
