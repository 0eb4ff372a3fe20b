//! Holding back where the clock is in doubt: nothing is decided, nothing expires, and no schedule is changed, until its
//! time is over, the clock is right again, or someone accepts it.
//!
//! Each server watches its own clock, in the very look that would decide. What they share stands in `cluster`: the last
//! reading that was believed, that one of them holds back, and that someone has accepted the clock.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::Engine;
use crate::{
    domain::{
        Caller, EventKind, NewEvent, ReplicaId,
        clock_guard::{ClockGuard, ClockNote, Hold, Reading},
        problem::{Problem, ProblemKind},
    },
    error::{Error, Reason, Result},
    store::Tx,
};

/// The last reading that was believed, by whichever server.
const NOTED: &str = "clock";
/// What a server holds back for.
const HELD: &str = "clock_held";
/// What was accepted last.
const ACCEPTED: &str = "clock_accepted";
/// What it is about, in events and problems.
pub const CLOCK: &str = "clock";

/// What this process knows of its clock.
#[derive(Debug)]
pub(super) struct Doubts(Mutex<Known>);

#[derive(Debug)]
struct Known {
    guard: ClockGuard,
    boot: String,
    /// The last acceptance that is known.
    accepted: Option<String>,
    /// The hold that others were told of.
    told: Option<Hold>,
}

/// That a server holds back.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct HeldBy {
    replica: ReplicaId,
    until: Timestamp,
}

/// That someone has accepted the clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Acceptance {
    id: String,
    at: Timestamp,
    principal: String,
    reason: String,
}

impl Doubts {
    pub(super) fn of(clock: &dyn crate::clock::Clock) -> Self {
        Self(Mutex::new(Known {
            guard: ClockGuard::trusting(reading(clock)),
            boot: clock.boot(),
            accepted: None,
            told: None,
        }))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn reading(clock: &dyn crate::clock::Clock) -> Reading {
    Reading {
        now: clock.now(),
        since_boot: clock.since_boot(),
        is_synchronised: clock.is_synchronised(),
    }
}

impl Engine {
    /// Compares the clock, at the start, with what was noted of it; before anything is written by it.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn begin_clock(&self) -> Result<()> {
        let store = self.store();
        let mut noted: Option<ClockNote> = store.value(NOTED).await?;
        if noted.is_none() {
            // Of a database that no server has noted it in, what happened last tells.
            let note = |at| ClockNote {
                at,
                boot: String::new(),
                since_boot: std::time::Duration::ZERO,
            };
            noted = store.events_newest_at().await?.map(note);
        }
        let held: Option<HeldBy> = store.value::<Option<HeldBy>>(HELD).await?.flatten();
        let accepted: Option<Acceptance> = store.value(ACCEPTED).await?;
        let clock = self.clock();
        // On SQLite there is no other, and what the last one held back for is seen again.
        let elsewhere =
            store.kind() == "postgresql" && held.is_some_and(|held| clock.now() < held.until);
        let mut known = self.doubts().known();
        known.accepted = accepted.map(|accepted| accepted.id);
        let mut now = reading(&**clock);
        if store.kind() == "postgresql" {
            // It does not go by this host's clock.
            now.is_synchronised = None;
        }
        known.guard = ClockGuard::begin(now, &known.boot, noted.as_ref(), elsewhere);
        match known.guard.hold() {
            Some(hold) => warn!("{}", hold.why()),
            None if now.is_unset() => warn!(
                "the host says that nothing keeps its clock right; all is decided by it, as long as it does not jump ahead"
            ),
            None => {}
        }
        Ok(())
    }

    /// Why nothing may be decided now, if so. Whoever decides asks this first.
    pub fn held(&self) -> Option<Hold> {
        let now = reading(&**self.clock());
        let mut known = self.doubts().known();
        let before = known.guard.hold().is_some();
        known.guard.look(now);
        let hold = known.guard.hold().cloned();
        match &hold {
            Some(hold) if !before => warn!("{}", hold.why()),
            None if before => warn!("the clock is trusted again"),
            _ => {}
        }
        hold
    }

    /// The same, having heard whether someone has accepted the clock, on whichever server.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn held_still(&self) -> Result<Option<Hold>> {
        if self.held().is_none() {
            return Ok(None);
        }
        let accepted: Option<Acceptance> = self.store().value(ACCEPTED).await?;
        let accepted = accepted.map(|accepted| accepted.id);
        {
            let now = reading(&**self.clock());
            let mut known = self.doubts().known();
            if accepted.is_some() && known.accepted != accepted {
                known.accepted = accepted;
                known.guard.accept(now);
            }
        }
        Ok(self.held())
    }

    /// Refuses what would close slots by a clock that is in doubt.
    ///
    /// # Errors
    /// [`Error::Conflict`] `CLOCK_HELD`
    pub(super) fn refuse_held(&self) -> Result<()> {
        match self.held() {
            None => Ok(()),
            Some(hold) => {
                let message = format!("{}; see `bellctl clock accept`", hold.why());
                Err(Error::conflict(Reason::ClockHeld, CLOCK, message))
            }
        }
    }

    /// The problem of it.
    pub fn clock_problem(&self, hold: &Hold) -> Problem {
        Problem::new(ProblemKind::ClockHeld, CLOCK, hold.why(), hold.since)
    }

    /// Notes the clock where it is believed, and tells the others where it is not.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn note_clock(&self, tx: &mut Tx) -> Result<()> {
        let hold = self.held();
        let (boot, told) = {
            let known = self.doubts().known();
            (known.boot.clone(), known.told.clone())
        };
        if hold.is_none() {
            let note = ClockNote {
                at: tx.now(),
                boot,
                since_boot: self.clock().since_boot(),
            };
            tx.set_value(NOTED, &note).await?;
        }
        if hold != told {
            let by = hold.as_ref().map(|hold| HeldBy {
                replica: self.replica().id,
                until: hold.until,
            });
            tx.set_value(HELD, &by).await?;
            self.doubts().known().told = hold;
        }
        Ok(())
    }

    /// Has everyone go on by the clock as it is; answers what is held back for.
    ///
    /// # Errors
    /// [`Error::Conflict`] `CLOCK_NOT_HELD`
    pub async fn accept_clock(&self, who: &Caller, reason: &str) -> Result<Hold> {
        let Some(hold) = self.held_still().await? else {
            let message = "nothing is held back: no clock is in doubt";
            return Err(Error::conflict(Reason::ClockNotHeld, CLOCK, message));
        };
        let mut tx = self.store().begin().await?;
        let acceptance = Acceptance {
            id: uuid::Uuid::now_v7().to_string(),
            at: tx.now(),
            principal: who.principal.clone(),
            reason: reason.to_owned(),
        };
        tx.set_value(ACCEPTED, &acceptance).await?;
        tx.tell(NewEvent::new(
            EventKind::ClockAccepted,
            None,
            CLOCK.to_owned(),
            &serde_json::json!({ "hold": hold, "acceptance": acceptance }),
        ));
        tx.ring_schedule();
        tx.commit().await?;
        let now = reading(&**self.clock());
        let mut known = self.doubts().known();
        known.accepted = Some(acceptance.id);
        known.guard.accept(now);
        drop(known);
        warn!(principal = %who.principal, "the clock was accepted by {}: {reason}", who.principal);
        self.board().note(|notes| notes.changes += 1);
        self.store().bells().ring_schedule();
        Ok(hold)
    }
}
