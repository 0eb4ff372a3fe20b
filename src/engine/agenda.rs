//! What fires in a span to come, over all tasks.

use std::{cmp::Reverse, collections::BinaryHeap};

use jiff::Timestamp;

use super::Engine;
use crate::{
    domain::{
        TaskName,
        schedule::{Fire, Schedule, preview},
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

impl Engine {
    /// Fires in (after, until) by due time: `limit` of them after the first `offset`.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn agenda(
        &self,
        after: Timestamp,
        until: Timestamp,
        limit: usize,
        offset: usize,
    ) -> Result<Vec<AgendaEntry>> {
        let all_paused = self.store().global_pause().await?.is_some();
        let tasks = self.store().tasks_all().await?;
        let mut schedules: Vec<(TaskName, bool, Schedule)> = Vec::with_capacity(tasks.len());
        for task in tasks {
            let schedule = self.schedule_of(&task)?;
            schedules.push((task.name, all_paused || task.pause.is_some(), schedule));
        }
        // The next fire of each task in a heap: only as many are worked out as are shown.
        let next = |index: usize, after: Timestamp| {
            let (_, _, schedule) = schedules.get(index)?;
            let slot = schedule.next_after(after).filter(|slot| *slot < until)?;
            Some(Reverse((schedule.due_at(slot), index, slot)))
        };
        let mut heap: BinaryHeap<_> = (0..schedules.len())
            .filter_map(|index| next(index, after))
            .collect();
        let mut entries = Vec::new();
        let mut passed = 0;
        while entries.len() < limit
            && let Some(Reverse((_, index, slot))) = heap.pop()
        {
            heap.extend(next(index, slot));
            passed += 1;
            if passed <= offset {
                continue;
            }
            let Some((task, paused, schedule)) = schedules.get(index) else {
                continue;
            };
            let tick = jiff::SignedDuration::from_micros(1);
            let fire = preview(schedule, slot - tick, None, 1).into_iter().next();
            entries.extend(fire.map(|fire| AgendaEntry {
                task: task.clone(),
                fire,
                paused: *paused,
            }));
        }
        Ok(entries)
    }
}
