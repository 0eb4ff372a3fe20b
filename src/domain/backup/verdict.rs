//! What was found of a restore point after its manifest was written.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::manifest::{FileError, SnapshotPath};
use crate::domain::text::text_enum;

/// Names that are kept of one point, and bytes of all of them.
const NAMES_MAX: usize = 200_000;
const NAMES_BYTES: usize = 64 << 20;

text_enum! {
    /// What a restore point comes to, by all that is known of it.
    Sound {
        /// It was read back, and all is in it.
        Verified = "verified",
        /// It was read back, and what is missing in it is named.
        Partial = "partial",
        /// Not all of it comes back as it was.
        Damaged = "damaged",
    }
}

/// What is missing or damaged, each path once, in order; and how much there is besides that no list has room for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    named: Vec<FileError>,
    more: u64,
}

impl Names {
    /// Such names, and how much there is besides.
    pub fn new(named: impl IntoIterator<Item = FileError>, more: u64) -> Self {
        let mut all: BTreeMap<SnapshotPath, String> = BTreeMap::new();
        for one in named {
            // What was found first stays.
            all.entry(one.path).or_insert(one.message);
        }
        let (mut names, mut bytes) = (Self::default(), 0);
        names.more = more;
        for (path, message) in all {
            bytes += path.as_bytes().len() + message.len();
            match names.named.len() < NAMES_MAX && bytes <= NAMES_BYTES {
                true => names.named.push(FileError { path, message }),
                false => names.more += 1,
            }
        }
        names
    }

    pub fn named(&self) -> &[FileError] {
        &self.named
    }

    /// How much there is that is not named.
    pub fn more(&self) -> u64 {
        self.more
    }

    pub fn count(&self) -> u64 {
        self.more + self.named.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// These and those of another finding. What one of them does not name may be what the other does: there is at least
    /// as much as either has, and as is named.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let all = self.named.iter().chain(&other.named).cloned();
        let mut both = Self::new(all, 0);
        let least = self.count().max(other.count());
        both.more += least.saturating_sub(both.count());
        both
    }

    /// The first so many; the others are counted.
    #[must_use]
    pub fn first(&self, most: usize) -> Self {
        let named: Vec<FileError> = self.named.iter().take(most).cloned().collect();
        let more = self.count() - named.len() as u64;
        Self { named, more }
    }
}

/// A verdict, as it stands in the repository beside the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub sound: Sound,
    pub at: Timestamp,
    /// `tasks/{task}/runs/{run}`.
    pub run: String,
    /// A line for people.
    pub message: String,
    /// Everything that was found damaged, where it is; otherwise what was found missing after the manifest was written.
    pub names: Vec<FileError>,
    /// How much of that is named nowhere.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
    /// Of what is damaged: what was missing besides, when it was made, and stays so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<FileError>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing_more: u64,
}

pub(super) fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Verdict {
    /// What was found damaged, and does not come back.
    pub fn damaged(&self) -> Names {
        match self.sound {
            Sound::Damaged => Names::new(self.names.iter().cloned(), self.more),
            Sound::Verified | Sound::Partial => Names::default(),
        }
    }

    /// What was found missing when the point was made, after its manifest was written.
    pub fn lacking(&self) -> Names {
        match self.sound {
            Sound::Verified => Names::default(),
            Sound::Partial => Names::new(self.names.iter().cloned(), self.more),
            Sound::Damaged => Names::new(self.missing.iter().cloned(), self.missing_more),
        }
    }

    /// A verdict of which no more is known than how sound it says that the point is, and how much it names.
    #[must_use]
    pub fn counted(&self, sound: Sound, count: u64) -> Self {
        Self {
            sound,
            names: Vec::new(),
            more: count,
            missing: Vec::new(),
            missing_more: 0,
            ..self.clone()
        }
    }

    /// This one with all that an earlier one has named, as far as that is so still.
    #[must_use]
    pub fn after(mut self, earlier: Option<&Self>) -> Self {
        let (mut damaged, mut lacking) = (self.damaged(), self.lacking());
        if let Some(earlier) = earlier {
            damaged = earlier.damaged().and(&damaged);
            lacking = earlier.lacking().and(&lacking);
        }
        let (names, missing) = match self.sound {
            Sound::Verified => (Names::default(), Names::default()),
            Sound::Partial => (lacking, Names::default()),
            Sound::Damaged => (damaged, lacking),
        };
        (self.names, self.more) = (names.named, names.more);
        (self.missing, self.missing_more) = (missing.named, missing.more);
        self
    }

    /// Whether it says the same as another, whoever has found it when.
    pub fn says_as(&self, other: &Self) -> bool {
        let paths = |names: Names| {
            let all = names.named.iter().map(|one| one.path.clone());
            (all.collect::<Vec<_>>(), names.more)
        };
        self.sound == other.sound
            && paths(self.damaged()) == paths(other.damaged())
            && paths(self.lacking()) == paths(other.lacking())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[&str], more: u64) -> Names {
        let named = paths.iter().map(|path| FileError {
            path: (*path).into(),
            message: "gone".to_owned(),
        });
        Names::new(named, more)
    }

    fn verdict(sound: Sound, of: &Names) -> Verdict {
        Verdict {
            sound,
            at: Timestamp::UNIX_EPOCH,
            run: String::new(),
            message: String::new(),
            names: of.named().to_vec(),
            more: of.more(),
            missing: Vec::new(),
            missing_more: 0,
        }
    }

    #[test]
    fn a_later_finding_of_others_or_of_none_leaves_all_names_where_they_were() {
        let first = verdict(Sound::Damaged, &names(&["/a", "/b"], 3));
        let other = verdict(Sound::Damaged, &names(&["/c"], 0)).after(Some(&first));
        assert_eq!(other.damaged(), names(&["/a", "/b", "/c"], 2));
        let none = verdict(Sound::Damaged, &Names::default()).after(Some(&other));
        assert_eq!(none.damaged(), other.damaged());
        assert!(none.says_as(&other));
        assert!(!other.says_as(&first));
    }

    #[test]
    fn what_was_missing_from_the_first_stays_so_beyond_damage_and_its_mending() {
        let made = verdict(Sound::Partial, &names(&["/m"], 1));
        let damaged = verdict(Sound::Damaged, &names(&["/d"], 0)).after(Some(&made));
        assert_eq!(damaged.lacking(), names(&["/m"], 1));
        assert_eq!(damaged.damaged(), names(&["/d"], 0));
        let mended = verdict(Sound::Partial, &Names::default()).after(Some(&damaged));
        assert_eq!(mended.lacking(), names(&["/m"], 1));
        assert!(mended.damaged().is_empty());
        let whole = verdict(Sound::Verified, &Names::default()).after(Some(&mended));
        assert!(whole.lacking().is_empty());
    }

    #[test]
    fn what_was_named_where_it_cannot_be_read_any_more_is_counted() {
        let now = verdict(Sound::Partial, &Names::default());
        let still = now.clone().after(Some(&now.counted(Sound::Partial, 3)));
        assert_eq!(still.lacking().count(), 3);
        let now = verdict(Sound::Damaged, &names(&["/a"], 0));
        let still = now.clone().after(Some(&now.counted(Sound::Damaged, 3)));
        assert_eq!(still.damaged(), names(&["/a"], 2));
        assert!(!still.says_as(&now.counted(Sound::Damaged, 3)));
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let first = names(&["/a", "/b", "/c"], 2).first(1);
        assert_eq!((first.named().len(), first.count()), (1, 5));
    }
}
