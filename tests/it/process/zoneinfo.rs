//! A tz database of a test's own, with one zone, whose rules are put in place of others while servers run.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The zone.
pub(crate) const ZONE: &str = "Test/Moved";

#[derive(Debug)]
pub(crate) struct Zoneinfo {
    folder: PathBuf,
}

impl Zoneinfo {
    pub(crate) fn new(folder: PathBuf, version: &str, offset: i32) -> Self {
        fs::create_dir_all(folder.join("Test")).unwrap();
        let zoneinfo = Self { folder };
        zoneinfo.update(version, offset);
        zoneinfo
    }

    /// What a server must find in its environment.
    pub(crate) fn variable(&self) -> (&'static str, &Path) {
        ("TZDIR", &self.folder)
    }

    /// As an update of the package does: each file whole or not at all, one after the other.
    pub(crate) fn update(&self, version: &str, offset: i32) {
        self.put(ZONE, &fixed(offset));
        let source = format!("# version {version}\n# and so on\n");
        self.put("tzdata.zi", source.as_bytes());
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let new = self.folder.join("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(&new, self.folder.join(name)).unwrap();
    }
}

/// A zone that is always so many seconds ahead of UTC, as RFC 8536 writes it.
fn fixed(offset: i32) -> Vec<u8> {
    let counts = [0_u32, 0, 0, 0, 1, 4];
    let mut block = b"TZif2".to_vec();
    block.extend([0; 15]);
    block.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
    block.extend(offset.to_be_bytes());
    block.extend([0, 0]);
    block.extend(b"TST\0");
    let mut file = block.repeat(2);
    // POSIX counts westwards.
    let sign = if offset < 0 { '+' } else { '-' };
    let seconds = offset.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let rule = format!("\nTST{sign}{hours}:{minutes:02}:{seconds:02}\n");
    file.extend(rule.as_bytes());
    file
}
