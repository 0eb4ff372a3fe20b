//! Between nouns and messages.

mod run;
mod status;
mod task;
pub(super) mod time;
pub(super) mod values;

pub(super) use self::{
    run::{run, run_basic, run_state_from, run_trigger_from},
    status::problem_status,
    task::{fire, last_run, pause, schedule_spec, slot, slot_outcome_from, task, task_basic},
};
