//! The one loop: a probe's, from one look to the next.

use std::{
    panic::AssertUnwindSafe,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    memory::Memory,
    probe::{Look, Scope, SharedProbe},
    supervised::panic_text,
};
use crate::{
    clock::Stopwatch,
    domain::{
        ReplicaId,
        problem::{Problem, ProblemKind},
    },
    engine::Engine,
    error::{Error, Result},
    store::{ProbeMark, Source},
};

/// Between two looks that fail, real time: the clock may stand still.
const AFTER_ERROR: Duration = Duration::from_millis(500);
const AFTER_ERRORS: Duration = Duration::from_secs(5);
/// A look that took long is followed by a rest that is so many times as long, within the period: what is costly at a
/// burst, or with many tasks, must not be done over and over.
const RESTS_FOR_LOOKS: u32 = 20;
/// A reader has a probe look sooner than events do, by so much.
const SOONER_FOR_READERS: u32 = 10;
/// Periods without a look after which a probe is a problem.
pub(super) const PERIODS: u32 = 3;
/// How long a problem with a loop that panicked stays.
pub(super) const PANICKED_STAYS: Duration = Duration::from_secs(60 * 60);

/// A probe, and how far it has come.
#[derive(Debug)]
pub(super) struct Sentry {
    pub(super) probe: SharedProbe,
    state: Mutex<State>,
    /// Rings for a look: soon, or at once.
    bell: watch::Sender<()>,
    /// Looks that were done by this process.
    done: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// Looks that there were, this process's or another's.
    looks: i64,
    looked_at: Option<Timestamp>,
    /// When there last was a sign of a look, by the time that has passed.
    sign: Duration,
    born_at: Timestamp,
    again_at: Option<Timestamp>,
    /// Events that touched it, and how many of them the last look has seen.
    touched: u64,
    seen: u64,
    /// A reader wants it now.
    asked: bool,
    /// A reader has waited for it, and it has not looked since.
    in_vain: bool,
    rested: Option<Stopwatch>,
    /// Duration of the last look that succeeded, real time. One that failed for want of the database says nothing of it.
    took: Duration,
    marked: i64,
}

/// What a probe's loop is given.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) engine: Engine,
    pub(super) memory: Memory,
    /// Whether this server looks for the cluster.
    pub(super) holds: watch::Receiver<bool>,
    pub(super) stop: CancellationToken,
}

impl Sentry {
    pub(super) fn new(probe: SharedProbe, engine: &Engine) -> Self {
        let clock = engine.clock();
        let state = State {
            looks: 0,
            looked_at: None,
            sign: clock.passed(),
            born_at: clock.now(),
            again_at: None,
            touched: 1,
            seen: 0,
            asked: false,
            in_vain: false,
            rested: None,
            took: Duration::ZERO,
            marked: 0,
        };
        Self {
            probe,
            state: Mutex::new(state),
            bell: watch::Sender::new(()),
            done: watch::Sender::new(0),
        }
    }

    /// Something has happened that may change what it finds.
    pub(super) fn touch(&self) {
        self.state().touched += 1;
        self.bell.send_replace(());
    }

    /// Has it look now for a reader, where it would find something new; says after how many looks that is done.
    pub(super) fn ask(&self, now: Timestamp, passed: Duration) -> Option<u64> {
        let mut state = self.state();
        let rest = self.rest(&state) / SOONER_FOR_READERS;
        let rested = state.rested.is_none_or(|rested| rest <= rested.elapsed());
        let touched = state.touched != state.seen && rested;
        if state.in_vain || !(touched || self.is_due(&state, now, passed)) {
            return None;
        }
        state.asked = true;
        self.bell.send_replace(());
        Some(*self.done.borrow() + 1)
    }

    /// Waits until each of these has looked so often.
    pub(super) async fn wait_for(asked: &[(&Self, u64)]) {
        for (sentry, looks) in asked {
            let mut done = sentry.done.subscribe();
            // The sender lives as long as this does.
            let _ = done.wait_for(|done| looks <= done).await;
        }
    }

    /// A reader has waited until each has looked so often: for those that have not none waits again before they have.
    pub(super) fn waited_in_vain(asked: &[(&Self, u64)]) {
        for (sentry, looks) in asked {
            // Looks are counted below the same lock: one that ends meanwhile is seen, or takes this back.
            let mut state = sentry.state();
            if *sentry.done.borrow() < *looks {
                state.in_vain = true;
            }
        }
    }

    /// When it last looked, and how long ago there was a sign of it.
    pub(super) fn age(&self, passed: Duration) -> (Option<Timestamp>, Timestamp, Duration) {
        let state = self.state();
        let age = passed.saturating_sub(state.sign);
        (state.looked_at, state.born_at, age)
    }

    /// What is new since the last mark that was taken.
    pub(super) fn mark(&self, own: ReplicaId) -> Option<ProbeMark> {
        let state = self.state();
        let looked_at = state.looked_at.filter(|_| state.marked != state.looks)?;
        Some(ProbeMark {
            name: self.probe.name().to_owned(),
            replica: (self.probe.scope() == Scope::Replica).then_some(own),
            looks: state.looks,
            looked_at,
            period: self.probe.period(),
        })
    }

    pub(super) fn marked(&self, mark: &ProbeMark) {
        self.state().marked = mark.looks;
    }

    /// Whether nobody has looked yet, or what was seen is not told.
    pub(super) fn is_unseen(&self) -> bool {
        let state = self.state();
        state.looked_at.is_none() || state.marked == 0
    }

    /// Whether nobody has looked since this server started.
    pub(super) fn has_not_looked(&self) -> bool {
        self.state().looked_at.is_none()
    }

    /// Another server has looked for the cluster.
    pub(super) fn looked_elsewhere(&self, mark: &ProbeMark, passed: Duration) {
        let mut state = self.state();
        if state.looks == mark.looks {
            return;
        }
        // What a server had seen that may be gone for days is no look.
        let age = state.born_at.duration_since(mark.looked_at);
        let is_old = state.looks == 0 && self.probe.period() * PERIODS < age.unsigned_abs();
        state.looks = mark.looks;
        state.marked = mark.looks;
        if is_old && age.is_positive() {
            return;
        }
        state.looked_at = Some(mark.looked_at);
        state.sign = passed;
        state.in_vain = false;
        // A reader may wait for the first.
        self.done.send_modify(|done| *done += 1);
    }

    /// Looks at its period, and when something asks for it, until `stop`.
    pub(super) async fn run(&self, mut post: Post) {
        let mut bell = self.bell.subscribe();
        let mut failures = 0;
        while !post.stop.is_cancelled() {
            if self.probe.scope() == Scope::Cluster && !*post.holds.borrow_and_update() {
                tokio::select! {
                    () = post.stop.cancelled() => {}
                    _ = post.holds.changed() => self.touch(),
                }
                continue;
            }
            bell.mark_unchanged();
            let Some(pause) = self.pause(&post) else {
                // One that hangs must not keep the process from ending.
                match post.stop.run_until_cancelled(self.look(&post)).await {
                    None => return,
                    Some(Ok(())) => failures = 0,
                    Some(Err(error)) => {
                        failures += 1;
                        warn!(%error, probe = self.probe.name(), "could not look for problems; trying again");
                        let wait = AFTER_ERROR.saturating_mul(failures).min(AFTER_ERRORS);
                        tokio::select! {
                            () = post.stop.cancelled() => {}
                            () = tokio::time::sleep(wait) => {}
                        }
                    }
                }
                continue;
            };
            tokio::select! {
                () = post.stop.cancelled() => {}
                () = pause => {}
                _ = bell.changed() => {}
                _ = post.holds.changed() => {}
            }
        }
    }

    /// How long nothing is to do; none where a look is due.
    fn pause(&self, post: &Post) -> Option<futures_util::future::BoxFuture<'static, ()>> {
        let clock = post.engine.clock().clone();
        let state = self.state();
        if state.asked || self.is_due(&state, clock.now(), clock.passed()) {
            return None;
        }
        let rest = match state.rested {
            Some(rested) if state.touched != state.seen => {
                Some(self.rest(&state).saturating_sub(rested.elapsed()))
            }
            None if state.touched != state.seen => return None,
            _ => None,
        };
        if rest.is_some_and(|rest| rest.is_zero()) {
            return None;
        }
        let left = (state.sign + self.probe.period()).saturating_sub(clock.passed());
        let again_at = state.again_at;
        drop(state);
        Some(Box::pin(async move {
            let rested = async {
                match rest {
                    Some(rest) => tokio::time::sleep(rest).await,
                    None => std::future::pending().await,
                }
            };
            let again = async {
                match again_at {
                    Some(at) => clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rested => {}
                () = again => {}
                () = clock.sleep_for(left) => {}
            }
        }))
    }

    /// Between two looks that events ask for.
    fn rest(&self, state: &State) -> Duration {
        let after = state.took.saturating_mul(RESTS_FOR_LOOKS);
        after.min(self.probe.period()).max(self.probe.rest())
    }

    fn is_due(&self, state: &State, now: Timestamp, passed: Duration) -> bool {
        self.probe.period() <= passed.saturating_sub(state.sign)
            || state.again_at.is_some_and(|at| at <= now)
            // A clock that was set back is news to whoever looked before.
            || state.looked_at.is_some_and(|at| now < at)
    }

    async fn look(&self, post: &Post) -> Result<()> {
        let clock = post.engine.clock();
        // What it will have seen is what was so when it began.
        let (began_at, began) = (clock.now(), clock.passed());
        let seen = {
            let mut state = self.state();
            state.asked = false;
            state.touched
        };
        let name = self.probe.name();
        let subject = format!("probes/{name}");
        let watch = Stopwatch::start();
        let looked = AssertUnwindSafe(self.probe.look()).catch_unwind().await;
        let looked = match looked {
            Ok(Ok(look)) => self.settle(post, &look).await.map(|()| look),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(self.tell_panic(post, &panic_text(&*panic))),
        };
        let now = post.engine.clock().now();
        let look = match looked {
            Ok(look) => look,
            Err(error) => {
                // That the database is away is told as such.
                if !matches!(
                    error,
                    Error::Unavailable {
                        what: "database",
                        ..
                    }
                ) {
                    let message = format!("the probe {name} could not look: {error}");
                    let problem = Problem::new(ProblemKind::MonitorBlind, subject, message, now);
                    post.memory.raise(problem, None);
                }
                self.state().rested = Some(Stopwatch::start());
                return Err(error);
            }
        };
        post.memory.clear(ProblemKind::MonitorBlind, &subject, now);
        {
            let mut state = self.state();
            state.looks += 1;
            state.looked_at = Some(began_at);
            state.sign = began;
            state.again_at = look.again_at;
            state.seen = seen;
            state.in_vain = false;
            state.rested = Some(Stopwatch::start());
            state.took = watch.elapsed();
            self.done.send_modify(|done| *done += 1);
        }
        Ok(())
    }

    fn tell_panic(&self, post: &Post, text: &str) -> Error {
        let name = self.probe.name();
        let message = format!("the loop of the probe {name} panicked: {text}");
        tracing::error!("{message}");
        let now = post.engine.clock().now();
        let until = crate::domain::retry::later(now, PANICKED_STAYS);
        let subject = format!("loops/probe-{name}");
        let problem = Problem::new(ProblemKind::LoopPanicked, subject, &message, now);
        post.memory.raise(problem, Some(until));
        Error::internal(message)
    }

    /// Makes the rows what was found.
    async fn settle(&self, post: &Post, look: &Look) -> Result<()> {
        let own = post.engine.replica().id;
        let source = Source {
            probe: self.probe.name(),
            replica: (self.probe.scope() == Scope::Replica).then_some(own),
        };
        let found = look.each_once();
        let store = post.engine.store();
        if store.problems_are(&source, &found).await? {
            return Ok(());
        }
        let mut tx = store.begin().await?;
        // Who was taken for dead meanwhile says no more: another looks.
        if source.replica.is_none() && store.file().is_none() {
            let lease = tx.probe_lease_locked().await?;
            if lease.is_none_or(|lease| lease.holder != own) {
                return Ok(());
            }
        }
        tx.problems_settle(&source, &found).await?;
        tx.commit().await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
