//! What happened, in order.

mod compact;

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use jiff::Timestamp;
use serde::Serialize;

use super::{document::Document, id::TaskId, run::Run, text::text_enum};

text_enum! {
    /// What an event tells of. Its payload is the resource after it.
    EventKind {
        TaskCreated = "task.created",
        TaskUpdated = "task.updated",
        TaskDeleted = "task.deleted",
        TaskPaused = "task.paused",
        TaskResumed = "task.resumed",
        TaskRealigned = "task.realigned",
        AllPaused = "all.paused",
        AllResumed = "all.resumed",
        ClockAccepted = "clock.accepted",
        SlotSkipped = "slot.skipped",
        RunQueued = "run.queued",
        RunStarted = "run.started",
        RunProgressed = "run.progressed",
        RunCancelRequested = "run.cancel_requested",
        RunRetryWait = "run.retry_wait",
        RunSucceeded = "run.succeeded",
        RunFailed = "run.failed",
        RunTimedOut = "run.timed_out",
        RunCancelled = "run.cancelled",
        RunExpired = "run.expired",
        RunAbandoned = "run.abandoned",
        DocumentCreated = "document.created",
        DocumentImported = "document.imported",
        DocumentContentAttached = "document.content_attached",
        DocumentUpdated = "document.updated",
        DocumentSubmitted = "document.submitted",
        DocumentReviewStarted = "document.review_started",
        DocumentReviewed = "document.reviewed",
        DocumentRejected = "document.rejected",
        DocumentApprovalRequested = "document.approval_requested",
        DocumentApprovalStarted = "document.approval_started",
        DocumentApproved = "document.approved",
        DocumentActivated = "document.activated",
        DocumentWithdrawn = "document.withdrawn",
        DocumentObsolescenceScheduled = "document.obsolescence_scheduled",
        DocumentObsolescenceCancelled = "document.obsolescence_cancelled",
        DocumentRetired = "document.retired",
        DocumentSuperseded = "document.superseded",
        DocumentTerminated = "document.terminated",
        ProblemRaised = "problem.raised",
        ProblemChanged = "problem.changed",
        ProblemCleared = "problem.cleared",
        /// One that a newer server told, of a kind that this one does not know: see [`Event::told_as`].
        Other = "other",
    }
}

/// A line of the log. `sequence` orders all events and is the cursor of every follower.
#[derive(Clone, Debug)]
pub struct Event {
    pub sequence: i64,
    pub at: Timestamp,
    pub kind: EventKind,
    told_as: Cow<'static, str>,
    /// The task it concerns, where there is one: followers filter by it.
    pub task_id: Option<TaskId>,
    /// Resource name, such as `tasks/x/runs/…`; of a run that is told in few bytes, its task's name alone.
    subject: String,
    /// The resource's state and version: as JSON, or of a run in few bytes.
    pub payload: String,
    run: OnceLock<Option<Arc<Run>>>,
    document: OnceLock<Option<Arc<Document>>>,
    told: OnceLock<Arc<[u8]>>,
}

impl Event {
    /// An event as it stands in the log. One of a kind that is not known here is passed on as what its kind begins
    /// with says: while servers of two versions share a log, the older one must neither halt at it nor hide it.
    pub fn new(
        sequence: i64,
        at: Timestamp,
        kind: String,
        task_id: Option<TaskId>,
        subject: String,
        payload: String,
    ) -> Self {
        let known = EventKind::parse(&kind);
        Self {
            sequence,
            at,
            kind: known.unwrap_or(EventKind::Other),
            told_as: known.map_or(Cow::Owned(kind), |known| known.as_str().into()),
            task_id,
            subject,
            payload,
            run: OnceLock::new(),
            document: OnceLock::new(),
            told: OnceLock::new(),
        }
    }

    /// The text of its kind, also of one that is not known here.
    pub fn told_as(&self) -> &str {
        &self.told_as
    }

    /// The name of the task that it tells of, or of whose run.
    pub fn task(&self) -> Option<&str> {
        let rest = match self.subject.split_once('/') {
            Some(("tasks", rest)) => rest,
            Some(_) => return None,
            None => &self.subject,
        };
        self.task_id?;
        Some(rest.split_once('/').map_or(rest, |(task, _)| task))
    }

    /// Whether it tells of a document.
    pub fn is_of_document(&self) -> bool {
        self.told_as.starts_with("document.")
    }

    /// The event as it is told outside: `encode` is called for the first of a thousand watchers, the
    /// others get the same bytes. There is one such form of each event.
    pub fn told(&self, encode: impl FnOnce() -> Vec<u8>) -> Arc<[u8]> {
        self.told.get_or_init(|| encode().into()).clone()
    }

    /// The run it tells of, where it tells of one; read once however many watchers ask.
    pub fn run(&self) -> Option<Arc<Run>> {
        let read = || {
            let run = match self.payload.starts_with('{') {
                true => serde_json::from_str(&self.payload).ok(),
                false => compact::read(&self.payload, self.task_id?, self.task()?),
            };
            run.map(Arc::new)
        };
        if !self.told_as.starts_with("run.") {
            return None;
        }
        self.run.get_or_init(read).clone()
    }

    /// The document it tells of, where it tells of one; read once however many watchers ask.
    pub fn document(&self) -> Option<Arc<Document>> {
        let read = || serde_json::from_str(&self.payload).ok().map(Arc::new);
        if !self.is_of_document() {
            return None;
        }
        self.document.get_or_init(read).clone()
    }
}

/// An event to be told with the transaction that makes it true.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub kind: EventKind,
    pub task_id: Option<TaskId>,
    /// Resource name, such as `tasks/x/runs/…`; of a run that is told in few bytes, its task's name alone.
    pub subject: String,
    pub payload: String,
}

impl NewEvent {
    /// An event of a run; `compactly` where every server of the cluster reads that.
    pub fn of_run(kind: EventKind, run: &Run, compactly: bool) -> Self {
        match compactly.then(|| compact::write(run)).flatten() {
            Some(payload) => Self {
                kind,
                task_id: Some(run.task_id),
                subject: run.task.as_str().to_owned(),
                payload,
            },
            None => Self::new(kind, Some(run.task_id), run.resource_name(), run),
        }
    }

    pub fn new(
        kind: EventKind,
        task_id: Option<TaskId>,
        subject: String,
        resource: &impl Serialize,
    ) -> Self {
        // A resource of ours always has a JSON form; were it otherwise, the event must still be told.
        let payload = serde_json::to_string(resource)
            .unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }).to_string());
        Self {
            kind,
            task_id,
            subject,
            payload,
        }
    }
}
