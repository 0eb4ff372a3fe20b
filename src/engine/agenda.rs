//! What fires in a span to come, over all tasks.

use std::{cmp::Reverse, collections::BinaryHeap};

use jiff::Timestamp;

use super::Engine;
use crate::{
    domain::{
        TaskName,
        schedule::{Fire, Schedule, just_before, preview},
    },
    error::Result,
};

/// A coming fire of a task.
#[derive(Clone, Debug)]
pub struct AgendaEntry {
    pub task: TaskName,
    pub fire: Fire,
    /// Whether the task, or everything, is paused.
    pub paused: bool,
}

/// Where a page of the agenda ended: the next one begins behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgendaPlace {
    pub due_at: Timestamp,
    pub task: TaskName,
}

/// A task whose fires are looked for.
struct Candidate {
    task: TaskName,
    paused: bool,
    schedule: Schedule,
    /// The instant after which its slots are open.
    open_from: Timestamp,
}

impl Engine {
    /// Fires in (after, until) by due time and task: `limit` of them behind `place`.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn agenda(
        &self,
        after: Timestamp,
        until: Timestamp,
        limit: usize,
        place: Option<&AgendaPlace>,
    ) -> Result<Vec<AgendaEntry>> {
        let all_paused = self.store().global_pause().await?.is_some();
        let tasks = self.store().tasks_all().await?;
        let mut candidates = Vec::with_capacity(tasks.len());
        for task in tasks {
            let schedule = self.schedule_or_none(&task)?;
            candidates.push(Candidate {
                open_from: open_from(&schedule, task.cursor_at, after),
                paused: all_paused || task.pause.is_some(),
                task: task.name,
                schedule,
            });
        }
        // The next fire of each task in a heap: only as many are worked out as are shown. Tasks come
        // by name, so their index orders what is due at one instant.
        let entry = |index: usize, slot: Option<Timestamp>| {
            let slot = slot?;
            let due_at = candidates.get(index)?.schedule.due_at(slot);
            (due_at < until).then_some(Reverse((due_at, index, slot)))
        };
        let mut heap: BinaryHeap<_> = candidates
            .iter()
            .enumerate()
            .filter_map(|(index, candidate)| entry(index, candidate.first_behind(place)))
            .collect();
        let mut entries = Vec::new();
        while entries.len() < limit
            && let Some(Reverse((_, index, slot))) = heap.pop()
        {
            let Some(candidate) = candidates.get(index) else {
                continue;
            };
            heap.extend(entry(index, candidate.schedule.next_after(slot)));
            let fire = preview(&candidate.schedule, just_before(slot), None, 1)
                .into_iter()
                .next();
            entries.extend(fire.map(|fire| AgendaEntry {
                task: candidate.task.clone(),
                fire,
                paused: candidate.paused,
            }));
        }
        Ok(entries)
    }
}

/// From where slots are open that are due after `after`: nothing up to the cursor fires any more, also where a clock that
/// was ahead has moved that far; and the last slot may still wait for its spread.
fn open_from(schedule: &Schedule, decided_upto: Timestamp, after: Timestamp) -> Timestamp {
    let waiting = schedule.waiting(decided_upto, after);
    waiting.map_or(after.max(decided_upto), just_before)
}

impl Candidate {
    /// Its first open slot that comes behind `place`, found from there and not from the beginning.
    fn first_behind(&self, place: Option<&AgendaPlace>) -> Option<Timestamp> {
        let Self {
            task,
            schedule,
            open_from: after,
            ..
        } = self;
        let Some(place) = place else {
            return schedule.next_after(*after);
        };
        // The last slot up to there may be due later, by its spread.
        let last = schedule.last_between(*after, place.due_at);
        let mut slot = schedule.next_after(last.map_or(*after, just_before))?;
        while (schedule.due_at(slot), task) <= (place.due_at, &place.task) {
            slot = schedule.next_after(slot)?;
        }
        Some(slot)
    }
}
