//! What no archive holds: sockets, and devices whose numbers have no room there. It is told, and not left out in silence.

use rustix::fs::{major, minor};
use tar::EntryType;

use crate::{
    backup::repository::{EntryKind, Hand, RepositoryError, SnapshotReader, Special},
    domain::backup::manifest::SnapshotPath,
};

/// Entries that are named.
const NAMED: usize = 100;
/// What a header has room for.
const NUMBER_MAX: u32 = 0o7_777_777;

/// Entries of a snapshot that are not in its export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub count: u64,
    /// The first hundred.
    pub named: Vec<SnapshotPath>,
}

impl LeftOut {
    /// Finds them in a snapshot.
    ///
    /// # Errors
    /// Where it cannot be gone through.
    pub(super) fn of(reader: &dyn SnapshotReader, hand: &Hand) -> Result<Self, RepositoryError> {
        let mut found = Self::default();
        reader.entries(&mut |entry| {
            if hand.cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            let EntryKind::Special(special) = entry.kind else {
                return Ok(());
            };
            if packed(special).is_none() {
                found.count += 1;
                if found.named.len() < NAMED {
                    found.named.push(entry.path);
                }
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// How many there are, and what some are called; none where there are none.
    pub fn shown(&self) -> Option<String> {
        let first = self.named.first()?;
        let others = match self.count - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        Some(format!(
            "{first}{others}: left out, as no archive holds sockets, and devices whose numbers have no room in it"
        ))
    }
}

/// What a special file is in an archive, with the numbers of a device; none where it cannot be in one.
pub(super) fn packed(special: Special) -> Option<(EntryType, [u32; 2])> {
    let (kind, device) = match special {
        Special::Fifo => (EntryType::Fifo, 0),
        Special::Character(device) => (EntryType::Char, device),
        Special::Block(device) => (EntryType::Block, device),
        Special::Socket => return None,
    };
    let numbers = [major(device), minor(device)];
    numbers
        .iter()
        .all(|number| *number <= NUMBER_MAX)
        .then_some((kind, numbers))
}

#[cfg(test)]
mod tests {
    use rustix::fs::makedev;

    use super::*;

    #[test]
    fn devices_have_their_numbers_and_sockets_are_left_out() {
        let disk = Special::Block(makedev(8, 17));
        assert_eq!(packed(disk), Some((EntryType::Block, [8, 17])));
        let null = Special::Character(makedev(1, 3));
        assert_eq!(packed(null), Some((EntryType::Char, [1, 3])));
        assert_eq!(packed(Special::Fifo), Some((EntryType::Fifo, [0, 0])));
        assert_eq!(packed(Special::Socket), None);
        assert_eq!(packed(Special::Block(makedev(8, 0o10_000_000))), None);
    }

    #[test]
    fn what_is_left_out_is_counted_and_the_first_named() {
        let mut left = LeftOut::default();
        assert_eq!(left.shown(), None);
        left.named.push("/a".into());
        left.count = 1;
        assert!(left.shown().unwrap().starts_with("/a: left out"));
        left.count = 101;
        assert!(left.shown().unwrap().starts_with("/a and 100 more: "));
    }
}
