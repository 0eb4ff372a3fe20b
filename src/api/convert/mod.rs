//! Between nouns and messages.

mod backup;
mod document;
mod retention;
mod run;
mod status;
mod task;
pub(super) mod time;
pub(super) mod values;

pub(super) use self::{
    backup::{
        backup_evidence, backup_kind_from, backup_policy, backup_statistics, level_from,
        restore_point, restore_point_basic, restore_point_entry,
    },
    document::{content, document, document_basic, document_status_from, history_entry},
    retention::{retention, retention_message, retention_plans},
    run::{run, run_basic, run_state_from, run_trigger_from},
    status::{clock_hold, drain_state, problem, problem_status},
    task::{fire, last_run, pause, schedule_spec, slot, slot_outcome_from, task, task_basic},
};
