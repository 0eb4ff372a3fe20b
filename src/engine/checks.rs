//! Checks of tasks to be, before anything is written.

use serde_json::{Map, Value};

use super::{Engine, catalogue::merged};
use crate::{
    domain::{
        Task, TaskName, TaskSpec,
        schedule::{Schedule, ScheduleSpec},
        task::Layers,
    },
    error::{Error, Result},
};

impl Engine {
    /// Checks the fields of a task to be, whatever else is wrong with what asks for it; its name is one of those it may get.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field.
    pub fn check_fields(&self, name: Option<&TaskName>, fields: &Map<String, Value>) -> Result<()> {
        let layers = Layers {
            configuration: Some(fields.clone().into()),
            ..Layers::default()
        };
        let spec = merged(&layers, self.default_zone())?;
        match name {
            Some(name) => self.check_spec(name, &spec),
            None => self.check_spec(&"task".parse()?, &spec),
        }
        .map(drop)
    }

    /// Checks when a task of this name is to run, and changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field.
    pub fn check_schedule(&self, name: &TaskName, schedule: &ScheduleSpec) -> Result<()> {
        Schedule::parse(schedule, name.as_str(), self.default_zone()).map(drop)
    }

    /// Checks a specification against the rules and against its kind.
    pub(super) fn check_spec(&self, name: &TaskName, spec: &TaskSpec) -> Result<Schedule> {
        self.registry().check_spec(name, spec, self.default_zone())
    }
}

/// A schedule whose slots all lie in the past is a mistake where someone asks for it now; in a file
/// it is what was.
pub(super) fn refuse_never(task: &Task) -> Result<()> {
    let schedule = &task.spec.schedule;
    let timed = schedule.cron.is_some() || schedule.every.is_some() || schedule.at.is_some();
    if task.next_slot_at.is_some() || !timed {
        return Ok(());
    }
    let field = if schedule.at.is_some() {
        "schedule.at"
    } else {
        "schedule.end_at"
    };
    let what = format!(
        "no slot lies after now, {}; expected a later instant, or no schedule for a task that is only \
         triggered",
        task.cursor_at
    );
    Err(Error::invalid(field, what))
}
