//! The monitor's pulse: it says how far this server's probes have come, sees how far the others' have, takes the right to
//! look for the cluster where nobody has it, and writes what lives in memory.
//!
//! Whether another goes on is judged by whether its numbers move while time passes here: no clock has a say in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::watch;
use tracing::{info, warn};

use super::sentry::{PERIODS, Post, Sentry};
use crate::{
    domain::ReplicaId,
    error::Result,
    store::{ProbeLease, ProbeMark},
};

pub(super) const EVERY: Duration = Duration::from_secs(5);
const AFTER_ERROR: Duration = Duration::from_millis(500);
/// Pulses after the start that come at once while probes have not looked yet.
const EARLY: u32 = 10;
/// By then a server that has died is known to be silent, which is another problem.
const SILENT: Duration = Duration::from_secs(45);
/// Pulses between two times that rows of servers that are gone are looked for.
const SWEEP_EVERY: u64 = 12;

/// The pulse of one server.
#[derive(Debug)]
pub(super) struct Pulse {
    sentries: Arc<[Sentry]>,
    holds: watch::Sender<bool>,
    seen: Mutex<Seen>,
    /// Whether it has beaten since the start.
    begun: watch::Sender<bool>,
}

/// What was seen at the last pulse, and when, by the time that has passed.
#[derive(Debug, Default)]
struct Seen {
    pulsed: Option<Duration>,
    pulsed_at: Option<Timestamp>,
    /// Another's lease as long as it does not move.
    lease: Option<Halted>,
    /// Probes of other servers: how often they had looked, and since when that is so.
    others: BTreeMap<(String, ReplicaId), Other>,
    /// Servers that gave no sign of life.
    silent: BTreeSet<ReplicaId>,
}

/// A lease that does not move.
#[derive(Debug)]
struct Halted {
    lease: ProbeLease,
    since: Duration,
    /// It is to be looked at once more: who has it may just have slept as long as this server.
    doubted: bool,
}

/// A probe of another server.
#[derive(Clone, Debug)]
pub(super) struct Other {
    pub(super) mark: ProbeMark,
    moved: Duration,
}

impl Pulse {
    pub(super) fn new(sentries: Arc<[Sentry]>, holds: watch::Sender<bool>) -> Self {
        Self {
            sentries,
            holds,
            seen: Mutex::default(),
            begun: watch::Sender::new(false),
        }
    }

    /// Waits for the first pulse.
    pub(super) async fn begins(&self) {
        let mut begun = self.begun.subscribe();
        // The sender lives as long as this does.
        let _ = begun.wait_for(|begun| *begun).await;
    }

    /// Beats until `stop`; then gives back the right to look for the cluster.
    pub(super) async fn run(&self, post: Post) {
        let mut memory = post.memory.version();
        let (mut beats, mut early) = (0, 0);
        let mut next = Duration::ZERO;
        while !post.stop.is_cancelled() {
            memory.mark_unchanged();
            let passed = post.engine.clock().passed();
            let beaten = if next <= passed {
                self.beat(&post, beats).await
            } else {
                post.memory.write(post.engine.store()).await
            };
            match beaten {
                Ok(()) if next <= passed && (self.doubts() || self.waits_for_first(&mut early)) => {
                    tokio::select! {
                        () = post.stop.cancelled() => {}
                        () = tokio::time::sleep(AFTER_ERROR) => {}
                    }
                    continue;
                }
                Ok(()) if next <= passed => {
                    beats += 1;
                    next = passed + EVERY;
                }
                Ok(()) => {}
                Err(error) => {
                    warn!(%error, "could not say how far the probes have come; trying again");
                    tokio::select! {
                        () = post.stop.cancelled() => {}
                        () = tokio::time::sleep(AFTER_ERROR) => {}
                    }
                    continue;
                }
            }
            let clock = post.engine.clock();
            let left = next.saturating_sub(clock.passed());
            tokio::select! {
                () = post.stop.cancelled() => {}
                () = clock.sleep_for(left) => {}
                _ = memory.changed() => {}
            }
        }
        if let Err(error) = self.leave(&post).await {
            warn!(%error, "could not give back the right to look for the cluster; it ends by itself");
        }
    }

    /// How long ago the last pulse was, and when.
    pub(super) fn age(&self, passed: Duration) -> Option<(Timestamp, Duration)> {
        let seen = self.seen();
        let age = passed.saturating_sub(seen.pulsed?);
        Some((seen.pulsed_at?, age))
    }

    /// Probes of other living servers that have not looked for too long.
    pub(super) fn stalled_elsewhere(&self, passed: Duration) -> Vec<Other> {
        let seen = self.seen();
        let others = seen.others.iter();
        others
            .filter(|((_, replica), other)| {
                let age = passed.saturating_sub(other.moved);
                !seen.silent.contains(replica) && (other.mark.period * PERIODS).max(SILENT) < age
            })
            .map(|(_, other)| other.clone())
            .collect()
    }

    /// Whether probes have not looked since the start: the first looks are told, and seen, without delay. Not for ever.
    fn waits_for_first(&self, early: &mut u32) -> bool {
        *early += 1;
        *early <= EARLY && self.sentries.iter().any(Sentry::is_unseen)
    }

    async fn beat(&self, post: &Post, beats: u64) -> Result<()> {
        post.memory.recheck(post.engine.store()).await?;
        post.memory.write(post.engine.store()).await?;
        let alone = post.engine.store().file().is_some();
        let alive = self.alive(post, alone).await?;
        self.mark(post, alone, &alive).await?;
        if !alone {
            self.see_others(post).await?;
        }
        if *self.holds.borrow() {
            self.sweep(post, &alive, beats).await?;
        }
        let clock = post.engine.clock();
        let mut seen = self.seen();
        seen.pulsed = Some(clock.passed());
        seen.pulsed_at = Some(clock.now());
        drop(seen);
        self.begun.send_replace(true);
        Ok(())
    }

    /// Servers that are not known to be gone, this one among them.
    async fn alive(&self, post: &Post, alone: bool) -> Result<Vec<ReplicaId>> {
        let own = post.engine.replica().id;
        let mut alive = vec![own];
        if alone {
            return Ok(alive);
        }
        let replicas = post.engine.store().replicas().await?;
        let now = post.engine.clock().now();
        let silent = replicas
            .iter()
            .filter(|replica| !replica.is_alive(now))
            .map(|replica| replica.id)
            .collect();
        let before = std::mem::replace(&mut self.seen().silent, silent);
        let seen = self.seen();
        // A clock that was set makes all of them silent for a moment.
        let gone = |id: &ReplicaId| before.contains(id) && seen.silent.contains(id);
        let ids = replicas.iter().map(|replica| replica.id);
        alive.extend(ids.filter(|id| *id != own && !gone(id)));
        Ok(alive)
    }

    /// Says how far the probes have come, and holds, takes or leaves the lease.
    async fn mark(&self, post: &Post, alone: bool, alive: &[ReplicaId]) -> Result<()> {
        let own = post.engine.replica().id;
        let marks: Vec<_> = self
            .sentries
            .iter()
            .filter_map(|sentry| Some((sentry, sentry.mark(own)?)))
            .collect();
        if alone {
            self.hold(true);
            if marks.is_empty() {
                return Ok(());
            }
        }
        let mut tx = post.engine.store().begin().await?;
        if !alone {
            let lease = tx.probe_lease_locked().await?;
            let holds = self.takes(lease.as_ref(), own, alive, post.engine.clock().passed());
            if holds {
                let beat = lease.map_or(0, |lease| lease.beat).wrapping_add(1);
                let lease = ProbeLease { holder: own, beat };
                tx.set_probe_lease(Some(&lease)).await?;
            }
            if !holds {
                self.hold(false);
            }
            let looked: Vec<_> = marks
                .iter()
                .map(|(_, mark)| mark.clone())
                .filter(|mark| holds || mark.replica.is_some())
                .collect();
            tx.probes_looked(&looked).await?;
            tx.commit().await?;
            self.hold(holds);
        } else {
            let looked: Vec<_> = marks.iter().map(|(_, mark)| mark.clone()).collect();
            tx.probes_looked(&looked).await?;
            tx.commit().await?;
        }
        for (sentry, mark) in marks {
            sentry.marked(&mark);
        }
        Ok(())
    }

    /// Whether this server looks for the cluster from now on, given who has the lease.
    fn takes(
        &self,
        lease: Option<&ProbeLease>,
        own: ReplicaId,
        alive: &[ReplicaId],
        passed: Duration,
    ) -> bool {
        let mut seen = self.seen();
        let Some(lease) = lease.filter(|lease| lease.holder != own) else {
            seen.lease = None;
            return true;
        };
        let gone = !alive.contains(&lease.holder);
        match &mut seen.lease {
            Some(halted) if halted.lease == *lease => {
                if passed.saturating_sub(halted.since) < EVERY * PERIODS {
                    return gone;
                }
                std::mem::replace(&mut halted.doubted, true) || gone
            }
            halted => {
                *halted = Some(Halted {
                    lease: lease.clone(),
                    since: passed,
                    doubted: false,
                });
                gone
            }
        }
    }

    /// Whether the other's lease is to be looked at once more before long.
    fn doubts(&self) -> bool {
        self.seen()
            .lease
            .as_ref()
            .is_some_and(|lease| lease.doubted)
    }

    fn hold(&self, holds: bool) {
        let changed = self.holds.send_if_modified(|held| {
            let changed = *held != holds;
            *held = holds;
            changed
        });
        if changed && holds {
            info!("this server looks for the cluster's problems");
        }
    }

    /// Sees how far the probes of others have come, and, where another looks for the cluster, the cluster's.
    async fn see_others(&self, post: &Post) -> Result<()> {
        let own = post.engine.replica().id;
        let holds = *self.holds.borrow();
        let marks = post.engine.store().probe_marks().await?;
        let passed = post.engine.clock().passed();
        let mut seen = self.seen();
        let before = std::mem::take(&mut seen.others);
        for mark in marks {
            let Some(replica) = mark.replica else {
                let of_cluster = self
                    .sentries
                    .iter()
                    .find(|sentry| sentry.probe.name() == mark.name);
                if let Some(sentry) = of_cluster.filter(|_| !holds) {
                    sentry.looked_elsewhere(&mark, passed);
                }
                continue;
            };
            if replica == own {
                continue;
            }
            let key = (mark.name.clone(), replica);
            let moved = match before.get(&key) {
                Some(known) if known.mark.looks == mark.looks => known.moved,
                _ => passed,
            };
            seen.others.insert(key, Other { mark, moved });
        }
        Ok(())
    }

    /// Ends problems whose time has come, and those of servers that are gone.
    async fn sweep(&self, post: &Post, alive: &[ReplicaId], beats: u64) -> Result<()> {
        let (store, now) = (post.engine.store(), post.engine.clock().now());
        if store.problems_until().await?.is_some_and(|at| at <= now) {
            let mut tx = store.begin().await?;
            tx.problems_expire().await?;
            tx.commit().await?;
        }
        let left = self.seen().others.keys().any(|(_, id)| !alive.contains(id));
        if left || beats.is_multiple_of(SWEEP_EVERY) {
            let mut tx = store.begin().await?;
            tx.problems_keep_of(alive).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn leave(&self, post: &Post) -> Result<()> {
        if !*self.holds.borrow() || post.engine.store().file().is_some() {
            return Ok(());
        }
        let mut tx = post.engine.store().begin().await?;
        let lease = tx.probe_lease_locked().await?;
        if lease.is_some_and(|lease| lease.holder == post.engine.replica().id) {
            tx.set_probe_lease(None).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
