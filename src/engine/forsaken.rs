//! Runs that a server should have moved on. Where the clock was set forward, or the machine slept, all that wait are
//! late at once, and whoever looks after them is about to: so one is told once it was seen so for a while.

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
    /// Of those that a look sees at `passed`, the ones that looks have seen for as long as `settles`. Those that it
    /// does not see are forgotten.
    pub(super) fn since_long(
        &self,
        seen: impl IntoIterator<Item = (RunId, Timestamp)>,
        passed: Duration,
        settles: Duration,
    ) -> BTreeSet<RunId> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = |(run, since): (RunId, Timestamp)| {
            let before = known.get(&run).filter(|(then, _)| *then == since);
            (run, (since, before.map_or(passed, |(_, first)| *first)))
        };
        *known = seen.into_iter().map(first).collect();
        let long = |(_, first): &(Timestamp, Duration)| settles <= passed.saturating_sub(*first);
        let long = known.iter().filter(|(_, seen)| long(seen));
        long.map(|(run, _)| *run).collect()
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
