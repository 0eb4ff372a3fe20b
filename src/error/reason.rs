//! The reasons that errors carry: what a program that calls may tell apart, whatever the message says.

/// What an error is about, where it is about a thing by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    Task,
    Run,
    Document,
    BackupPolicy,
    RestorePoint,
    GoodRestorePoint,
    RestorePointEntry,
    Database,
}

impl Thing {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Run => "run",
            Self::Document => "document",
            Self::BackupPolicy => "backup policy",
            Self::RestorePoint => "restore point",
            Self::GoodRestorePoint => "good restore point",
            Self::RestorePointEntry => "entry of the restore point",
            Self::Database => "database",
        }
    }

    /// The reason of an error that says that there is none of this name.
    pub fn not_found(self) -> Reason {
        match self {
            Self::Task => Reason::TaskNotFound,
            Self::Run => Reason::RunNotFound,
            Self::Document => Reason::DocumentNotFound,
            Self::BackupPolicy => Reason::BackupPolicyNotFound,
            Self::RestorePoint | Self::GoodRestorePoint => Reason::RestorePointNotFound,
            Self::RestorePointEntry => Reason::RestorePointEntryNotFound,
            // The server names it itself.
            Self::Database => Reason::Internal,
        }
    }

    /// The reason of an error that says that there is one of this name already.
    pub fn exists(self) -> Reason {
        match self {
            Self::Document => Reason::DocumentExists,
            Self::BackupPolicy => Reason::BackupPolicyExists,
            // Nobody but the server names runs and restore points.
            Self::Database => Reason::DatabaseExists,
            Self::Task
            | Self::Run
            | Self::RestorePoint
            | Self::GoodRestorePoint
            | Self::RestorePointEntry => Reason::TaskExists,
        }
    }
}

macro_rules! reasons {
    ($($name:ident = $code:literal in $status:ident, $meaning:literal;)*) => {
        /// The reason of an error: `google.rpc.ErrorInfo.reason`. One is never renamed, and never means another thing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// Each there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it is called outside.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The gRPC status that it comes with.
            pub fn status(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($status),)*
                }
            }

            /// What it means, and what to do about it.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

reasons! {
    InvalidField = "INVALID_FIELD" in INVALID_ARGUMENT,
        "A field of the request is wrong: the violations of `BadRequest` name each, and what was expected. What it names may have to be made first; else the same request never succeeds.";
    TaskNotFound = "TASK_NOT_FOUND" in NOT_FOUND,
        "No task has this name; `near_names` are some that are close.";
    RunNotFound = "RUN_NOT_FOUND" in NOT_FOUND,
        "No run has this name; its history may have been pruned.";
    DocumentNotFound = "DOCUMENT_NOT_FOUND" in NOT_FOUND,
        "No document has this number and version; `near_names` are some that are close.";
    BackupPolicyNotFound = "BACKUP_POLICY_NOT_FOUND" in NOT_FOUND,
        "No backup policy has this name; `near_names` are some that are close.";
    RestorePointNotFound = "RESTORE_POINT_NOT_FOUND" in NOT_FOUND,
        "No restore point has this name, or none that is good where the latest was asked for.";
    RestorePointEntryNotFound = "RESTORE_POINT_ENTRY_NOT_FOUND" in NOT_FOUND,
        "The restore point has no such directory, or no such file: `ListRestorePointEntries` tells what there is.";
    TaskExists = "TASK_EXISTS" in ALREADY_EXISTS,
        "A task has this name: take another, or update that one.";
    DocumentExists = "DOCUMENT_EXISTS" in ALREADY_EXISTS,
        "A document has this number: begin a next version of it.";
    BackupPolicyExists = "BACKUP_POLICY_EXISTS" in ALREADY_EXISTS,
        "A backup policy has this name: take another, or update that one.";
    DatabaseExists = "DATABASE_EXISTS" in ALREADY_EXISTS,
        "The database that a restore would make is there already.";
    TokenRequired = "TOKEN_REQUIRED" in UNAUTHENTICATED,
        "The call has no header `authorization: Bearer TOKEN`.";
    WrongToken = "WRONG_TOKEN" in UNAUTHENTICATED,
        "The call has a token, and it is not this server's: read it anew.";
    Denied = "DENIED" in PERMISSION_DENIED,
        "Who calls, or on whose behalf, may not do this: the message says why.";
    Replaced = "REPLACED" in FAILED_PRECONDITION,
        "What the token belongs to was deleted, and another thing has its name by now: begin without a token, to see the other.";
    Paused = "PAUSED" in FAILED_PRECONDITION,
        "The task, or everything, is paused: resume it, or insist by `ignore_pause` where the call has that.";
    NotPaused = "NOT_PAUSED" in FAILED_PRECONDITION,
        "There is no pause to end.";
    Overlap = "OVERLAP" in FAILED_PRECONDITION,
        "A run of the task is under way, and its policy lets no other begin: wait for it, or cancel it.";
    Ended = "ENDED" in FAILED_PRECONDITION,
        "The run has ended: there is nothing to cancel.";
    NotEnded = "NOT_ENDED" in FAILED_PRECONDITION,
        "The run has not ended: there is nothing to retry.";
    NotDeletable = "NOT_DELETABLE" in FAILED_PRECONDITION,
        "It does not belong to the API: the message names what it belongs to, and where to remove it.";
    NotOverridden = "NOT_OVERRIDDEN" in FAILED_PRECONDITION,
        "The task was made through the API: there is nothing below it to go back to.";
    OwnedByPolicy = "OWNED_BY_POLICY" in FAILED_PRECONDITION,
        "The field belongs to the backup policy that owns the task: change it there.";
    ConfigurationOlder = "CONFIGURATION_OLDER" in FAILED_PRECONDITION,
        "This server was started with an older configuration than the one in force: ask another, or start it with the newer.";
    ClockHeld = "CLOCK_HELD" in FAILED_PRECONDITION,
        "The clock has jumped, and nothing is decided by it: set it right, accept it, or wait.";
    ClockNotHeld = "CLOCK_NOT_HELD" in FAILED_PRECONDITION,
        "Nothing is held back: there is no clock to accept.";
    NotAhead = "NOT_AHEAD" in FAILED_PRECONDITION,
        "The task is not decided beyond now: there is nothing to realign.";
    IllegalTransition = "ILLEGAL_TRANSITION" in FAILED_PRECONDITION,
        "The document's status allows no such step: the message names those that it allows.";
    NotDue = "NOT_DUE" in FAILED_PRECONDITION,
        "The document's day has not come, or it has none.";
    NewerInForce = "NEWER_IN_FORCE" in FAILED_PRECONDITION,
        "A later version of the document is in force already.";
    HasDependants = "HAS_DEPENDANTS" in FAILED_PRECONDITION,
        "Documents that are not final depend on this one, or on the number whose place it takes: the message names them.";
    VersionOpen = "VERSION_OPEN" in FAILED_PRECONDITION,
        "A later version of the document is under way: end that first.";
    NoContent = "NO_CONTENT" in FAILED_PRECONDITION,
        "The document has no content: there is nothing to download, and to approve it takes `without_content`.";
    ContentMissing = "CONTENT_MISSING" in FAILED_PRECONDITION,
        "The content should be stored, and is not: restore it from a backup, or upload it again.";
    ContentDamaged = "CONTENT_DAMAGED" in FAILED_PRECONDITION,
        "The content that is stored is not what it was: restore it from a backup, or upload it again.";
    UploadOffset = "UPLOAD_OFFSET" in FAILED_PRECONDITION,
        "The upload goes on elsewhere than the server has it: ask GetUpload, and send from there.";
    Removed = "REMOVED" in FAILED_PRECONDITION,
        "The restore point's snapshot is gone: retention removed it, or it was not in the repository from which this instance was restored.";
    IsExport = "IS_EXPORT" in FAILED_PRECONDITION,
        "The restore point is an export, which is no instance to restore.";
    NeedsConfirmation = "NEEDS_CONFIRMATION" in FAILED_PRECONDITION,
        "What is asked for removes more than usual: look at PlanRetention, then set `confirm`.";
    PolicyDisabled = "POLICY_DISABLED" in FAILED_PRECONDITION,
        "The backup policy is disabled: enable it first.";
    PolicyUnavailable = "POLICY_UNAVAILABLE" in FAILED_PRECONDITION,
        "The backup policy cannot run here: the message says what is missing.";
    EtagMismatch = "ETAG_MISMATCH" in ABORTED,
        "It has changed since it was read: read it again, then decide again.";
    ChangedMeanwhile = "CHANGED_MEANWHILE" in ABORTED,
        "Another was quicker between the look and the write: send the same again.";
    CursorMoved = "CURSOR_MOVED" in ABORTED,
        "The task was decided by another server meanwhile: send the same again.";
    RequestInProgress = "REQUEST_IN_PROGRESS" in ABORTED,
        "A request of this `request_id` is under way: send it again a little later, and get its answer.";
    LeaseLost = "LEASE_LOST" in ABORTED,
        "The run that writes is no longer this server's.";
    UploadInProgress = "UPLOAD_IN_PROGRESS" in ABORTED,
        "Another upload of this content is under way: wait for it.";
    ContentGone = "CONTENT_GONE" in ABORTED,
        "The content was swept at this moment: send it again, with all its bytes.";
    Exhausted = "EXHAUSTED" in RESOURCE_EXHAUSTED,
        "A bound was reached: the message names it, and what keeps below it.";
    Busy = "BUSY" in RESOURCE_EXHAUSTED,
        "As many calls of this kind are under way in the server as may be at once; the message says which: send it again after the delay of `RetryInfo`.";
    TooManyCalls = "TOO_MANY_CALLS" in RESOURCE_EXHAUSTED,
        "As many calls are under way on this connection as may be, 256, or 1,024 streams and waits: send it again when one has ended, after the delay of `RetryInfo`, or open another connection.";
    OutOfRange = "OUT_OF_RANGE" in OUT_OF_RANGE,
        "The log does not reach to this resume token: begin without one, or at `oldest`.";
    Deadline = "DEADLINE" in DEADLINE_EXCEEDED,
        "The call was not done within its deadline: it may have been done all the same; ask, or send it again with its `request_id`.";
    Unavailable = "UNAVAILABLE" in UNAVAILABLE,
        "Something that the server needs is away, or it is draining: the same may succeed after the delay of `RetryInfo`.";
    Internal = "INTERNAL" in INTERNAL,
        "A fault of the server: its log has the cause.";
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn table() -> String {
        let mut table = "| Reason | Status | Meaning |\n|---|---|---|\n".to_owned();
        for reason in Reason::ALL {
            let (code, status) = (reason.as_str(), reason.status());
            writeln!(table, "| `{code}` | {status} | {} |", reason.meaning()).unwrap();
        }
        table
    }

    #[test]
    fn every_reason_is_in_the_list_of_errors() {
        let path = "docs/errors.md";
        let text = include_str!("../../docs/errors.md");
        let begins = text.find("| Reason |").expect("its table");
        let wanted = format!("{}{}", &text[..begins], table());
        assert!(text == wanted, "{path} should be:\n{wanted}");
    }

    #[test]
    fn a_reason_is_one_word_of_capitals() {
        for reason in Reason::ALL {
            let code = reason.as_str();
            let fits = |c: char| c.is_ascii_uppercase() || c == '_';
            assert!(code.chars().all(fits), "{code}");
        }
        let codes: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
