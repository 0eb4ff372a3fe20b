//! What is in a restore point, as its manifest says. The manifest is the second snapshot of a backup, and only it
//! makes a restore point of the first. It is JSON Lines: first what is said of the whole ([`Manifest`]), then a line for
//! each file ([`FileRecord`]) in the order of a walk, and last how many there were ([`End`]), so that one that is cut off
//! is not taken for one of fewer files.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::loss::Loss;

/// The newest form of a manifest that is understood: the one that is written.
pub const MANIFEST_FORMAT: u32 = 2;
/// The form before it: one JSON object, in which `files` is a list.
pub const MANIFEST_FORMAT_OLD: u32 = 1;

/// What is in a restore point, but for its files. As JSON: fields in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Id of the restore point.
    pub point: uuid::Uuid,
    pub policy: String,
    /// `tasks/{task}/runs/{run}`.
    pub run: String,
    pub attempt: i64,
    pub cluster: String,
    /// Of the server that made it.
    pub version: String,
    /// The instant as of which the data is.
    pub frozen_at: Timestamp,
    /// Id of the snapshot that it describes.
    pub snapshot: String,
    pub sources: Vec<SourceRecord>,
    /// What should be in it and is not.
    pub errors: Vec<FileError>,
    /// What its sources seem to have lost; the severe ones are among the errors, until they are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
}

/// How many files a manifest has, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub files: u64,
    pub bytes: u64,
}

impl Totals {
    pub fn add(&mut self, size: u64) {
        self.files += 1;
        // Sizes come from what may be damaged.
        self.bytes = self.bytes.saturating_add(size);
    }
}

/// The last line of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub end: Totals,
}

impl Manifest {
    /// Takes what was accepted for no loss: what is missing besides stays so.
    pub fn accept(&mut self) {
        let lost: Vec<FileError> = self.losses.iter().filter_map(Loss::error).collect();
        self.errors.retain(|error| !lost.contains(error));
    }
}

/// One source, as it was backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// `database` and `content` are the server's own; others are of the configuration.
    pub name: String,
    /// `sqlite`, `postgresql`, `content` or `paths`.
    pub kind: String,
    /// Where it lies in the snapshot.
    pub root: SnapshotPath,
    pub files: u64,
    pub bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<DumpRecord>,
    /// A fingerprint of what was to be read of it, and of the meaning of its patterns; empty for dumps, and where an
    /// older server has made it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules: String,
    /// Its paths that no file is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty: Vec<SnapshotPath>,
    /// Whether some of it was not read, for want of what it demands, such as a disk that is mounted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub skipped: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A database's dump: one file of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpRecord {
    pub path: SnapshotPath,
    pub size: u64,
    pub sha256: String,
    /// Of the database's server, or of the SQLite library.
    pub server_version: String,
    /// Rows of each table, by its name (`schema.table` outside of `public`), at the instant of the dump.
    pub tables: BTreeMap<String, i64>,
    /// The newest migration, where it is a database of this server.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// References of documents to contents, at that instant: how many, and their bytes.
    #[serde(default)]
    pub references: u64,
    #[serde(default)]
    pub referenced_bytes: u64,
}

/// A file in the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    pub path: SnapshotPath,
    pub size: u64,
    /// Nanoseconds since the Unix epoch.
    pub mtime: i64,
    pub sha256: String,
}

/// Something that should be in the snapshot, and is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileError {
    pub path: SnapshotPath,
    pub message: String,
}

impl FileError {
    /// Stands for all that there is, of which none comes back.
    pub fn of_all(message: String) -> Self {
        Self {
            path: "/".into(),
            message,
        }
    }
}

/// A path in a snapshot, absolute: bytes, as Unix has them. As text it is UTF-8, with `\xNN` for bytes that are
/// not and for control characters, and `\\` for a backslash; so it has one line and is read back exactly.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotPath(pub Vec<u8>);

impl SnapshotPath {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a path is this one, or leads from here on.
    pub fn contains(&self, path: &Self) -> bool {
        self.holds(&path.0)
    }

    /// As [`Self::contains`], of a path's bytes.
    pub fn holds(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(self.0.as_slice());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    }

    /// Whether it begins with one of these; with anything where there are none.
    pub fn begins_with_any(&self, paths: &[Self]) -> bool {
        paths.is_empty() || paths.iter().any(|begin| self.0.starts_with(&begin.0))
    }

    /// Where it lies once what it is of was restored into a folder.
    pub fn below(&self, folder: &Path) -> PathBuf {
        let path = Path::new(OsStr::from_bytes(&self.0));
        folder.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What is called `name` in it.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.len());
        path.extend_from_slice(&self.0);
        path.push(b'/');
        path.extend_from_slice(name);
        Self(path)
    }

    /// What it is read back from.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => text.push_str("\\\\"),
                    control if control.is_control() => {
                        let mut bytes = [0; 4];
                        for byte in control.encode_utf8(&mut bytes).bytes() {
                            text.push_str(&format!("\\x{byte:02x}"));
                        }
                    }
                    other => text.push(other),
                }
            }
            for byte in chunk.invalid() {
                text.push_str(&format!("\\x{byte:02x}"));
            }
        }
        text
    }

    /// Reads what [`Self::to_text`] has written; none where it is not that.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            let escape = &rest[at + 1..];
            if let Some(after) = escape.strip_prefix('\\') {
                bytes.push(b'\\');
                rest = after;
                continue;
            }
            let digits = escape.strip_prefix('x')?.get(..2)?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &escape[3..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        Some(Self(bytes))
    }

    /// As [`Self::from_text`], of an absolute one alone.
    pub fn from_absolute(text: &str) -> Option<Self> {
        Self::from_text(text).filter(|_| text.starts_with('/'))
    }
}

impl From<&str> for SnapshotPath {
    fn from(path: &str) -> Self {
        Self(path.as_bytes().to_vec())
    }
}

impl std::fmt::Display for SnapshotPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl std::fmt::Debug for SnapshotPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotPath({})", self.to_text())
    }
}

impl Serialize for SnapshotPath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for SnapshotPath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        Self::from_text(&text).ok_or_else(|| de::Error::custom("expected a path of a snapshot"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_path_is_read_back_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let path = SnapshotPath(bytes);
            let text = path.to_text();
            prop_assert!(!text.contains(char::is_control));
            prop_assert_eq!(SnapshotPath::from_text(&text), Some(path));
        }
    }

    #[test]
    fn where_a_path_comes_to_lie_is_below_the_folder_by_its_very_bytes() {
        let below = |path: &str| SnapshotPath::from(path).below(Path::new("/to"));
        assert_eq!(below("/database/a"), Path::new("/to/database/a"));
        assert_eq!(below("/a\\b"), Path::new("/to/a\\b"));
        assert_eq!(below("//a"), Path::new("/to/a"));
    }
}
