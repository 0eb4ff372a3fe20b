//! Restore points, and what verifications have found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Finding, Level, PointState, PolicyKind, manifest::FileError};

/// Missing files that a point names itself; its manifest names all.
pub const MISSING_SHOWN: usize = 100;

/// A step of a backup, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    pub phase: String,
    pub took_ms: i64,
}

/// That a point is kept whatever retention says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub principal: String,
    pub reason: String,
    pub at: Timestamp,
}

/// A state of the past that can be brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePoint {
    pub id: Uuid,
    /// Id of its policy, which may be deleted since.
    pub policy: String,
    pub kind: PolicyKind,
    pub state: PointState,
    /// `tasks/{task}/runs/{run}`; empty where it was found in the repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run: String,
    /// The instant as of which its data is.
    pub frozen_at: Timestamp,
    pub created_at: Timestamp,
    /// When it was read back. Without, it counts for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Timestamp>,
    /// When a drill last restored its files and its database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drilled_at: Option<Timestamp>,
    /// The data's snapshot, and the manifest's; empty for exports.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub snapshot: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manifest_snapshot: String,
    /// Of the manifest, so that it is known when read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manifest_sha256: String,
    /// Name and hash of its file, for exports.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file_sha256: String,
    pub files: i64,
    pub source_bytes: i64,
    pub added_bytes: i64,
    pub dump_bytes: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// The first [`MISSING_SHOWN`] of what is missing, and how much is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<FileError>,
    #[serde(default)]
    pub missing_count: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Where it was made of another point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_point: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remove_reason: String,
}

impl RestorePoint {
    /// `restorePoints/{uuid}`.
    pub fn resource_name(&self) -> String {
        format!("restorePoints/{}", self.id)
    }

    /// Whether all is in it, and it has been read back: only such points count.
    pub fn is_good(&self) -> bool {
        self.state == PointState::Complete
            && self.verified_at.is_some()
            && self.removed_at.is_none()
    }
}

/// What a verification has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub id: Uuid,
    pub level: Level,
    pub finding: Finding,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<Uuid>,
    /// `tasks/{task}/runs/{run}`.
    pub run: String,
    pub at: Timestamp,
    pub took_ms: i64,
    pub files: i64,
    pub bytes: i64,
    pub message: String,
}
