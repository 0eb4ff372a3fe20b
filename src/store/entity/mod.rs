//! The tables, as sea-orm sees them.

pub(super) mod cluster;
pub(super) mod event;
pub(super) mod problem;
pub(super) mod replica;
pub(super) mod request;
pub(super) mod run;
pub(super) mod run_attempt;
pub(super) mod run_log;
pub(super) mod slot;
pub(super) mod task;
pub(super) mod task_revision;
