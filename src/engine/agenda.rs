//! What fires in a span to come, over all tasks.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
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

/// Tasks read in one go: few at first, since most pages need no more.
const READ_AT_ONCE: usize = 250;
const READ_AT_ONCE_LATER: usize = 1000;
/// Who reads more for one page, as for a window that is years ahead, or where all has long been paused, has its turn.
const READ_WITHOUT_TURN: usize = 5000;
/// Candidates that are held beyond those that a page can show, and how many of them stay where these are too many.
const HELD_BEYOND: usize = 1000;
const KEPT_BEYOND: usize = 100;

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
    /// Fires that are shown.
    limit: usize,
    /// Tasks read so far.
    read: usize,
    after: Timestamp,
    until: Timestamp,
    place: Option<&'a AgendaPlace>,
    all_paused: bool,
    /// By number.
    candidates: HashMap<usize, Candidate>,
    /// Whose they are: a task that moves on, or is paused, between two reads is read twice, and listed once.
    taken: HashSet<TaskId>,
    /// The next fire of each candidate: only as many are worked out as are shown.
    heap: BinaryHeap<Entry>,
    /// What is not before this one is shown on no page that begins here: as many others are.
    worst: Option<(Timestamp, TaskName)>,
}

impl Engine {
    /// Fires in (after, until) by due time and task: `limit` of them behind `place`. It reads the tasks that fire up to
    /// the page's end, and none that comes later; it holds about as many as are shown, however many it has to read.
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
            limit,
            read: 0,
            all_paused: self.store().global_pause().await?.is_some(),
            candidates: HashMap::new(),
            taken: HashSet::new(),
            heap: BinaryHeap::new(),
            worst: None,
        };
        let mut turn = None;
        let mut streams = [false, true].map(|paused| Stream {
            paused,
            place: None,
            is_over: false,
        });
        let mut entries = Vec::new();
        while entries.len() < limit {
            for stream in &mut streams {
                while !stream.is_over && !page.is_before(stream) {
                    if READ_WITHOUT_TURN <= page.read && turn.is_none() {
                        turn = Some(self.far_agenda().lock().await);
                    }
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
        let at_once = match page.read {
            ..READ_WITHOUT_TURN => READ_AT_ONCE,
            _ => READ_AT_ONCE_LATER,
        };
        let read = self
            .store()
            .tasks_coming(paused, place, page.until, at_once);
        let read = read.await?;
        stream.is_over = read.len() < at_once;
        page.read += read.len();
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
        page.let_go();
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
        let index = self.taken.len();
        self.candidates.insert(index, candidate);
        if !self.push(index, first) {
            self.candidates.remove(&index);
        }
    }

    /// Lets candidates go of which nothing is shown, as the others' next fires are enough and come before theirs.
    fn let_go(&mut self) {
        if self.heap.len() <= self.limit.saturating_add(HELD_BEYOND) {
            return;
        }
        let mut entries = std::mem::take(&mut self.heap).into_vec();
        entries.sort_unstable_by(|Reverse(one), Reverse(other)| one.cmp(other));
        let kept = self.limit.saturating_add(KEPT_BEYOND);
        for Reverse((_, _, index, _)) in entries.drain(kept..) {
            self.candidates.remove(&index);
        }
        let last = entries.last();
        self.worst = last.map(|Reverse((due_at, task, ..))| (*due_at, task.clone()));
        self.heap = entries.into();
    }

    /// Whether a candidate's next fire may be shown.
    fn push(&mut self, index: usize, slot: Option<Timestamp>) -> bool {
        let (Some(slot), Some(candidate)) = (slot, self.candidates.get(&index)) else {
            return false;
        };
        let (due_at, task) = (candidate.schedule.due_at(slot), candidate.task.clone());
        let worst = self.worst.as_ref();
        let is_wanted = due_at < self.until
            && worst.is_none_or(|(worst_at, worst)| (due_at, &task) < (*worst_at, worst));
        if is_wanted {
            self.heap.push(Reverse((due_at, task, index, slot)));
        }
        is_wanted
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
        let candidate = self.candidates.get(&index)?;
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
