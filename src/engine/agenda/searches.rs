//! Searches that pages have begun and others go on with: few, and not for long. One that is lost is made anew.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::{AgendaPlace, Search};

/// How many are kept, and for how long: whoever reads page by page asks again at once.
const KEPT: usize = 4;
const KEPT_FOR: Duration = Duration::from_secs(30);

/// What a page is asked by: the one that goes on asks by the same.
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
    /// Since when, by the time that passes.
    since: Duration,
}

/// Those of this process, the oldest first.
#[derive(Debug, Default)]
pub(in crate::engine) struct Searches(Mutex<Vec<Kept>>);

impl Searches {
    /// The search that stands where this page begins.
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
