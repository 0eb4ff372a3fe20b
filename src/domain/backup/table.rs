//! Files with their sizes, times and hashes, held compactly: 64 bytes a file besides its path. A backup knows each of its
//! files until its manifest is written, and may have millions of them.

use std::cmp::Ordering;

use super::manifest::{FileRecord, SnapshotPath};

/// Bytes of paths that are held together.
const CHUNK: usize = 1 << 20;

/// Where what is known of a file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was read.
    Read,
    /// It was taken from an earlier snapshot, and its hash is known.
    Carried,
    /// It was taken from an earlier snapshot, and its hash is to be found.
    Unhashed,
    /// The same, of a file without which there is no snapshot.
    UnhashedNeeded,
}

/// Files, each once.
#[derive(Clone, Default)]
pub struct Table {
    rows: Vec<Fixed>,
    chunks: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
struct Fixed {
    sha256: [u8; 32],
    size: u64,
    mtime: i64,
    /// Where its path is: which chunk, where it begins there, and how long it is.
    chunk: u32,
    at: u32,
    length: u32,
    origin: Origin,
}

/// A file of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    pub path: &'a [u8],
    pub size: u64,
    /// Nanoseconds since the Unix epoch.
    pub mtime: i64,
    pub sha256: [u8; 32],
    pub origin: Origin,
}

impl Row<'_> {
    pub fn record(&self) -> FileRecord {
        FileRecord {
            path: SnapshotPath(self.path.to_vec()),
            size: self.size,
            mtime: self.mtime,
            sha256: hex(&self.sha256),
        }
    }
}

impl Table {
    /// Adds a file, behind those that are there.
    pub fn add(&mut self, row: Row<'_>) {
        let fits = |chunk: &Vec<u8>| chunk.len() + row.path.len() <= chunk.capacity();
        if !self.chunks.last().is_some_and(fits) {
            self.chunks
                .push(Vec::with_capacity(CHUNK.max(row.path.len())));
        }
        let chunk = (self.chunks.len() - 1) as u32;
        let Some(last) = self.chunks.last_mut() else {
            return;
        };
        let at = last.len() as u32;
        last.extend_from_slice(row.path);
        self.rows.push(Fixed {
            sha256: row.sha256,
            size: row.size,
            mtime: row.mtime,
            chunk,
            at,
            length: row.path.len() as u32,
            origin: row.origin,
        });
    }

    /// Adds what a manifest says of a file; says whether its hash is one.
    pub fn add_record(&mut self, record: &FileRecord) -> bool {
        let Some(sha256) = digest(&record.sha256) else {
            return false;
        };
        self.add(Row {
            path: record.path.as_bytes(),
            size: record.size,
            mtime: record.mtime,
            sha256,
            origin: Origin::Read,
        });
        true
    }

    /// Brings the files into the order of a walk.
    pub fn sort(&mut self) {
        let chunks = &self.chunks;
        let path = |row: &Fixed| path_of(chunks, row);
        self.rows
            .sort_unstable_by(|one, other| in_order_of_a_walk(path(one), path(other)));
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The file at a place; none behind the last.
    pub fn get(&self, place: usize) -> Option<Row<'_>> {
        self.rows.get(place).map(|row| self.row(row))
    }

    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|row| self.row(row))
    }

    /// What is said of each.
    pub fn records(&self) -> impl Iterator<Item = FileRecord> {
        self.iter().map(|row| row.record())
    }

    /// A file by its path. The table is in the order of a walk.
    pub fn find(&self, path: &SnapshotPath) -> Option<Row<'_>> {
        self.get(self.place_of(path))
            .filter(|row| row.path == path.as_bytes())
    }

    /// A path, and what lies in it. The table is in the order of a walk.
    pub fn below<'a>(&'a self, path: &'a SnapshotPath) -> impl Iterator<Item = Row<'a>> {
        let rows = self
            .rows
            .get(self.place_of(path)..)
            .unwrap_or_default()
            .iter();
        rows.map(|row| self.row(row))
            .take_while(|row| path.holds(row.path))
    }

    /// Where the first is that does not come before a path.
    fn place_of(&self, path: &SnapshotPath) -> usize {
        let is_before = |row: &Fixed| {
            in_order_of_a_walk(path_of(&self.chunks, row), path.as_bytes()) == Ordering::Less
        };
        self.rows.partition_point(is_before)
    }

    /// Notes the hash of a file that was taken from an earlier snapshot.
    pub fn set_hash(&mut self, place: usize, sha256: [u8; 32]) {
        if let Some(row) = self.rows.get_mut(place) {
            row.sha256 = sha256;
            row.origin = Origin::Carried;
        }
    }

    /// Leaves out what is not wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(Row<'_>) -> bool) {
        let chunks = &self.chunks;
        self.rows.retain(|row| wanted(row_of(chunks, row)));
    }

    fn row<'a>(&'a self, row: &Fixed) -> Row<'a> {
        row_of(&self.chunks, row)
    }
}

fn row_of<'a>(chunks: &'a [Vec<u8>], row: &Fixed) -> Row<'a> {
    Row {
        path: path_of(chunks, row),
        size: row.size,
        mtime: row.mtime,
        sha256: row.sha256,
        origin: row.origin,
    }
}

fn path_of<'a>(chunks: &'a [Vec<u8>], row: &Fixed) -> &'a [u8] {
    let (from, length) = (row.at as usize, row.length as usize);
    let chunk = chunks.get(row.chunk as usize);
    chunk
        .and_then(|chunk| chunk.get(from..from + length))
        .unwrap_or_default()
}

/// Compares paths by their names: a directory comes before what is in it, and that before what stands beside it. So a
/// walk through a snapshot meets them.
pub fn in_order_of_a_walk(one: &[u8], other: &[u8]) -> Ordering {
    // What ends a name is before whatever may go on in one.
    let rank = |byte: u8| (byte != b'/').then_some(byte);
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    match differs {
        None => one.len().cmp(&other.len()),
        Some(at) => rank(one[at]).cmp(&rank(other[at])),
    }
}

/// The bytes that 64 hexadecimal digits are; none where it is anything else.
pub fn digest(sha256: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let is_hex = |byte: u8| byte.is_ascii_hexdigit();
    if sha256.len() != 2 * bytes.len() || !sha256.bytes().all(is_hex) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(sha256.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Hexadecimal digits, two a byte.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(paths: &[&str]) -> Table {
        let mut table = Table::default();
        for path in paths {
            table.add(Row {
                path: path.as_bytes(),
                size: path.len() as u64,
                mtime: -1,
                sha256: [7; 32],
                origin: Origin::Read,
            });
        }
        table.sort();
        table
    }

    fn names<'a>(rows: impl Iterator<Item = Row<'a>>) -> Vec<&'a str> {
        rows.map(|row| std::str::from_utf8(row.path).unwrap())
            .collect()
    }

    #[test]
    fn what_is_in_a_directory_comes_before_what_stands_beside_it() {
        let table = of(&["/a.txt", "/a-b/c", "/a/z", "/a/b/c", "/a/b.d", "/b"]);
        let wanted = ["/a/b/c", "/a/b.d", "/a/z", "/a-b/c", "/a.txt", "/b"];
        assert_eq!(names(table.iter()), wanted);
        assert_eq!(names(table.below(&"/a".into())), &wanted[..3]);
        assert_eq!(names(table.below(&"/a.txt".into())), ["/a.txt"]);
        assert!(names(table.below(&"/c".into())).is_empty());
        assert!(names(table.below(&"/a/b.".into())).is_empty());
        assert_eq!(table.find(&"/a/b.d".into()).unwrap().size, 6);
        assert_eq!(table.find(&"/a".into()), None);
    }

    #[test]
    fn hashes_are_found_later_and_what_is_gone_is_left_out() {
        let mut table = of(&["/a", "/b", "/c"]);
        table.set_hash(1, [9; 32]);
        table.set_hash(9, [9; 32]);
        table.retain(|row| row.path != b"/a");
        let record = table.get(0).unwrap();
        assert_eq!((record.sha256, record.origin), ([9; 32], Origin::Carried));
        assert_eq!(table.records().next().unwrap().sha256, "09".repeat(32));
        assert_eq!(table.len(), 2);
        assert!(table.get(2).is_none());
    }

    #[test]
    fn more_paths_than_a_chunk_holds_are_held() {
        let mut table = Table::default();
        for number in 0..30_000_u64 {
            let path = format!("/{}/{number:05}", "n".repeat(60));
            table.add(Row {
                path: path.as_bytes(),
                size: number,
                mtime: 0,
                sha256: [0; 32],
                origin: Origin::Read,
            });
        }
        assert!(1 < table.chunks.len());
        for (number, row) in table.iter().enumerate() {
            assert!(row.path.ends_with(format!("/{number:05}").as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn a_digest_is_read_back_as_it_was(bytes in any::<[u8; 32]>()) {
            prop_assert_eq!(digest(&hex(&bytes)), Some(bytes));
        }

        #[test]
        fn the_order_is_that_of_names(one in "(/[a./-]{1,3}){1,3}", other in "(/[a./-]{1,3}){1,3}") {
            // Names of a path are never empty.
            prop_assume!(!one.contains("//") && !other.contains("//"));
            prop_assume!(!one.ends_with('/') && !other.ends_with('/'));
            let by_names = one.split('/').cmp(other.split('/'));
            prop_assert_eq!(in_order_of_a_walk(one.as_bytes(), other.as_bytes()), by_names);
        }
    }
}
