//! Searches that pages have begun and others go on with: few, and not for long. One that is lost is made anew.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{AgendaPlace, Search};

/// Number of searches that are kept, and how long each is: whoever reads page by page asks again at once.
const KEPT: usize = 4;
const KEPT_FOR: Duration = Duration::from_secs(30);
/// How old one may become, however long somebody pages: it shows tasks as they were when it read them.
const OLDEST: Duration = Duration::from_secs(120);

/// Key of a search: what its page is asked by, and the one that goes on as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) after: Timestamp,
    pub(super) until: Timestamp,
    pub(super) limit: usize,
    pub(super) place: Option<AgendaPlace>,
}

#[derive(Debug)]
struct Kept {
    key: Key,
    search: Search,
    /// Moment since which it is kept, by the time that passes.
    since: Duration,
}

/// Searches of this process, the oldest first.
#[derive(Debug, Default)]
pub(in crate::engine) struct Searches(Mutex<Vec<Kept>>);

impl Searches {
    /// Takes the search that stands where this page begins.
    pub(super) fn take(&self, key: &Key, passed: Duration) -> Option<Search> {
        let mut kept = self.kept();
        kept.retain(|one| {
            passed.saturating_sub(one.since) < KEPT_FOR
                && passed.saturating_sub(one.search.begun) < OLDEST
        });
        let at = kept.iter().position(|one| one.key == *key)?;
        Some(kept.remove(at).search)
    }

    pub(super) fn put(&self, key: Key, search: Search, since: Duration) {
        let mut kept = self.kept();
        if KEPT <= kept.len() {
            kept.remove(0);
        }
        kept.push(Kept { key, search, since });
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BinaryHeap, HashMap, HashSet};

    use super::{super::Stream, *};

    fn key() -> Key {
        Key {
            after: Timestamp::UNIX_EPOCH,
            until: Timestamp::MAX,
            limit: 50,
            place: None,
        }
    }

    fn search(begun: Duration) -> Search {
        let stream = |paused| Stream {
            paused,
            place: None,
            is_over: true,
        };
        Search {
            begun,
            limit: 50,
            read: 0,
            after: Timestamp::UNIX_EPOCH,
            until: Timestamp::MAX,
            place: None,
            all_paused: false,
            streams: [false, true].map(stream),
            candidates: HashMap::new(),
            taken: HashSet::new(),
            heap: BinaryHeap::new(),
            worst: None,
        }
    }

    #[test]
    fn a_search_is_begun_anew_however_long_somebody_pages() {
        let searches = Searches::default();
        let at = Duration::from_secs;
        let mut going_on = search(at(0));
        for second in [0, 20, 40, 60, 80, 100] {
            searches.put(key(), going_on, at(second));
            going_on = searches.take(&key(), at(second + 19)).expect("it is kept");
        }
        searches.put(key(), going_on, at(119));
        assert!(searches.take(&key(), at(120)).is_none(), "it is too old");

        searches.put(key(), search(at(200)), at(200));
        assert!(searches.take(&key(), at(231)).is_none(), "nobody came");
    }
}
