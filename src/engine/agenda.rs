//! What fires in a span to come, over all tasks.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
};

use jiff::Timestamp;

use super::Engine;
use crate::{
    domain::{
        TaskId, TaskName,
        schedule::{Fire, Schedule, just_before, preview},
    },
    error::Result,
    store::{Coming, ComingPlace},
};

/// Tasks read in one go.
const READ_AT_ONCE: usize = 250;

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

/// Tasks that are paused, or that are not, by when their next slots are due: read as far as a page needs.
struct Stream {
    paused: bool,
    /// Behind this one it goes on; none before the first.
    place: Option<ComingPlace>,
    is_over: bool,
}

/// A fire to come: when it is due, of which task, which candidate that is, and its slot.
type Entry = Reverse<(Timestamp, TaskName, usize, Timestamp)>;

/// What a page is made of.
struct Page<'a> {
    after: Timestamp,
    until: Timestamp,
    place: Option<&'a AgendaPlace>,
    all_paused: bool,
    candidates: Vec<Candidate>,
    /// Whose they are: a task that moves on, or is paused, between two reads is read twice, and listed once.
    taken: HashSet<TaskId>,
    /// The next fire of each candidate: only as many are worked out as are shown.
    heap: BinaryHeap<Entry>,
}

impl Engine {
    /// Fires in (after, until) by due time and task: `limit` of them behind `place`. It reads the tasks that fire up to
    /// the page's end, and none that comes later.
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
        let mut page = Page {
            after,
            until,
            place,
            all_paused: self.store().global_pause().await?.is_some(),
            candidates: Vec::new(),
            taken: HashSet::new(),
            heap: BinaryHeap::new(),
        };
        let mut streams = [false, true].map(|paused| Stream {
            paused,
            place: None,
            is_over: false,
        });
        let mut entries = Vec::new();
        while entries.len() < limit {
            for stream in &mut streams {
                while !stream.is_over && !page.is_before(stream) {
                    self.read_on(stream, &mut page).await?;
                }
            }
            let Some(entry) = page.pop() else {
                break;
            };
            entries.extend(entry);
        }
        Ok(entries)
    }

    /// Takes in the next tasks of a stream.
    async fn read_on(&self, stream: &mut Stream, page: &mut Page<'_>) -> Result<()> {
        let (paused, place) = (stream.paused, stream.place.as_ref());
        let read = self
            .store()
            .tasks_coming(paused, place, page.until, READ_AT_ONCE);
        let read = read.await?;
        stream.is_over = read.len() < READ_AT_ONCE;
        let last = read
            .last()
            .map(|last| (last.next_due_at, last.name.clone()));
        stream.place = last.or(stream.place.take());
        let of: Vec<_> = read
            .iter()
            .map(|task| (task.id, task.name.clone(), task.revision))
            .collect();
        let mut schedules = self.schedules(&of).await?;
        for task in read {
            // Of one that cannot be read nothing fires, and the auditor tells it.
            if let Some(Ok(schedule)) = schedules.remove(&task.id) {
                page.take_in(task, schedule, paused);
            }
        }
        Ok(())
    }
}

impl Page<'_> {
    fn take_in(&mut self, task: Coming, schedule: Schedule, paused: bool) {
        if !self.taken.insert(task.id) {
            return;
        }
        let candidate = Candidate {
            open_from: open_from(&schedule, task.cursor_at, self.after),
            paused: paused || self.all_paused,
            task: task.name,
            schedule,
        };
        let first = candidate.first_behind(self.place);
        self.candidates.push(candidate);
        self.push(self.candidates.len() - 1, first);
    }

    fn push(&mut self, index: usize, slot: Option<Timestamp>) {
        if let (Some(slot), Some(candidate)) = (slot, self.candidates.get(index)) {
            let due_at = candidate.schedule.due_at(slot);
            if due_at < self.until {
                let task = candidate.task.clone();
                self.heap.push(Reverse((due_at, task, index, slot)));
            }
        }
    }

    /// Whether its next fire comes before all of a stream that were not read.
    fn is_before(&self, stream: &Stream) -> bool {
        let Some(Reverse((due_at, task, ..))) = self.heap.peek() else {
            return false;
        };
        let behind = stream.place.as_ref();
        behind.is_some_and(|(last_due_at, last)| (due_at, task) <= (last_due_at, last))
    }

    /// The next fire; none where there is no more.
    fn pop(&mut self) -> Option<Option<AgendaEntry>> {
        let Reverse((_, _, index, slot)) = self.heap.pop()?;
        let candidate = self.candidates.get(index)?;
        let next = candidate.schedule.next_after(slot);
        let fire = preview(&candidate.schedule, just_before(slot), None, 1)
            .into_iter()
            .next();
        let entry = fire.map(|fire| AgendaEntry {
            task: candidate.task.clone(),
            fire,
            paused: candidate.paused,
        });
        self.push(index, next);
        Some(entry)
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
