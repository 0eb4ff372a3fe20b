//! Entries of a snapshot as they are told: as many as a line has room for.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::lines::bytes_of;
use crate::backup::repository::Entry;

/// Bytes of entries that are told at once, unless one alone is more.
const BYTES_AT_ONCE: usize = 1 << 20;
/// Bytes of the extended attributes of one entry: a line has room for its path besides.
const ATTRIBUTES_MAX: usize = 12 << 20;

/// An entry. Values of its attributes are text, as numbers would take three times as much.
#[derive(Serialize, Deserialize)]
pub(super) struct Listed {
    /// Without them.
    entry: Entry,
    attributes: Vec<(String, String)>,
}

impl Listed {
    /// Attributes that there is no room for are told by one that no file system takes: so whoever sets them says what it
    /// could not set.
    pub(super) fn of(mut entry: Entry) -> Self {
        let all = std::mem::take(&mut entry.attributes);
        let mut attributes = Vec::with_capacity(all.len());
        let (mut bytes, mut left) = (0, 0_u64);
        for (name, value) in all {
            let one = (name, STANDARD.encode(value));
            bytes += bytes_of(&one) + 1;
            match bytes <= ATTRIBUTES_MAX {
                true => attributes.push(one),
                false => left += 1,
            }
        }
        if 0 < left {
            let note = format!("{left} more, which are too long to be told");
            attributes.push((note, String::new()));
        }
        Self { entry, attributes }
    }

    /// What was told; none where that is no entry.
    pub(super) fn entry(self) -> Option<Entry> {
        let Self {
            mut entry,
            attributes,
        } = self;
        let decoded = attributes.into_iter().map(|(name, value)| {
            let value = STANDARD.decode(value).ok()?;
            Some((name, value))
        });
        entry.attributes = decoded.collect::<Option<Vec<_>>>()?;
        Some(entry)
    }
}

/// Those of these that are told at once: one at least, where there is one.
pub(super) fn fitting(entries: Vec<Entry>) -> Vec<Listed> {
    let mut some = Vec::with_capacity(entries.len());
    let mut bytes = 0;
    for entry in entries {
        let listed = Listed::of(entry);
        bytes += bytes_of(&listed) + 1;
        if BYTES_AT_ONCE < bytes && !some.is_empty() {
            break;
        }
        some.push(listed);
    }
    some
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            lines::tests::deep,
            wire::{Reply, line},
        },
        *,
    };
    use crate::backup::repository::EntryKind;

    fn entry(name: u64, attributes: Vec<(String, Vec<u8>)>) -> Entry {
        Entry {
            path: deep().join(name.to_string().as_bytes()),
            kind: EntryKind::Link(vec![0xff; 4095]),
            size: 3,
            mtime: 4,
            mode: 0o644,
            owner: Some((1, 2)),
            shared: None,
            attributes,
        }
    }

    #[test]
    fn a_very_deep_directory_of_many_names_is_listed_by_and_by() {
        let mut left: Vec<Entry> = (0..300).map(|name| entry(name, Vec::new())).collect();
        let all = left.clone();
        let mut came: Vec<Entry> = Vec::new();
        while !left.is_empty() {
            let some = fitting(left.clone());
            let count = some.len();
            assert!(0 < count);
            left.drain(..count);
            let reply = Reply::List(Some(some), true);
            let told = line(&reply).unwrap();
            let heard: Reply = serde_json::from_slice(&told).unwrap();
            let Reply::List(Some(some), true) = heard else {
                panic!("it is another answer");
            };
            came.extend(some.into_iter().map(|one| one.entry().unwrap()));
        }
        assert!(came == all);
    }

    #[test]
    fn attributes_come_through_and_those_that_are_too_long_are_named() {
        let attribute = |number: u64| (format!("user.{number}"), vec![0xff_u8; 64 << 10]);
        let comes = |count: u64| {
            let told = line(&Listed::of(entry(0, (0..count).map(attribute).collect()))).unwrap();
            let heard: Listed = serde_json::from_slice(&told).unwrap();
            heard.entry().unwrap().attributes
        };
        let all: Vec<_> = (0..100).map(attribute).collect();
        assert!(comes(100) == all);
        let some = comes(300);
        let (note, value) = some.last().unwrap();
        let left = 300 - (some.len() - 1);
        assert!(note.starts_with(&format!("{left} more, ")) && value.is_empty());
        assert!(100 < some.len() && some.len() < 300);
    }
}
