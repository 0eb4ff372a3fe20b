//! The part of a task that deciding its slots needs, and moves.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Pause, Task, TaskSpec};
use crate::domain::id::{TaskId, TaskName};

/// How far a task is decided, and what a decision about its next slots rests on. The scheduler reads these
/// alone: a task as a whole is many times as large.
#[derive(Clone, Debug)]
pub struct Course {
    pub id: TaskId,
    pub name: TaskName,
    pub revision: i64,
    /// That of the revision.
    pub spec: Arc<TaskSpec>,
    /// The instant up to which every slot is decided.
    pub cursor_at: Timestamp,
    /// The next slot, and when it is due; none where there is none to come.
    pub next_slot_at: Option<Timestamp>,
    pub next_due_at: Option<Timestamp>,
    /// The rules by which these were found: see [`Schedule::rules`](crate::domain::schedule::Schedule::rules). 0 where
    /// that is not known.
    pub rules: i64,
    pub pause: Option<Pause>,
}

impl Course {
    /// `tasks/{task}`.
    pub fn resource_name(&self) -> String {
        format!("tasks/{}", self.name)
    }

    /// When the scheduler has to look at it next.
    pub fn wake_at(&self) -> Option<Timestamp> {
        wake_at(self.pause.as_ref(), self.next_due_at)
    }
}

impl Task {
    pub fn course(&self) -> Course {
        Course {
            id: self.id,
            name: self.name.clone(),
            revision: self.revision,
            spec: self.spec.clone(),
            cursor_at: self.cursor_at,
            next_slot_at: self.next_slot_at,
            next_due_at: self.next_due_at,
            rules: self.rules,
            pause: self.pause.clone(),
        }
    }

    /// Takes over what was decided on its course.
    pub fn follow(&mut self, course: Course) {
        self.cursor_at = course.cursor_at;
        self.next_slot_at = course.next_slot_at;
        self.next_due_at = course.next_due_at;
        self.rules = course.rules;
        self.pause = course.pause;
    }
}

/// Its slot, or the end of its pause.
pub(super) fn wake_at(pause: Option<&Pause>, next_due_at: Option<Timestamp>) -> Option<Timestamp> {
    match pause {
        Some(pause) => pause.until,
        None => next_due_at,
    }
}
