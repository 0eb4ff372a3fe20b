//! The ledger: what became of each slot, without hole or overlap.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    id::{RunId, TaskId},
    text::text_enum,
};

text_enum! {
    /// What became of the slots of a row.
    SlotOutcome {
        Dispatched = "dispatched",
        Coalesced = "coalesced",
        SkippedOverlap = "skipped_overlap",
        SkippedPaused = "skipped_paused",
        SkippedCatchupNone = "skipped_catchup_none",
        SkippedCatchupExpired = "skipped_catchup_expired",
        SkippedCatchupCapped = "skipped_catchup_capped",
        SkippedEdited = "skipped_edited",
        SkippedEnded = "skipped_ended",
        SkippedRestored = "skipped_restored",
        Pruned = "pruned",
    }
}

/// A row: the slots of one task in (`after_at`, `upto_at`]. `after_at` is the previous row's
/// `upto_at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRow {
    pub task_id: TaskId,
    pub after_at: Timestamp,
    pub upto_at: Timestamp,
    pub outcome: SlotOutcome,
    pub reason: String,
    pub count: i64,
    pub first_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
    pub run_id: Option<RunId>,
    pub revision: i64,
    pub tzdb: String,
    pub decided_at: Timestamp,
}
