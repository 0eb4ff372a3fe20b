//! The nouns, and the rules that need nothing but them: pure, synchronous, no I/O.

pub mod backup;
pub mod bounds;
pub mod caller;
pub mod clock_guard;
pub mod configuration;
pub mod decide;
pub mod document;
pub mod event;
pub mod id;
pub mod ledger;
pub mod log;
pub mod problem;
pub mod retry;
pub mod rules;
pub mod run;
pub mod schedule;
pub mod sealed;
pub mod span;
pub mod task;
pub(crate) mod text;

pub use self::{
    caller::Caller,
    document::Document,
    event::{Event, EventKind, NewEvent},
    id::{DocumentId, ReplicaId, RunId, TaskId, TaskName},
    run::{Outcome, Run, RunState, Trigger},
    task::{Task, TaskSpec},
};
