//! Which version of each run or document was passed on last.

use std::collections::{HashMap, VecDeque};

/// Runs or documents that are remembered. One that falls out may be shown twice, which is better than memory
/// without bound.
const CAPACITY: usize = 10_000;
/// Documents that are remembered of a snapshot of all there is: as many as a register may have. Each takes memory as
/// it is shown.
const WHOLE: usize = 1_000_000;

/// Versions by name, oldest name first out.
#[derive(Debug)]
pub(super) struct SeenVersions {
    versions: HashMap<String, i64>,
    order: VecDeque<String>,
    capacity: usize,
}

impl SeenVersions {
    pub(super) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// Makes one for a watch whose snapshot shows all there is.
    pub(super) fn of_whole() -> Self {
        Self::with_capacity(WHOLE)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self {
            versions: HashMap::new(),
            order: VecDeque::new(),
            capacity,
        }
    }

    /// Whether this version of what has that name is news, which it is but once.
    pub(super) fn is_news(&mut self, name: &str, version: i64) -> bool {
        if let Some(seen) = self.versions.get_mut(name) {
            // 0 is a server that does not count versions.
            if version != 0 && version <= *seen {
                return false;
            }
            *seen = version;
            return true;
        }
        if self.order.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.versions.remove(&oldest);
        }
        self.order.push_back(name.to_owned());
        self.versions.insert(name.to_owned(), version);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_news_once_and_older_ones_never() {
        let mut seen = SeenVersions::new();
        assert!(seen.is_news("a", 2));
        assert!(!seen.is_news("a", 2));
        assert!(!seen.is_news("a", 1));
        assert!(seen.is_news("a", 3));
        assert!(seen.is_news("b", 1));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_name_is_forgotten() {
        let mut seen = SeenVersions::with_capacity(2);
        for run in ["a", "b", "c"] {
            assert!(seen.is_news(run, 1));
        }
        assert_eq!(seen.versions.len(), 2);
        assert!(!seen.is_news("c", 1));
        assert!(seen.is_news("a", 1));
    }
}
