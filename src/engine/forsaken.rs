//! Runs of which no instant says how long they wait, and looks do. Where the clock was set forward, or the machine slept,
//! all that a server should have moved on are late at once, and whoever looks after them is about to; and what was queued
//! by a clock that was ahead waits since an instant that is to come.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use crate::domain::RunId;

/// Those that the last look saw, with since when each was to be moved on, and when that was first seen, by the time
/// that has passed.
#[derive(Debug, Default)]
pub(super) struct Forsaken(Mutex<BTreeMap<RunId, (Timestamp, Duration)>>);

impl Forsaken {
    /// For how long looks have seen those that one sees at `passed`. Those that it does not see are forgotten.
    pub(super) fn seen_for(
        &self,
        seen: impl IntoIterator<Item = (RunId, Timestamp)>,
        passed: Duration,
    ) -> BTreeMap<RunId, Duration> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = |(run, since): (RunId, Timestamp)| {
            let before = known.get(&run).filter(|(then, _)| *then == since);
            (run, (since, before.map_or(passed, |(_, first)| *first)))
        };
        *known = seen.into_iter().map(first).collect();
        let ages = known
            .iter()
            .map(|(run, (_, first))| (*run, passed.saturating_sub(*first)));
        ages.collect()
    }

    /// The ones that looks have seen for as long as `settles`.
    pub(super) fn since_long(
        &self,
        seen: impl IntoIterator<Item = (RunId, Timestamp)>,
        passed: Duration,
        settles: Duration,
    ) -> BTreeSet<RunId> {
        let ages = self.seen_for(seen, passed).into_iter();
        let long = ages.filter(|(_, age)| settles <= *age);
        long.map(|(run, _)| run).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_once_it_was_seen_for_long_and_not_where_it_was_moved_on_between() {
        let (forsaken, run) = (Forsaken::default(), RunId::new());
        let since = |second| Timestamp::from_second(second).unwrap();
        let look = |seen: &[(RunId, Timestamp)], passed| {
            let told = forsaken.since_long(
                seen.iter().copied(),
                Duration::from_secs(passed),
                Duration::from_secs(30),
            );
            told.contains(&run)
        };
        assert!(!look(&[(run, since(1))], 100));
        assert!(!look(&[(run, since(1))], 129));
        assert!(look(&[(run, since(1))], 130));
        // Renewed, and late again.
        assert!(!look(&[(run, since(2))], 140));
        assert!(!look(&[], 150));
        assert!(!look(&[(run, since(2))], 170));
        assert!(look(&[(run, since(2))], 200));
    }
}
