//! What a source seems to have lost since a restore point that was believed: a disk that is not mounted, a directory
//! that was emptied, rules that leave out more than before. Pure: figures in, words out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::manifest::{FileError, SnapshotPath, SourceRecord};
use crate::domain::text::text_enum;

/// Sources with fewer files than this may lose nearly all of them without being PARTIAL.
const FEW_FILES: u64 = 20;
/// What is left of files or bytes, in tenths, where it is a fall, and where a source has shrunk.
const FALLEN_TO: u64 = 1;
const SHRUNK_TO: u64 = 7;

text_enum! {
    /// How a source seems to have lost something.
    LossKind {
        /// There is nothing in it.
        Empty = "empty",
        /// At most a tenth of its files or bytes is left.
        Fallen = "fallen",
        /// Rules leave out what an earlier point has.
        LeftOut = "left_out",
        /// At most seven tenths of its files or bytes are left: told, and the point is complete.
        Shrunk = "shrunk",
    }
}

/// That a source seems to have lost something: a doubt until it is accepted, or back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Name of the source.
    pub source: String,
    pub kind: LossKind,
    /// Where it lies in the snapshot.
    pub path: SnapshotPath,
    pub message: String,
}

/// That what a point's sources have lost is as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    pub principal: String,
    pub reason: String,
    pub at: Timestamp,
}

/// What of a source later points are compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFigures {
    pub name: String,
    pub files: u64,
    pub bytes: u64,
    /// A fingerprint of its rules and of their meaning; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules: String,
    /// Its paths that no file is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub empty: Vec<SnapshotPath>,
}

impl SourceFigures {
    pub fn of(record: &SourceRecord) -> Self {
        Self {
            name: record.name.clone(),
            files: record.files,
            bytes: record.bytes,
            rules: record.rules.clone(),
            empty: record.empty.clone(),
        }
    }
}

impl Loss {
    /// Whether a point with it is PARTIAL.
    pub fn is_severe(&self) -> bool {
        self.kind != LossKind::Shrunk
    }

    /// What is missing by it, where something is.
    pub fn error(&self) -> Option<FileError> {
        self.is_severe().then(|| FileError {
            path: self.path.clone(),
            message: self.message.clone(),
        })
    }
}

/// How much of a source is left, where that is little. `is_dump`: it is one file by its nature.
pub fn fall(now: &SourceFigures, base: &SourceFigures, is_dump: bool) -> Option<LossKind> {
    let left = |tenths: u64| {
        let fell = |now: u64, base: u64| {
            0 < base && u128::from(now) * 10 <= u128::from(base) * u128::from(tenths)
        };
        fell(now.files, base.files) || fell(now.bytes, base.bytes)
    };
    if !is_dump && FEW_FILES <= base.files && left(FALLEN_TO) {
        return Some(LossKind::Fallen);
    }
    left(SHRUNK_TO).then_some(LossKind::Shrunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(files: u64, bytes: u64) -> SourceFigures {
        SourceFigures {
            name: "docs".to_owned(),
            files,
            bytes,
            rules: String::new(),
            empty: Vec::new(),
        }
    }

    #[test]
    fn a_fall_is_of_files_or_of_bytes_and_of_more_than_a_few_files() {
        let base = figures(100, 1000);
        let of = |files, bytes| fall(&figures(files, bytes), &base, false);
        assert_eq!(of(100, 1000), None);
        assert_eq!(of(71, 701), None);
        assert_eq!(of(70, 1000), Some(LossKind::Shrunk));
        assert_eq!(of(100, 700), Some(LossKind::Shrunk));
        assert_eq!(of(11, 1000), Some(LossKind::Shrunk));
        assert_eq!(of(10, 1000), Some(LossKind::Fallen));
        assert_eq!(of(100, 100), Some(LossKind::Fallen));
        assert_eq!(of(1000, 10_000), None);
        let few = fall(&figures(1, 1), &figures(19, 1000), false);
        assert_eq!(few, Some(LossKind::Shrunk));
        let dump = fall(&figures(1, 1), &figures(1, 1000), true);
        assert_eq!(dump, Some(LossKind::Shrunk));
        assert_eq!(fall(&figures(0, 0), &figures(0, 0), false), None);
    }
}
