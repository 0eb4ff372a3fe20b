//! Numbers of documents, each held once and known by a small id.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
};

use crate::domain::document::key::folded;

/// A number's id: its place in the order in which they came.
pub(super) type Id = u32;

const NONE: Id = Id::MAX;

/// All numbers that an import has to do with.
#[derive(Debug, Default)]
pub(super) struct Names {
    hasher: RandomState,
    /// The last number of each hash; those before it are in `before`.
    by_hash: HashMap<u64, Id>,
    /// Of each number the one before it of the same hash: all its spellings have one.
    before: Vec<Id>,
    /// For each number, the one that it is the same as. Empty until that is known, and where each is itself.
    pub(super) one: Vec<Id>,
    /// Those of the register: by the number, and whether it is a twin.
    pub(super) registered: HashMap<Id, bool>,
    /// One number after another, and where each ends.
    text: String,
    ends: Vec<usize>,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, id: Id) -> &str {
        let id = id as usize;
        let from = id
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0);
        let to = self.ends.get(id).copied().unwrap_or(from);
        &self.text[from..to]
    }

    /// So many numbers, from this place on.
    pub(super) fn some(&self, from: usize, count: usize) -> Vec<&str> {
        let to = self.len().min(from + count);
        (from..to).map(|id| self.get(id as Id)).collect()
    }

    pub(super) fn find(&self, name: &str) -> Option<Id> {
        self.find_by(self.hash(name), name)
    }

    /// The newest number before this one that differs in case alone.
    pub(super) fn alike_before(&self, id: Id) -> Option<Id> {
        let mut before = *self.before.get(id as usize)?;
        while before != NONE {
            if self.get(before).eq_ignore_ascii_case(self.get(id)) {
                return Some(before);
            }
            before = *self.before.get(before as usize)?;
        }
        None
    }

    /// The number's id; a new one where it is new.
    pub(super) fn id(&mut self, name: &str) -> Id {
        let hash = self.hash(name);
        if let Some(id) = self.find_by(hash, name) {
            return id;
        }
        let id = self.ends.len() as Id;
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.before
            .push(self.by_hash.insert(hash, id).unwrap_or(NONE));
        id
    }

    /// The same for every spelling.
    fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(folded(name))
    }

    fn find_by(&self, hash: u64, name: &str) -> Option<Id> {
        let mut id = *self.by_hash.get(&hash)?;
        while self.get(id) != name {
            id = *self.before.get(id as usize)?;
            if id == NONE {
                return None;
            }
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_id() {
        let mut names = Names::default();
        let ids: Vec<Id> = ["A", "BB", "A", "CCC"]
            .iter()
            .map(|name| names.id(name))
            .collect();
        assert_eq!(ids, [0, 1, 0, 2]);
        assert_eq!(names.some(1, 9), ["BB", "CCC"]);
        assert_eq!(names.find("BB"), Some(1));
        assert_eq!(names.find("B"), None);
        assert_eq!(names.find("bb"), None);
    }
}
