//! A floor below the instants at which tasks are to be looked at: the index is read from there on.
//!
//! Each decision moves a task on in the index on `wake_at`, and leaves an entry behind. PostgreSQL removes none of them as
//! long as someone holds an older snapshot, of whatever it may be, and the earliest live one stands behind all of them:
//! after five minutes, behind hundreds of thousands. Who begins at the floor reads those of the last seconds.
//!
//! The floor is where a look without it has found the earliest, and not later than some seconds before that look. What a
//! write of this process puts elsewhere than a decision does lifts the floor. What another process puts below it is
//! decided by that one, or here after the next round, which lifts it too.
//!
//! The queue has one as well, on when its runs were due, and one on the leases of others. A run may come back into the queue
//! that was due long ago: whoever puts it there says so ([`Floor::put`]), before the bell is rung for it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::convert::micros;

/// What the clocks of servers may differ by.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// All of a store's.
#[derive(Debug, Default)]
pub(super) struct Floors {
    /// Below it no task is to be looked at.
    pub(super) wakes: Floor,
    /// No run that may be claimed was due before it.
    pub(super) queue: Floor,
    /// No lease that another server holds runs out before it.
    pub(super) leases: Floor,
}

/// Nothing that is to be looked at lies at it or below.
#[derive(Debug)]
pub(super) struct Floor(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    at: i64,
    /// How often it was lifted.
    lifts: u64,
}

/// A look without a floor, which may set it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look(u64);

impl Default for Floor {
    fn default() -> Self {
        Self(Mutex::new(State {
            at: i64::MIN,
            lifts: 0,
        }))
    }
}

impl Floor {
    /// In microseconds; the least number there is where it is not known.
    pub(super) fn at(&self) -> i64 {
        self.state().at
    }

    /// Forgets it: something may lie below.
    pub(super) fn lift(&self) {
        let mut state = self.state();
        state.at = i64::MIN;
        state.lifts += 1;
    }

    /// Takes note that something lies at `at` from here on. A look that began before may have missed it.
    pub(super) fn put(&self, at: i64, now: Timestamp) {
        let mut state = self.state();
        if at <= state.at {
            state.at = i64::MIN;
            state.lifts += 1;
        } else if at <= latest(now) {
            state.lifts += 1;
        }
    }

    /// Begins a look, where there is no floor.
    pub(super) fn look(&self) -> Option<Look> {
        let state = self.state();
        (state.at == i64::MIN).then_some(Look(state.lifts))
    }

    /// Sets it by what a look has found, unless it was lifted meanwhile.
    pub(super) fn set(&self, look: Look, earliest: Option<i64>, now: Timestamp) {
        let latest = latest(now);
        let mut state = self.state();
        if state.lifts == look.0 {
            state.at = earliest.map_or(latest, |at| latest.min(at.saturating_sub(1)));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Up to where a floor may be set now.
fn latest(now: Timestamp) -> i64 {
    micros(now.saturating_sub(SLACK).unwrap_or(Timestamp::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn it_is_set_below_what_was_found_and_below_what_clocks_may_differ_by() {
        let floor = Floor::default();
        let look = floor.look().unwrap();
        floor.set(look, Some(micros(at(60))), at(0));
        assert_eq!(floor.at(), micros(at(-5)), "others may be told of sooner");
        assert!(floor.look().is_none());
        floor.lift();
        let look = floor.look().unwrap();
        floor.set(look, Some(micros(at(-60))), at(0));
        assert_eq!(floor.at(), micros(at(-60)) - 1, "that is still to be done");
        floor.lift();
        floor.set(floor.look().unwrap(), None, at(0));
        assert_eq!(floor.at(), micros(at(-5)));
    }

    #[test]
    fn a_look_that_began_before_it_was_lifted_does_not_set_it() {
        let floor = Floor::default();
        let look = floor.look().unwrap();
        floor.lift();
        floor.set(look, None, at(0));
        assert_eq!(floor.at(), i64::MIN);
    }
    #[test]
    fn what_is_put_below_it_lifts_it() {
        let floor = Floor::default();
        floor.set(floor.look().unwrap(), None, at(0));
        floor.put(micros(at(-4)), at(0));
        assert_eq!(floor.at(), micros(at(-5)), "that lies above");
        floor.put(micros(at(-5)), at(1));
        assert_eq!(floor.at(), i64::MIN);
    }

    #[test]
    fn a_look_that_began_before_something_was_put_does_not_set_it_above_that() {
        let floor = Floor::default();
        let look = floor.look().unwrap();
        floor.put(micros(at(-60)), at(0));
        floor.set(look, None, at(0));
        assert_eq!(floor.at(), i64::MIN);
        let look = floor.look().unwrap();
        floor.put(micros(at(0)), at(0));
        floor.set(look, None, at(0));
        assert_eq!(
            floor.at(),
            micros(at(-5)),
            "what has just become due is above"
        );
    }
}
