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
        kept.retain(|one| passed.saturating_sub(one.since) < KEPT_FOR);
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
