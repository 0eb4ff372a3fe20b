//! Between nouns and messages.

mod document;
mod run;
mod status;
mod task;
pub(super) mod time;
pub(super) mod values;

pub(super) use self::{
    document::{content, document, document_basic, document_status_from, history_entry},
    run::{run, run_basic, run_state_from, run_trigger_from},
    status::problem_status,
    task::{fire, last_run, pause, schedule_spec, slot, slot_outcome_from, task, task_basic},
};
