//! What a restore came to: how much is back, and by name what is not, or not as it was.

use std::collections::HashMap;

use super::marks;
use crate::domain::backup::{
    manifest::{FileError, SnapshotPath},
    verdict::Names,
};

/// Lines of each kind that are kept.
const KEPT: usize = 1000;
/// Files that are named by their paths as well.
const NAMES_KEPT: usize = 100_000;
/// Lines of each kind that a message names.
const NAMED: usize = 3;

/// So many of something, and the first of them by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub count: u64,
    /// At most 1,000.
    pub lines: Vec<String>,
    /// What of it is known by its path.
    named: Vec<FileError>,
}

/// What a restore came to.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    pub files: u64,
    pub bytes: u64,
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// What is not in the repository as it was stored.
    pub damaged: Tally,
    /// What could not be made here, such as for the length of its name.
    pub refused: Tally,
    /// What came back, but for its owner, an attribute, or the like.
    pub unset: Tally,
    /// The same of a sample, each by its path.
    pub(in crate::backup) unset_of: Unset,
    /// What is made anew by whoever needs it: devices and sockets.
    pub left_out: Tally,
}

/// What was said of entries that are not all that they were.
pub(in crate::backup) type Unset = HashMap<SnapshotPath, Vec<String>>;

impl Tally {
    pub(in crate::backup) fn add(&mut self, line: impl Into<String>) {
        self.count += 1;
        if self.lines.len() < KEPT {
            self.lines.push(line.into());
        }
    }

    /// As [`Self::add`], with the path of what it is about.
    pub(super) fn add_at(&mut self, path: &SnapshotPath, line: String) {
        if self.named.len() < NAMES_KEPT {
            self.named.push(FileError {
                path: path.clone(),
                message: line.clone(),
            });
        }
        self.add(line);
    }

    /// Adds what another one has.
    pub(super) fn take(&mut self, other: Self) {
        let more = other.count - other.lines.len() as u64;
        other.lines.into_iter().for_each(|line| self.add(line));
        self.count += more;
        self.named.extend(other.named);
    }

    /// What of it is known by its path, and how much there is besides.
    pub fn names(&self) -> Names {
        let more = self.count.saturating_sub(self.named.len() as u64);
        Names::new(self.named.iter().cloned(), more)
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What is counted here came back, but for an owner or the like; in one line.
    pub(in crate::backup) fn unset(&self) -> Option<String> {
        self.said("came back, but not all that they were")
    }

    fn said(&self, what: &str) -> Option<String> {
        (!self.is_empty()).then(|| format!("{} {what}: {}", self.count, self.named()))
    }

    /// The first few, and how many more there are.
    pub(in crate::backup) fn named(&self) -> String {
        let named: Vec<&str> = self.lines.iter().take(NAMED).map(String::as_str).collect();
        let more = self.count.saturating_sub(named.len() as u64);
        match more {
            0 => named.join("; "),
            more => format!("{}; and {more} more", named.join("; ")),
        }
    }
}

impl Restored {
    /// Notes what could not be set of an entry. `kept`: by its path, too.
    pub(super) fn lacks(&mut self, path: &SnapshotPath, lacks: Vec<String>, kept: bool) {
        note_unset((&mut self.unset, &mut self.unset_of), path, lacks, kept);
    }

    /// What is not as it was, in one line; none where all is.
    pub fn shortfall(&self) -> Option<String> {
        let said: Vec<String> = self.lost().into_iter().chain(self.unset.unset()).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// What did not come back, in one line.
    pub(in crate::backup) fn lost(&self) -> Option<String> {
        let damaged = self.damaged.said("did not come back whole");
        let refused = self.refused.said("could not be made here");
        let said: Vec<String> = damaged.into_iter().chain(refused).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// How much is not as it was.
    pub fn lacking(&self) -> u64 {
        self.damaged.count + self.refused.count + self.unset.count
    }

    /// Everything that is to be told, line by line.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let kinds = [
            ("damaged", &self.damaged),
            ("not made", &self.refused),
            ("not set", &self.unset),
            ("left out", &self.left_out),
        ];
        kinds.into_iter().flat_map(|(kind, tally)| {
            let more = tally.count.saturating_sub(tally.lines.len() as u64);
            let more = (0 < more).then(|| format!("{kind}: and {more} more"));
            let lines = tally
                .lines
                .iter()
                .map(move |line| format!("{kind}: {line}"));
            lines.chain(more)
        })
    }
}

/// Notes what could not be set of an entry, where there is anything. By its path, only what an error has told: the rest
/// is for a look to find.
pub(super) fn note_unset(
    (tally, of): (&mut Tally, &mut Unset),
    path: &SnapshotPath,
    lacks: Vec<String>,
    kept: bool,
) {
    if lacks.is_empty() {
        return;
    }
    tally.add(format!("{path}: {}", lacks.join(", ")));
    let told = lacks.into_iter().filter(|lack| !marks::is_untold(lack));
    if kept {
        of.entry(path.clone()).or_default().extend(told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_error_has_told_is_no_excuse() {
        let (mut tally, mut of) = (Tally::default(), Unset::new());
        let path = SnapshotPath::from("/a");
        let lacks = [
            "owner 1:2 (Operation not permitted (os error 1))",
            "permissions 644 (they are 666, without an error)",
        ];
        let lacks = lacks.map(str::to_owned).to_vec();
        note_unset((&mut tally, &mut of), &path, lacks.clone(), true);
        assert_eq!(tally.lines, [format!("/a: {}", lacks.join(", "))]);
        assert_eq!(of[&path], lacks[..1]);
    }
}
