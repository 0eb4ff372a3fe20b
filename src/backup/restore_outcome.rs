//! What a restore came to, as it is noted before it is put in place: an attempt that comes after a process was killed in
//! between looks at what lies there, and tells of it what the first would have told.

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
}

/// Result of a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) files: u64,
    pub(super) bytes: u64,
    // Of what was noted before they were counted there are none.
    #[serde(default)]
    directories: u64,
    #[serde(default)]
    links: u64,
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
            directories: restored.directories,
            links: restored.links,
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
        let counts = [
            (&mut self.files, compared.files),
            (&mut self.directories, compared.directories),
            (&mut self.links, compared.links),
        ];
        let mut lost = 0;
        for (restored, same) in counts {
            lost += restored.saturating_sub(same);
            *restored = same.min(*restored);
        }
        self.bytes = compared.bytes.min(self.bytes);
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
            directories: 2,
            links: 1,
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
        let after = outcome.looked_at(&compared);
        assert_eq!((after.files, after.refused), (5, 0));
        assert_eq!(after.shortfalls().collect::<Vec<_>>(), ["1 lacks"]);
    }
}
