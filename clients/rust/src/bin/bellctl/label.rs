//! The API's enums in words that people type and read.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use watchbell_client::pb::{
    BackupKind, BackupPolicyState, CatchUpMode, DocumentStatus, Execution, LogStream,
    OverlapPolicy, RestorePointState, RunOutcome, RunState, RunTrigger, Severity, SlotOutcome,
    TaskOrigin, VerificationLevel, VerificationResult,
};

/// An enum with words for its values.
pub(crate) trait Labelled: Copy + TryFrom<i32> + Send + Sync + 'static {
    /// All values but UNSPECIFIED.
    const ALL: &'static [Self];

    /// In words; `-` where it is not told.
    fn label(self) -> &'static str;
}

/// The label of a number on the wire.
pub(crate) fn label_of<E: Labelled>(number: i32) -> &'static str {
    // A newer server may know values that this build does not.
    E::try_from(number).map_or("unknown", E::label)
}

/// Parses a label on the command line.
pub(crate) fn choice<E: Labelled>() -> impl TypedValueParser<Value = E> {
    let labels = E::ALL.iter().map(|value| PossibleValue::new(value.label()));
    PossibleValuesParser::new(labels).try_map(|label| {
        let found = E::ALL.iter().find(|value| value.label() == label);
        found.copied().ok_or("no such value")
    })
}

macro_rules! labels {
    ($($enum:ident { $($variant:ident = $label:literal),+ $(,)? })+) => {$(
        impl Labelled for $enum {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn label(self) -> &'static str {
                match self {
                    Self::Unspecified => "-",
                    $(Self::$variant => $label),+
                }
            }
        }
    )+};
}

labels! {
    RunState {
        Queued = "queued",
        Running = "running",
        RetryWait = "retry-wait",
        Succeeded = "succeeded",
        Failed = "failed",
        TimedOut = "timed-out",
        Cancelled = "cancelled",
        Expired = "expired",
        Abandoned = "abandoned",
    }
    RunOutcome {
        Worked = "worked",
        NothingToDo = "nothing-to-do",
        Partial = "partial",
    }
    RunTrigger {
        Schedule = "schedule",
        Manual = "manual",
        Retry = "retry",
        Backfill = "backfill",
    }
    SlotOutcome {
        Dispatched = "dispatched",
        Coalesced = "coalesced",
        SkippedOverlap = "skipped-overlap",
        SkippedPaused = "skipped-paused",
        SkippedCatchupNone = "skipped-catchup-none",
        SkippedCatchupExpired = "skipped-catchup-expired",
        SkippedCatchupCapped = "skipped-catchup-capped",
        SkippedEdited = "skipped-edited",
        SkippedEnded = "skipped-ended",
        SkippedRestored = "skipped-restored",
        Pruned = "pruned",
    }
    OverlapPolicy {
        Skip = "skip",
        BufferOne = "buffer-one",
        Allow = "allow",
    }
    CatchUpMode {
        Latest = "latest",
        All = "all",
        None = "none",
    }
    Execution {
        AtLeastOnce = "at-least-once",
        AtMostOnce = "at-most-once",
    }
    TaskOrigin {
        BuiltIn = "built-in",
        Configuration = "configuration",
        Api = "api",
        Policy = "policy",
    }
    Severity {
        Ok = "ok",
        Warning = "warning",
        Critical = "critical",
    }
    DocumentStatus {
        Draft = "draft",
        PendingReview = "pending-review",
        UnderReview = "under-review",
        Reviewed = "reviewed",
        PendingApproval = "pending-approval",
        UnderApproval = "under-approval",
        ApprovedPendingEffective = "approved-pending-effective",
        Effective = "effective",
        ScheduledForObsolescence = "scheduled-for-obsolescence",
        Superseded = "superseded",
        Obsolete = "obsolete",
        Terminated = "terminated",
    }
    BackupKind {
        Full = "full",
        Export = "export",
        Archive = "archive",
    }
    BackupPolicyState {
        Active = "active",
        Disabled = "disabled",
        Unavailable = "unavailable",
    }
    RestorePointState {
        Complete = "complete",
        Partial = "partial",
    }
    VerificationLevel {
        Structure = "structure",
        Read = "read",
        Drill = "drill",
        Database = "database",
        Export = "export",
    }
    VerificationResult {
        Passed = "passed",
        Failed = "failed",
        NotPossible = "not-possible",
    }
    LogStream {
        Log = "log",
        Stdout = "stdout",
        Stderr = "stderr",
    }
}
