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

/// Tasks known at the most, and specifications that differ.
const TASKS_MAX: usize = 200_000;
const SPECS_MAX: usize = 20_000;

/// The newest revisions that were asked for.
#[derive(Debug, Default)]
pub(super) struct KnownTasks(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    tasks: HashMap<TaskId, Known>,
    /// By where it lies, which is nobody else's place as long as it is held here.
    specs: HashMap<usize, Shared>,
}

#[derive(Debug)]
struct Shared {
    spec: Arc<TaskSpec>,
    /// Where it is the same for all tasks of that specification.
    schedule: Option<Schedule>,
}

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
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = tables.tasks.get(&id)?;
        (found.revision == revision).then(|| found.clone())
    }

    /// What is known of these revisions, and which are not.
    fn look(
        &self,
        of: impl Iterator<Item = (TaskId, i64)>,
    ) -> (HashMap<TaskId, Known>, Vec<(TaskId, i64)>) {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut known, mut unknown) = (HashMap::new(), Vec::new());
        for (id, revision) in of {
            let found = tables.tasks.get(&id);
            match found.filter(|found| found.revision == revision) {
                Some(found) => drop(known.insert(id, found.clone())),
                None => unknown.push((id, revision)),
            }
        }
        (known, unknown)
    }

    /// Keeps what was read, and hands it out: others may push it out again at any moment.
    fn learn(&self, specs: Vec<SpecOf>) -> HashMap<TaskId, Known> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = HashMap::with_capacity(specs.len());
        for (id, revision, spec) in specs {
            let schedule = tables.schedule_of(&spec);
            let found = Known {
                revision,
                spec,
                schedule,
            };
            tables.put(id, found.clone());
            known.insert(id, found);
        }
        known
    }

    /// The schedule of a specification that was parsed for another task, where that is the same.
    fn schedule_of(&self, spec: &Arc<TaskSpec>) -> Option<Schedule> {
        let tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.schedule_of(spec)
    }

    fn put(&self, id: TaskId, found: Known) {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tables.put(id, found);
    }
}

impl Tables {
    fn schedule_of(&self, spec: &Arc<TaskSpec>) -> Option<Schedule> {
        let schedule = self.specs.get(&Arc::as_ptr(spec).addr())?.schedule.as_ref();
        schedule.filter(|schedule| schedule.is_current()).cloned()
    }

    fn put(&mut self, id: TaskId, found: Known) {
        let place = Arc::as_ptr(&found.spec).addr();
        if SPECS_MAX <= self.specs.len() && !self.specs.contains_key(&place) {
            // Whose last task was edited or pushed out.
            self.specs
                .retain(|_, shared| 1 < Arc::strong_count(&shared.spec));
            if SPECS_MAX <= self.specs.len() {
                // As many are asked for in turn as never fit: any that begin anew will do.
                *self = Self::default();
            }
        }
        if TASKS_MAX <= self.tasks.len() && !self.tasks.contains_key(&id) {
            let victim = self.tasks.keys().next().copied();
            victim.and_then(|victim| self.tasks.remove(&victim));
        }
        let shared = self.specs.entry(place).or_insert_with(|| Shared {
            spec: found.spec.clone(),
            schedule: None,
        });
        let schedule = found.schedule.as_ref();
        if let Some(schedule) = schedule.filter(|schedule| !schedule.is_of_its_name()) {
            // One by rules of its zone that have changed since gives way.
            if !shared.schedule.as_ref().is_some_and(Schedule::is_current) {
                shared.schedule = Some(schedule.clone());
            }
        }
        self.tasks.insert(id, found);
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
        let schedule = match known.schedule_of(spec) {
            Some(schedule) => schedule,
            None => Schedule::parse(&spec.schedule, name.as_str(), self.default_zone())?,
        };
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

    fn task(number: usize) -> TaskId {
        TaskId(uuid::Uuid::from_u128(number as u128))
    }

    #[test]
    fn what_was_read_is_handed_out_though_there_are_more_specifications_than_are_kept() {
        let known = KnownTasks::default();
        let ids: Vec<TaskId> = (0..SPECS_MAX + 1000).map(task).collect();
        let read = |id: &TaskId| (*id, 1, Arc::new(TaskSpec::default()));
        known.learn(ids[..SPECS_MAX - 100].iter().map(read).collect());

        // The last that are known, and more than there is room for.
        let (mut found, unknown) = known.look(ids[SPECS_MAX - 300..].iter().map(|id| (*id, 1)));
        assert_eq!((found.len(), unknown.len()), (200, 1100));
        let read = |(id, revision): &(TaskId, i64)| (*id, *revision, Arc::new(TaskSpec::default()));
        found.extend(known.learn(unknown.iter().map(read).collect()));

        assert_eq!(found.len(), 1300);
        let tables = known.0.lock().unwrap();
        assert!(tables.specs.len() <= SPECS_MAX && tables.tasks.len() <= SPECS_MAX);
    }

    #[test]
    fn of_tasks_that_are_told_the_same_as_many_are_known_as_there_are() {
        let known = KnownTasks::default();
        let spec = Arc::new(TaskSpec::default());
        let read = |number| (task(number), 1, spec.clone());
        known.learn((0..TASKS_MAX + 10).map(read).collect());
        let tables = known.0.lock().unwrap();
        assert_eq!((tables.tasks.len(), tables.specs.len()), (TASKS_MAX, 1));
    }

    #[test]
    fn a_schedule_is_shared_where_it_is_nobodys_own() {
        let known = KnownTasks::default();
        let parse = |spec: &TaskSpec, name| Schedule::parse(&spec.schedule, name, "UTC").unwrap();
        for (cron, is_shared) in [("0 3 * * *", true), ("H 3 * * *", false)] {
            let mut spec = TaskSpec::default();
            spec.schedule.cron = Some(cron.to_owned());
            let spec = Arc::new(spec);
            let found = Known {
                revision: 1,
                schedule: Some(parse(&spec, "a")),
                spec: spec.clone(),
            };
            known.put(task(1), found);
            assert_eq!(known.schedule_of(&spec).is_some(), is_shared, "{cron}");
            let of_another = known.schedule_of(&spec);
            assert!(of_another.is_none_or(|schedule| schedule == parse(&spec, "b")));
        }
    }
}
