//! What fires in a span to come, over all tasks.
//!
//! Tasks are found by when their next slots are due. Of a span that begins long after that, as one that is months ahead or
//! any where all has long been paused, no index says which task fires first in it: each has to be looked at. So many are
//! looked at for a page, and the next goes on from there (`searches`).

mod searches;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;

use self::searches::Key;
pub(super) use self::searches::Searches;
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
/// Tasks that are looked at for a page, beyond as many as it shows.
const READ_FOR_A_PAGE: usize = 1000;
/// Who reads more for one page, as one that goes on from what another server looked at, has its turn.
const READ_WITHOUT_TURN: usize = 5000;
/// Candidates that are held beyond those that a page can show, and how many of them stay where these are too many: for
/// the pages that follow.
const HELD_BEYOND: usize = 3000;
const KEPT_BEYOND: usize = 1000;

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

/// A page of the agenda.
#[derive(Debug)]
pub struct AgendaPage {
    pub entries: Vec<AgendaEntry>,
    pub next: AgendaNext,
}

/// Where the agenda goes on behind a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgendaNext {
    /// Nowhere: that was all.
    End,
    Behind(AgendaPlace),
    /// Where this page began, as it has looked at so many tasks, and knows not yet which of all fires first.
    Looked(usize),
}

/// A task whose fires are looked for.
#[derive(Debug)]
struct Candidate {
    task: TaskName,
    paused: bool,
    schedule: Schedule,
    /// The instant after which its slots are open.
    open_from: Timestamp,
}

/// Tasks that are paused, or that are not, by when their next slots are due: read as far as a page needs.
#[derive(Debug)]
struct Stream {
    paused: bool,
    /// Behind this one it goes on; none before the first.
    place: Option<ComingPlace>,
    is_over: bool,
}

/// A fire to come: when it is due, of which task, which candidate that is, and its slot.
type Entry = Reverse<(Timestamp, TaskName, usize, Timestamp)>;

/// A search for what fires, page by page.
#[derive(Debug)]
struct Search {
    /// Moment at which it began, by the time that passes.
    begun: Duration,
    /// Fires that a page shows.
    limit: usize,
    /// Tasks read so far.
    read: usize,
    after: Timestamp,
    until: Timestamp,
    /// It began behind this one.
    place: Option<AgendaPlace>,
    all_paused: bool,
    streams: [Stream; 2],
    /// By number.
    candidates: HashMap<usize, Candidate>,
    /// Whose they are: a task that moves on, or is paused, between two reads is read twice, and listed once.
    taken: HashSet<TaskId>,
    /// The next fire of each candidate: only as many are worked out as are shown.
    heap: BinaryHeap<Entry>,
    /// What is not before this one is not known here: as many others are.
    worst: Option<(Timestamp, TaskName)>,
}

impl Engine {
    /// Fires in (after, until) by due time and task: `limit` of them behind `place`. It reads the tasks that fire up to the
    /// page's end, and none that comes later; it holds about as many as are shown, however many it has to read. A page that
    /// has looked at very many ends there, and the next one goes on, given how many were `looked` at.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn agenda(
        &self,
        after: Timestamp,
        until: Timestamp,
        limit: usize,
        place: Option<&AgendaPlace>,
        looked: usize,
    ) -> Result<AgendaPage> {
        let key = Key {
            after,
            until,
            limit,
            place: place.cloned(),
        };
        let found = self.searches().take(&key, self.clock().passed());
        // Begun before all was paused, or resumed, it would tell the contrary.
        let all_paused = self.store().global_pause().await?.is_some();
        let found = found.filter(|search| search.all_paused == all_paused);
        // Where this process knows nothing of what was looked at, it is all looked at now: else two servers that are asked
        // in turn might never come to an end.
        let is_lost = found.is_none() && 0 < looked;
        let mut search = match found {
            Some(search) => search,
            None => self.search(&key, all_paused),
        };
        let most_of = |search: &Search| match is_lost {
            true => usize::MAX,
            false => search.read.saturating_add(limit + READ_FOR_A_PAGE),
        };
        let mut most = most_of(&search);
        let mut turn = None;
        let mut entries: Vec<AgendaEntry> = Vec::new();
        let mut next = AgendaNext::End;
        loop {
            let is_known = self.read_up(&mut search, most, &mut turn).await?;
            if is_known && search.is_exhausted() && entries.is_empty() && key.place != search.place
            {
                // What it knows ends here: the others are looked for anew.
                search = self.search(&key, all_paused);
                most = most_of(&search);
                continue;
            }
            let is_over = is_known && search.heap.is_empty() && !search.is_exhausted();
            if is_over {
                break;
            }
            let is_full = entries.len() == limit;
            if is_full || !is_known || search.is_exhausted() {
                let last = entries.last().map(AgendaEntry::place);
                next = last.map_or(AgendaNext::Looked(search.read), AgendaNext::Behind);
                break;
            }
            entries.extend(search.pop());
        }
        // What was made by few reads is made again by as many.
        if READ_FOR_A_PAGE <= search.read {
            let place = match &next {
                AgendaNext::End => return Ok(AgendaPage { entries, next }),
                AgendaNext::Behind(place) => Some(place.clone()),
                AgendaNext::Looked(_) => key.place.clone(),
            };
            let key = Key { place, ..key };
            self.searches().put(key, search, self.clock().passed());
        }
        Ok(AgendaPage { entries, next })
    }

    fn search(&self, key: &Key, all_paused: bool) -> Search {
        let stream = |paused| Stream {
            paused,
            place: None,
            is_over: false,
        };
        Search {
            begun: self.clock().passed(),
            after: key.after,
            until: key.until,
            place: key.place.clone(),
            limit: key.limit,
            read: 0,
            all_paused,
            streams: [false, true].map(stream),
            candidates: HashMap::new(),
            taken: HashSet::new(),
            heap: BinaryHeap::new(),
            worst: None,
        }
    }

    /// Reads until it is known what fires next; says whether that is so once `most` tasks were read.
    async fn read_up<'a>(
        &'a self,
        search: &mut Search,
        most: usize,
        turn: &mut Option<tokio::sync::MutexGuard<'a, ()>>,
    ) -> Result<bool> {
        for index in 0..search.streams.len() {
            while !search.is_before(index) {
                if most <= search.read {
                    return Ok(false);
                }
                let is_long = most == usize::MAX && READ_WITHOUT_TURN <= search.read;
                if is_long && turn.is_none() {
                    *turn = Some(self.far_agenda().lock().await);
                }
                self.read_on(index, search).await?;
            }
        }
        Ok(true)
    }

    /// Takes in the next tasks of a stream.
    async fn read_on(&self, index: usize, search: &mut Search) -> Result<()> {
        let stream = &search.streams[index];
        let (paused, place) = (stream.paused, stream.place.as_ref());
        let at_once = match search.read {
            ..READ_WITHOUT_TURN => READ_AT_ONCE,
            _ => READ_AT_ONCE_LATER,
        };
        let read = self
            .store()
            .tasks_coming(paused, place, search.until, at_once);
        let read = read.await?;
        let stream = &mut search.streams[index];
        stream.is_over = read.len() < at_once;
        search.read += read.len();
        let last = read.last();
        let last = last.map(|last| (last.next_due_at, last.name.clone()));
        stream.place = last.or(stream.place.take());
        let of: Vec<_> = read
            .iter()
            .map(|task| (task.id, task.name.clone(), task.revision))
            .collect();
        let mut schedules = self.schedules(&of).await?;
        for task in read {
            // Of one that cannot be read nothing fires, and the auditor tells it.
            if let Some(Ok(schedule)) = schedules.remove(&task.id) {
                search.take_in(task, schedule, paused);
            }
        }
        search.let_go();
        Ok(())
    }
}

impl AgendaEntry {
    fn place(&self) -> AgendaPlace {
        AgendaPlace {
            due_at: self.fire.due_at,
            task: self.task.clone(),
        }
    }
}

impl Search {
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
        let first = candidate.first_behind(self.place.as_ref());
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

    /// Whether what it knows has come to its end, though there is more.
    fn is_exhausted(&self) -> bool {
        self.heap.is_empty() && self.worst.is_some()
    }

    /// Whether its next fire comes before all of a stream that were not read.
    fn is_before(&self, index: usize) -> bool {
        let stream = &self.streams[index];
        if stream.is_over {
            return true;
        }
        let next = self.heap.peek();
        let next = next.map(|Reverse((due_at, task, ..))| (due_at, task));
        // Of what is not before the worst nothing would be taken in.
        let worst = self.worst.as_ref().map(|(due_at, task)| (due_at, task));
        let behind = stream.place.as_ref();
        next.or(worst)
            .zip(behind)
            .is_some_and(|(next, (last_due_at, last))| next <= (last_due_at, last))
    }

    /// The next fire.
    fn pop(&mut self) -> Option<AgendaEntry> {
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
        if !self.push(index, next) {
            self.candidates.remove(&index);
        }
        entry
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
