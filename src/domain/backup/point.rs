//! Restore points, and what verifications have found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Finding, Level, PointState, PolicyKind,
    loss::{Acceptance, Loss, SourceFigures},
    manifest::FileError,
    verdict::{Names, is_zero},
};
use crate::error::{Error, Reason, Result};

/// Missing files that a point names itself; its manifest names all.
pub const MISSING_SHOWN: usize = 100;
/// Characters of what was found damaged, and files of it that a point names itself; the verdict beside its manifest names
/// all.
const DAMAGE_SHOWN: usize = 1000;
pub const DAMAGED_SHOWN: usize = 1000;

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

/// What a verification has found to be wrong with a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    pub at: Timestamp,
    pub what: String,
    /// The first of all that was found damaged since it was last whole, by whichever look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<FileError>,
    /// How much is damaged and not in these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
}

impl Damage {
    pub fn names(&self) -> Names {
        Names::new(self.names.iter().cloned(), self.more)
    }

    /// How much was found damaged, named or not.
    pub fn count(&self) -> u64 {
        self.more.saturating_add(self.names.len() as u64)
    }
}

/// Why a point is written down as removed that an instance did not find in the repository that it was restored from. Another
/// one may hold it: nothing of it is forgotten by that.
pub const NOT_FOUND_AT_RESTORE: &str =
    "it is not in the repository that the instance was restored from";

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
    /// Set while it is known that not all of it comes back as it was; it is neither verified nor drilled then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
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
    /// Whether the server's own database is in it.
    #[serde(default)]
    pub own_database: bool,
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
    /// What each of its sources holds, for later points to be compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceFigures>,
    /// What its sources seem to have lost; the severe ones are missing, until they are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// That they have lost nothing that should be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Acceptance>,
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

    /// Refuses one that was removed.
    ///
    /// # Errors
    /// [`Error::Conflict`] `REMOVED`
    pub fn expect_there(&self) -> Result<()> {
        if self.removed_at.is_none() {
            return Ok(());
        }
        let name = self.resource_name();
        let message = format!("{name} was removed: {}", self.remove_reason);
        Err(Error::conflict(Reason::Removed, name, message))
    }

    pub fn damaged_at(&self) -> Option<Timestamp> {
        self.damage.as_ref().map(|damage| damage.at)
    }

    /// Notes that some of it did not come back as it was: from now on it counts for nothing. What is known already to be
    /// damaged stays named.
    pub fn found_damaged(&mut self, at: Timestamp, what: &str) {
        self.verified_at = None;
        self.drilled_at = None;
        let before = self.damage.take();
        let (names, more) = before.map_or_else(Default::default, |one| (one.names, one.more));
        self.damage = Some(Damage {
            at,
            what: what.chars().take(DAMAGE_SHOWN).collect(),
            names,
            more,
        });
    }

    /// Names what is damaged, where it is: all that the repository says, or what a look has found besides.
    pub fn name_damaged(&mut self, names: &Names) {
        if let Some(damage) = &mut self.damage {
            let before = damage.names();
            let all = before.and(names);
            let shown = all.first(DAMAGED_SHOWN);
            damage.names = shown.named().to_vec();
            damage.more = shown.more();
        }
    }

    /// Notes what was found missing in it besides what its manifest says.
    pub fn found_lacking(&mut self, names: &Names) {
        if names.is_empty() {
            return;
        }
        self.state = PointState::Partial;
        let count = i64::try_from(names.count()).unwrap_or(i64::MAX);
        self.missing_count = self.missing_count.saturating_add(count);
        let room = MISSING_SHOWN.saturating_sub(self.missing.len());
        self.missing
            .extend(names.named().iter().take(room).cloned());
    }

    /// Notes that its dumps, and more of it, came back as they were. That takes no damage back: who samples may miss it.
    pub fn found_whole_in_part(&mut self, at: Timestamp) {
        if self.damage.is_none() && self.verified_at.is_none() {
            self.verified_at = Some(at);
        }
    }

    /// Notes that every file of it came back as it was.
    pub fn found_whole(&mut self, at: Timestamp) {
        self.damage = None;
        self.found_whole_in_part(at);
    }

    /// Notes that a drill has restored its files and its database, or could not.
    pub fn found_by_drill(&mut self, passed: bool, at: Timestamp) {
        self.drilled_at = (passed && self.damage.is_none()).then_some(at);
    }

    /// Notes what a repository says of it that was not known: that it was accepted, is damaged, or lacks more.
    pub fn follow(&mut self, said: &Self) {
        if let Some(acceptance) = said.accepted.clone().filter(|_| self.accepted.is_none()) {
            self.accept(acceptance);
        }
        if let Some(damage) = &said.damage {
            if self.damage.is_none() {
                self.found_damaged(damage.at, &damage.what);
            }
            self.name_damaged(&damage.names());
        }
        let lacks_more =
            self.state == PointState::Complete || self.missing_count < said.missing_count;
        if said.state == PointState::Partial && lacks_more {
            self.state = PointState::Partial;
            self.missing.clone_from(&said.missing);
            self.missing_count = said.missing_count;
        }
    }

    /// What its sources seem to have lost, and nobody has accepted.
    pub fn open_losses(&self) -> &[Loss] {
        match self.accepted {
            None => &self.losses,
            Some(_) => &[],
        }
    }

    /// Notes that what its sources have lost is as it should be. What is missing besides stays so.
    pub fn accept(&mut self, acceptance: Acceptance) {
        if self.accepted.is_none() {
            let lost: Vec<FileError> = self.losses.iter().filter_map(Loss::error).collect();
            self.missing.retain(|missing| !lost.contains(missing));
            let lost = i64::try_from(lost.len()).unwrap_or(i64::MAX);
            self.missing_count = self.missing_count.saturating_sub(lost).max(0);
            if self.missing_count == 0 {
                self.state = PointState::Complete;
            }
        }
        self.accepted = Some(acceptance);
    }

    /// Whether all is in it, and it has been read back: only such points count.
    pub fn is_good(&self) -> bool {
        self.state == PointState::Complete
            && self.verified_at.is_some()
            && self.damage.is_none()
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
    /// Which repository it is of, where it is of no point: `primary`, or none for that, or `archive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// `tasks/{task}/runs/{run}`.
    pub run: String,
    pub at: Timestamp,
    pub took_ms: i64,
    pub files: i64,
    pub bytes: i64,
    pub message: String,
}

impl Evidence {
    /// The repository that it is of, where it is of no point.
    pub fn repository(&self) -> &str {
        self.place.as_deref().unwrap_or("primary")
    }
}
