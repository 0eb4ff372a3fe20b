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
    store::{CourseRow, SpecOf, Tx},
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

impl Known {
    /// The schedule, by the zone's rules as they are.
    fn current(&self) -> Option<&Schedule> {
        self.schedule
            .as_ref()
            .filter(|schedule| schedule.is_current())
    }

    fn into_schedule(self) -> Option<Schedule> {
        self.schedule.filter(Schedule::is_current)
    }
}

impl KnownTasks {
    fn get(&self, id: TaskId, revision: i64) -> Option<Known> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&id)?;
        (found.revision == revision).then(|| found.clone())
    }

    /// What is known of these revisions, and which are not.
    fn look(
        &self,
        of: impl Iterator<Item = (TaskId, i64)>,
    ) -> (HashMap<TaskId, Known>, Vec<(TaskId, i64)>) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut known, mut unknown) = (HashMap::new(), Vec::new());
        for (id, revision) in of {
            match all.get(&id).filter(|found| found.revision == revision) {
                Some(found) => drop(known.insert(id, found.clone())),
                None => unknown.push((id, revision)),
            }
        }
        (known, unknown)
    }

    /// Keeps what was read, and hands it out: others may push it out again at any moment.
    fn learn(&self, specs: Vec<SpecOf>) -> HashMap<TaskId, Known> {
        let known = |(id, revision, spec)| {
            let schedule = None;
            let found = Known {
                revision,
                spec,
                schedule,
            };
            self.put(id, found.clone());
            (id, found)
        };
        specs.into_iter().map(known).collect()
    }

    fn put(&self, id: TaskId, found: Known) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if TASKS_MAX <= known.len() && !known.contains_key(&id) {
            // Any will do: where there are so many, each is asked for as often as the others.
            let victim = known.keys().next().copied();
            victim.and_then(|victim| known.remove(&victim));
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
        if let Some(schedule) = known.get(id, revision).and_then(Known::into_schedule) {
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
        let of = rows.iter().map(|row| (row.id, row.revision));
        let (mut known, unknown) = self.inner.known.look(of);
        known.extend(self.inner.known.learn(tx.specs(&unknown).await?));
        let mut courses = Vec::with_capacity(rows.len());
        for row in rows {
            match known.remove(&row.id) {
                Some(known) => courses.push(row.with(known.spec)),
                None => {
                    // One task must not stop the others; the auditor makes it a problem.
                    warn!(task = %row.name, "what {} is told to do cannot be read", row.name);
                    tx.task_look_again(row.id, tx.now() + LOOK_AGAIN).await?;
                }
            }
        }
        Ok(courses)
    }

    /// What these revisions of tasks say, with their schedules; without those that cannot be read.
    pub(super) async fn told(
        &self,
        of: &[(TaskId, TaskName, i64)],
    ) -> Result<HashMap<TaskId, (Arc<TaskSpec>, Schedule)>> {
        let revisions = of.iter().map(|(id, _, revision)| (*id, *revision));
        let (mut known, unknown) = self.inner.known.look(revisions);
        known.extend(self.inner.known.learn(self.store().specs(&unknown).await?));
        let told = |(id, name, revision): &(TaskId, TaskName, i64)| {
            let found = known.get(id)?;
            let schedule = match found.current() {
                Some(schedule) => schedule.clone(),
                None => self.schedule_in(*id, name, *revision, &found.spec).ok()?,
            };
            Some((*id, (found.spec.clone(), schedule)))
        };
        Ok(of.iter().filter_map(told).collect())
    }

    /// The schedules of these revisions of tasks, or why there is none.
    pub(super) async fn schedules(
        &self,
        of: &[(TaskId, TaskName, i64)],
    ) -> Result<HashMap<TaskId, Result<Schedule, String>>> {
        let revisions = of.iter().map(|(id, _, revision)| (*id, *revision));
        let (mut known, unknown) = self.inner.known.look(revisions);
        known.extend(self.inner.known.learn(self.store().specs(&unknown).await?));
        let schedule = |(id, name, revision): &(TaskId, TaskName, i64)| {
            let schedule = match known.get(id) {
                Some(found) => match found.current() {
                    Some(schedule) => Ok(schedule.clone()),
                    None => self
                        .schedule_in(*id, name, *revision, &found.spec)
                        .map_err(|error| error.to_string()),
                },
                None => Err("what it is told to do cannot be read".to_owned()),
            };
            (*id, schedule)
        };
        Ok(of.iter().map(schedule).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_handed_out_though_there_are_more_tasks_than_are_kept() {
        let known = KnownTasks::default();
        let spec = Arc::new(TaskSpec::default());
        let ids: Vec<TaskId> = (0..TASKS_MAX + 1000)
            .map(|number| TaskId(uuid::Uuid::from_u128(number as u128)))
            .collect();
        let read = |id: &TaskId| (*id, 1, spec.clone());
        known.learn(ids[..TASKS_MAX - 100].iter().map(read).collect());

        // The last that are known, and more than there is room for.
        let (mut found, unknown) = known.look(ids[TASKS_MAX - 300..].iter().map(|id| (*id, 1)));
        assert_eq!((found.len(), unknown.len()), (200, 1100));
        let read = |(id, revision): &(TaskId, i64)| (*id, *revision, spec.clone());
        found.extend(known.learn(unknown.iter().map(read).collect()));

        assert_eq!(found.len(), 1300);
        let kept = known.0.lock().unwrap().len();
        assert_eq!(kept, TASKS_MAX);
    }
}
