//! Lines that are filled by their bytes. What is of the disk has no bound that is worth the name: a path may be 65 KB long,
//! which is five times that as text, and so may be each of the files of a directory.

use std::io::{self, Write};

use serde::Serialize;

use crate::{
    backup::repository::{Records, Result},
    domain::backup::manifest::FileRecord,
};

/// Bytes of what one line tells, unless one alone is more.
const BYTES_AT_ONCE: usize = 256 << 10;

/// What is told by one line, while it is filled.
pub(super) struct Filling<T> {
    some: Vec<T>,
    bytes: usize,
}

impl<T: Serialize> Filling<T> {
    pub(super) fn new() -> Self {
        Self {
            some: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds one, behind the others; gives those that were there, where there is no room for it beside them.
    pub(super) fn add(&mut self, one: T) -> Option<Vec<T>> {
        let bytes = bytes_of(&one) + 1;
        let mut full = None;
        if BYTES_AT_ONCE < self.bytes + bytes && !self.some.is_empty() {
            full = Some(std::mem::take(&mut self.some));
            self.bytes = 0;
        }
        self.some.push(one);
        self.bytes += bytes;
        full
    }

    /// The last ones.
    pub(super) fn rest(self) -> Vec<T> {
        self.some
    }
}

/// Tells all of these, as many at once as a line has room for.
///
/// # Errors
/// The first of `tell`.
pub(super) fn in_lines<T: Serialize, E>(
    all: impl IntoIterator<Item = T>,
    mut tell: impl FnMut(Vec<T>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    let mut filling = Filling::new();
    for one in all {
        if let Some(full) = filling.add(one) {
            tell(full)?;
        }
    }
    let rest = filling.rest();
    match rest.is_empty() {
        true => Ok(()),
        false => tell(rest),
    }
}

/// Tells records likewise, until `tell` wants no more, and says whether those were all. What cannot be read is as if it was
/// not there.
///
/// # Errors
/// The first of `tell`.
pub(super) fn records_in_lines(
    records: &dyn Records,
    tell: &mut dyn FnMut(Vec<FileRecord>) -> Result<bool>,
) -> Result<bool> {
    let Ok(all) = records.all() else {
        return Ok(false);
    };
    let mut whole = true;
    let mut filling = Filling::new();
    for record in all {
        let Ok(record) = record else {
            whole = false;
            break;
        };
        if let Some(full) = filling.add(record)
            && !tell(full)?
        {
            return Ok(false);
        }
    }
    Ok(tell(filling.rest())? && whole)
}

/// Bytes of something as a line has it. What cannot be written fails where it is told.
pub(super) fn bytes_of(what: &impl Serialize) -> usize {
    let mut counted = Counted(0);
    let _ = serde_json::to_writer(&mut counted, what);
    counted.0
}

/// Takes bytes for their number alone.
struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        super::wire::{Told, line},
        *,
    };
    use crate::domain::backup::{manifest::SnapshotPath, table::Table};

    /// A directory 65 KB deep, of which a line takes more.
    pub(in super::super) fn deep() -> SnapshotPath {
        let name = [[b'a'; 200].as_slice(), &[b'\\'; 55]].concat();
        let root = SnapshotPath(Vec::new());
        (0..255).fold(root, |path, _| path.join(&name))
    }

    fn record(number: u64) -> FileRecord {
        FileRecord {
            path: deep().join(number.to_string().as_bytes()),
            size: 1,
            mtime: 2,
            sha256: "0".repeat(64),
        }
    }

    #[test]
    fn a_line_is_filled_and_what_is_longer_than_that_has_one_of_its_own() {
        let mut told: Vec<Vec<String>> = Vec::new();
        let long = "x".repeat(2 * BYTES_AT_ONCE);
        let all = ["a".to_owned(), "b".to_owned(), long, "c".to_owned()];
        let done = in_lines(all, |some| {
            told.push(some);
            Ok::<(), io::Error>(())
        });
        done.unwrap();
        let counts: Vec<usize> = told.iter().map(Vec::len).collect();
        assert_eq!(counts, [2, 1, 1]);
        assert_eq!(bytes_of(&"\u{1}\""), r#""\u0001\"""#.len());
    }

    #[test]
    fn records_of_files_in_a_very_deep_directory_all_come() {
        let mut table = Table::default();
        for number in 0..300 {
            assert!(table.add_record(&record(number)));
        }
        let mut came = 0;
        let whole = records_in_lines(&table, &mut |some| {
            came += some.len();
            line(&Told::Records(some)).unwrap();
            Ok(true)
        });
        assert!(whole.unwrap());
        assert_eq!(came, 300);
        let stopped = records_in_lines(&table, &mut |_| Ok(false));
        assert!(!stopped.unwrap());
    }
}
