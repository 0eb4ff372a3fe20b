//! What tasks are told to do and when, parsed once for each revision.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tracing::warn;

use super::{Engine, scheduler::LOOK_AGAIN};
use crate::{
    domain::{
        Task, TaskId, TaskName, TaskSpec,
        schedule::{Schedule, ScheduleSpec},
        task::Course,
    },
    error::Result,
    store::{CourseRow, Tx},
};

/// Tasks known at the most.
const TASKS_MAX: usize = 20_000;

/// The newest revisions that were asked for.
#[derive(Debug, Default)]
pub(super) struct KnownTasks(Mutex<HashMap<TaskId, Known>>);

#[derive(Clone, Debug)]
struct Known {
    revision: i64,
    spec: Arc<TaskSpec>,
    schedule: Option<Schedule>,
}

impl KnownTasks {
    fn get(&self, id: TaskId, revision: i64) -> Option<Known> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&id)?;
        (found.revision == revision).then(|| found.clone())
    }

    fn put(&self, id: TaskId, found: Known) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if TASKS_MAX <= known.len() {
            known.clear();
        }
        known.insert(id, found);
    }
}

impl Engine {
    /// The task's schedule.
    ///
    /// # Errors
    /// Where the stored specification no longer suits this program.
    pub fn schedule_of(&self, task: &Task) -> Result<Schedule> {
        self.schedule_in(task.id, &task.name, task.revision, &task.spec)
    }

    /// The schedule of a task on its course.
    ///
    /// # Errors
    /// As [`Engine::schedule_of`].
    pub(super) fn schedule_on(&self, course: &Course) -> Result<Schedule> {
        self.schedule_in(course.id, &course.name, course.revision, &course.spec)
    }

    /// The task's schedule, or one without slots where it can no longer be read: so that such a task
    /// can still be paused, mended and deleted.
    pub(crate) fn schedule_or_none(&self, task: &Task) -> Result<Schedule> {
        self.schedule_of(task).or_else(|_| {
            let none = ScheduleSpec::default();
            Schedule::parse(&none, task.name.as_str(), self.default_zone())
        })
    }

    fn schedule_in(
        &self,
        id: TaskId,
        name: &TaskName,
        revision: i64,
        spec: &Arc<TaskSpec>,
    ) -> Result<Schedule> {
        let known = &self.inner.known;
        if let Some(schedule) = known.get(id, revision).and_then(|known| known.schedule) {
            return Ok(schedule);
        }
        let schedule = Schedule::parse(&spec.schedule, name.as_str(), self.default_zone())?;
        let found = Known {
            revision,
            spec: spec.clone(),
            schedule: Some(schedule.clone()),
        };
        known.put(id, found);
        Ok(schedule)
    }

    /// The courses of these rows, with what their revisions say: read where it is not known. One whose
    /// revision cannot be read is put off.
    pub(super) async fn courses(&self, tx: &mut Tx, rows: Vec<CourseRow>) -> Result<Vec<Course>> {
        let known = &self.inner.known;
        let mut specs: HashMap<TaskId, Arc<TaskSpec>> = HashMap::with_capacity(rows.len());
        let mut unknown = Vec::new();
        for row in &rows {
            match known.get(row.id, row.revision) {
                Some(known) => drop(specs.insert(row.id, known.spec)),
                None => unknown.push((row.id, row.revision)),
            }
        }
        let revisions: HashMap<TaskId, i64> = unknown.iter().copied().collect();
        for (id, spec) in tx.specs(&unknown).await? {
            if let Some(revision) = revisions.get(&id) {
                let found = Known {
                    revision: *revision,
                    spec: spec.clone(),
                    schedule: None,
                };
                known.put(id, found);
            }
            specs.insert(id, spec);
        }
        let mut courses = Vec::with_capacity(rows.len());
        for row in rows {
            match specs.remove(&row.id) {
                Some(spec) => courses.push(row.with(spec)),
                None => {
                    // One task must not stop the others; the auditor makes it a problem.
                    warn!(task = %row.name, "what {} is told to do cannot be read", row.name);
                    tx.task_look_again(row.id, tx.now() + LOOK_AGAIN).await?;
                }
            }
        }
        Ok(courses)
    }
}
