//! The drain of this replica: it takes no runs, and what runs on it goes on to its end. Slots are decided as ever, and
//! other replicas take what is queued. It is kept in memory: a restart ends it, and so does its time, which is that of the
//! machine: whoever drains says for how long, and a clock that is set changes nothing of that.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{RwLock, RwLockReadGuard};
use tracing::info;

use super::Engine;
use crate::{
    domain::{
        Caller,
        problem::{Problem, ProblemKind},
        retry::{earlier, later},
        span,
    },
    error::{Error, Result},
};

/// The longest drain: whoever needs more asks again.
const DRAIN_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A clock that differs by more was set.
const SET: SignedDuration = SignedDuration::from_secs(1);
/// Runs under way that are named.
const NAMED: usize = 20;

/// Who drains this replica, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
    pub principal: String,
    pub reason: String,
    /// The same two by the time since the start of the machine, by which it ends.
    began: Duration,
    ends: Duration,
}

impl Drain {
    /// Tells its instants by the clock as it is, where that was set since.
    fn follow(&mut self, now: Timestamp, since_boot: Duration) {
        let until = later(now, self.ends.saturating_sub(since_boot));
        if SET < until.duration_since(self.until).abs() {
            self.until = until;
            self.since = earlier(now, since_boot.saturating_sub(self.began));
        }
    }
}

/// How far a drain is.
#[derive(Clone, Debug)]
pub struct Drained {
    /// None where this replica takes runs.
    pub drain: Option<Drain>,
    /// Runs under way here.
    pub running: usize,
    /// Names of some of them: 20 at most.
    pub names: Vec<String>,
}

/// Whether this replica may take runs.
#[derive(Debug, Default)]
pub(super) struct Draining {
    asked: Mutex<Option<Drain>>,
    /// It was started with a configuration that is not the one in force.
    stands_back: AtomicBool,
    /// Held to read while runs are taken: whoever drains waits for those that are taken at that moment, so that
    /// none begins once the drain has been answered.
    claims: RwLock<()>,
}

impl Engine {
    /// Takes no more runs here for `lasts_for`. Asked again, the new end and reason hold.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `lasts_for`.
    pub async fn drain(&self, who: &Caller, lasts_for: Duration, reason: &str) -> Result<Drained> {
        if lasts_for.is_zero() || DRAIN_MAX < lasts_for {
            let what = format!(
                "{} given; expected a span above zero, and at most {}",
                span::format(lasts_for),
                span::format(DRAIN_MAX)
            );
            return Err(Error::invalid("lasts_for", what));
        }
        let (now, since_boot) = (self.clock().now(), self.clock().since_boot());
        let before = self.drain_now();
        let (since, began) = before.map_or((now, since_boot), |drain| (drain.since, drain.began));
        let drain = Drain {
            since,
            until: later(now, lasts_for),
            principal: who.principal.clone(),
            reason: reason.to_owned(),
            began,
            ends: since_boot.saturating_add(lasts_for),
        };
        info!(until = %drain.until, principal = drain.principal, reason, "drained: no run is taken here");
        self.set_drain(Some(drain));
        drop(self.draining().claims.write().await);
        // The runner learns when it ends.
        self.store().bells().ring_queue();
        self.board().note(|notes| notes.changes += 1);
        Ok(self.drained())
    }

    /// Takes runs again. Nothing changes where this replica is not drained.
    pub async fn end_drain(&self) -> Drained {
        if self.set_drain(None).is_some() {
            info!("the drain was ended: runs are taken here again");
            self.store().bells().ring_queue();
            self.board().note(|notes| notes.changes += 1);
        }
        self.drained()
    }

    /// How far the drain of this replica is, if it is drained.
    pub fn drained(&self) -> Drained {
        let mut names: Vec<String> = self.hosts().names();
        let running = names.len();
        names.sort();
        names.truncate(NAMED);
        Drained {
            drain: self.drain_now(),
            running,
            names,
        }
    }

    /// The drain that holds now. One whose time has come is forgotten.
    pub(super) fn drain_now(&self) -> Option<Drain> {
        let mut asked = self.lock_drain();
        // The kernel is asked only where someone has drained.
        let drain = asked.as_mut()?;
        let (now, since_boot) = (self.clock().now(), self.clock().since_boot());
        drain.follow(now, since_boot);
        if let Some(over) = asked.take_if(|drain| drain.ends <= since_boot) {
            info!(since = %over.since, "the drain has ended by its time: runs are taken here again");
        }
        asked.clone()
    }

    /// The right to take runs, to be held until they are hosted; none while this replica is drained or stands back. It waits for
    /// whoever is about to drain, so never ask for it within a transaction.
    pub(super) async fn may_claim(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let claim = self.draining().claims.read().await;
        self.takes_runs().then_some(claim)
    }

    /// The same right at once, for whoever is in a transaction: one that waited there for a drain, which waits for who
    /// claims, who waits for a transaction, would be in a circle. None where somebody is about to drain, too.
    pub(super) fn may_claim_now(&self) -> Option<RwLockReadGuard<'_, ()>> {
        let claim = self.draining().claims.try_read().ok()?;
        self.takes_runs().then_some(claim)
    }

    fn takes_runs(&self) -> bool {
        !self.stands_back() && self.drain_now().is_none()
    }

    /// Whether this replica goes by a configuration that is not the one in force: it takes no runs, since it would do
    /// them by its own.
    pub fn stands_back(&self) -> bool {
        self.draining().stands_back.load(Ordering::SeqCst)
    }

    /// Has this replica stand back, or take part again; says whether it did the other before.
    pub(super) fn set_stands_back(&self, stands_back: bool) -> bool {
        let before = &self.draining().stands_back;
        let changed = before.swap(stands_back, Ordering::SeqCst) != stands_back;
        if changed && !stands_back {
            self.store().bells().ring_queue();
        }
        changed
    }

    /// The word of the status on a replica that takes no runs.
    pub fn drain_problem(&self) -> Option<Problem> {
        let Drained { drain, running, .. } = self.drained();
        let drain = drain?;
        let why = match drain.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        let message = format!(
            "drained by {} until {}{why}; it takes no runs, and {running} are under way",
            drain.principal, drain.until
        );
        let subject = format!("replicas/{}", self.replica().id);
        let kind = ProblemKind::ReplicaDraining;
        Some(Problem::new(kind, subject, message, drain.since))
    }

    /// Replaces the drain; says which there was.
    fn set_drain(&self, drain: Option<Drain>) -> Option<Drain> {
        std::mem::replace(&mut *self.lock_drain(), drain)
    }

    fn lock_drain(&self) -> std::sync::MutexGuard<'_, Option<Drain>> {
        let asked = &self.draining().asked;
        asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
