//! What a restore came to, as it is noted before it is put in place: an attempt that comes after a process was killed in
//! between looks at what lies there, and tells of it what the first would have told.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    restore_files::{Compared, Restored},
    restore_put::Placing,
};

/// Note on a restore before it is put in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    pub(super) placing: Placing,
    pub(super) outcome: Outcome,
    /// Whether what becomes of it is its owner's by now, and nobody is told: the restore is over, or all of it was there.
    #[serde(default)]
    pub(super) settled: bool,
    /// When it was first told that a part of it lies in place.
    #[serde(default)]
    pub(super) told_since: Option<Timestamp>,
}

/// Result of a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) files: u64,
    pub(super) bytes: u64,
    // Of what was noted before they were counted there are none.
    #[serde(default)]
    directories: Option<u64>,
    #[serde(default)]
    links: Option<u64>,
    pub(super) damaged: u64,
    pub(super) refused: u64,
    pub(super) unset: u64,
    pub(super) left_out: u64,
    /// Differences from what was stored, in words.
    shortfalls: Vec<String>,
    /// What came back, but for its owner or the like, in words.
    #[serde(default)]
    lacks: Option<String>,
}

impl Outcome {
    pub(super) fn of(restored: &Restored) -> Self {
        Self {
            files: restored.files,
            bytes: restored.bytes,
            directories: Some(restored.directories),
            links: Some(restored.links),
            damaged: restored.damaged.count,
            refused: restored.refused.count,
            unset: restored.unset.count,
            left_out: restored.left_out.count,
            shortfalls: restored.lost().into_iter().collect(),
            lacks: restored.unset.unset(),
        }
    }

    /// All differences from what was stored, in words.
    pub(super) fn shortfalls(&self) -> impl Iterator<Item = String> {
        self.shortfalls.iter().chain(&self.lacks).cloned()
    }

    /// The result once what lies there was looked at anew.
    pub(super) fn looked_at(mut self, compared: &Compared) -> Self {
        let lost = match (self.directories, self.links) {
            (Some(directories), Some(links)) => {
                let lacking = self.files.saturating_sub(compared.files)
                    + directories.saturating_sub(compared.directories)
                    + links.saturating_sub(compared.links);
                // What may not be looked at came back, as far as was seen then.
                lacking.saturating_sub(compared.unseen.count)
            }
            // What it was known to lack differs, and nothing else is to.
            _ => {
                let known = self.damaged + self.refused;
                compared.differing.count.saturating_sub(known)
            }
        };
        self.files = self.files.min(compared.files + compared.unseen_files);
        let at_most = |restored: Option<u64>, same: u64| restored.map(|count| count.min(same));
        self.directories = at_most(self.directories, compared.directories);
        self.links = at_most(self.links, compared.links);
        if compared.unseen_files == 0 {
            self.bytes = compared.bytes.min(self.bytes);
        }
        if 0 < lost {
            self.refused += lost;
            self.shortfalls.push(format!(
                "{lost} files, directories or links are not what was restored any more: {}",
                compared.differing.named()
            ));
        }
        // What could not be set then lacks now, and what was changed since then does.
        self.unset = compared.unset.count;
        self.lacks = compared.unset.unset();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_any_more_is_no_success() {
        let outcome = Outcome {
            files: 5,
            directories: Some(2),
            links: Some(1),
            ..Outcome::default()
        };
        let mut compared = Compared {
            files: 5,
            directories: 2,
            links: 1,
            ..Compared::default()
        };
        assert_eq!(outcome.clone().looked_at(&compared), outcome);
        (compared.files, compared.directories, compared.links) = (3, 1, 0);
        compared.unset.add("/a: permissions 600 (they are 644)");
        let after = outcome.looked_at(&compared);
        assert_eq!((after.files, after.refused, after.unset), (3, 4, 1));
        let said: Vec<String> = after.shortfalls().collect();
        assert!(said[0].contains("4 files"), "{after:?}");
        assert!(said[1].contains("/a: permissions"), "{after:?}");
    }

    #[test]
    fn what_may_not_be_looked_at_is_not_lost() {
        let outcome = Outcome {
            files: 5,
            bytes: 50,
            directories: Some(2),
            links: Some(1),
            ..Outcome::default()
        };
        let mut compared = Compared {
            files: 3,
            bytes: 30,
            directories: 1,
            links: 1,
            unseen_files: 2,
            ..Compared::default()
        };
        for path in ["/a", "/a/one", "/a/two"] {
            compared.unseen.add(path);
        }
        assert_eq!(outcome.clone().looked_at(&compared).refused, 0);
        compared.links = 0;
        let after = outcome.looked_at(&compared);
        assert_eq!((after.files, after.bytes, after.refused), (5, 50, 1));
    }

    /// Of a server that was at it before it was replaced by this one.
    #[test]
    fn what_was_noted_without_directories_and_links_is_read() {
        let noted = r#"{"files":5,"bytes":9,"damaged":0,"refused":0,"unset":1,"left_out":0,"shortfalls":["1 lacks"]}"#;
        let outcome: Outcome = serde_json::from_str(noted).unwrap();
        let compared = Compared {
            files: 5,
            bytes: 9,
            directories: 2,
            ..Compared::default()
        };
        let after = outcome.clone().looked_at(&compared);
        assert_eq!((after.files, after.refused), (5, 0));
        assert_eq!(after.shortfalls().collect::<Vec<_>>(), ["1 lacks"]);
        let mut compared = compared;
        compared.differing.add("/a/link did not come back");
        assert_eq!(outcome.looked_at(&compared).refused, 1);
    }
}
