//! Problems that this process knows of by itself: of its database, its clock and its own loops.
//!
//! They live here first, since no row can be written while the database is away. They are shown at once, and written
//! with the instant at which they began as soon as that can be done: also those that are over by then.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    domain::{
        ReplicaId,
        problem::{Problem, ProblemKind},
    },
    error::Result,
    store::{Source, Store},
};

/// Under which its problems stand in the table.
const SOURCE: &str = "process";
/// Problems that are over and not written yet; of more, the oldest are let go.
const OVER_AT_MOST: usize = 1000;

/// What one process knows; cheap to clone.
#[derive(Clone, Debug)]
pub struct Memory {
    replica: ReplicaId,
    held: Arc<Mutex<Held>>,
    /// Moves whenever something has changed.
    version: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct Held {
    open: BTreeMap<Key, Entry>,
    over: VecDeque<Over>,
    /// All that was ever opened: rows of this server that are not open here any more are on their way out.
    known: BTreeSet<Key>,
}

/// Kind and subject.
type Key = (String, String);

#[derive(Clone, Debug)]
struct Entry {
    problem: Problem,
    /// It is over by itself then.
    until: Option<Timestamp>,
    /// As it stands in the table.
    written: Option<Problem>,
    /// Its row was removed by a server that took this one for dead: it is written once more.
    again: bool,
}

#[derive(Clone, Debug)]
struct Over {
    problem: Problem,
    at: Timestamp,
    was_written: bool,
}

impl Memory {
    pub(super) fn new(replica: ReplicaId) -> Self {
        Self {
            replica,
            held: Arc::default(),
            version: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Opens a problem of this server, or brings an open one up to date; it began when it was first raised. With
    /// `until`, it is over by itself at that instant.
    pub fn raise(&self, problem: Problem, until: Option<Timestamp>) {
        let key = (problem.kind.clone(), problem.subject.clone());
        let problem = Problem {
            replica: Some(self.replica),
            ..problem
        };
        let mut held = self.held();
        match held.open.get_mut(&key) {
            Some(entry) => {
                let since = entry.problem.since;
                let problem = Problem { since, ..problem };
                if entry.problem == problem && entry.until == until {
                    return;
                }
                (entry.problem, entry.until) = (problem, until);
            }
            None => {
                let entry = Entry {
                    problem,
                    until,
                    written: None,
                    again: false,
                };
                held.known.insert(key.clone());
                held.open.insert(key, entry);
            }
        }
        drop(held);
        self.changed();
    }

    /// Closes a problem, which was over at `at`.
    pub fn clear(&self, kind: ProblemKind, subject: &str, at: Timestamp) {
        let mut held = self.held();
        let key = (kind.as_str().to_owned(), subject.to_owned());
        let Some(entry) = held.open.remove(&key) else {
            return;
        };
        held.end(entry, at);
        drop(held);
        self.changed();
    }

    pub(super) fn is_open(&self, kind: ProblemKind, subject: &str) -> bool {
        let key = (kind.as_str().to_owned(), subject.to_owned());
        self.held().open.contains_key(&key)
    }

    /// Moves whenever something has changed.
    pub(super) fn version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// What the table says, as this process knows it.
    pub(super) fn correct(&self, problems: &mut Vec<Problem>, now: Timestamp) {
        let mut held = self.held();
        held.expire(now);
        problems.retain(|problem| {
            let key = (problem.kind.clone(), problem.subject.clone());
            problem.replica != Some(self.replica) || !held.known.contains(&key)
        });
        problems.extend(held.open.values().map(|entry| entry.problem.clone()));
    }

    /// Sees whether the rows still stand that were written: whoever takes a silent server for dead removes them.
    pub(super) async fn recheck(&self, store: &Store) -> Result<()> {
        let is_written = |entry: &Entry| entry.written.is_some();
        if !self.held().open.values().any(is_written) {
            return Ok(());
        }
        let source = Source {
            probe: SOURCE,
            replica: Some(self.replica),
        };
        let rows = store.problems_of(&source).await?;
        for (key, entry) in &mut self.held().open {
            entry.again = entry.written.is_some() && !rows.contains(key);
        }
        Ok(())
    }

    /// Writes what is not written yet. Only one caller at a time.
    ///
    /// # Errors
    /// Where the database is away: nothing is lost, the next call does it.
    pub(super) async fn write(&self, store: &Store) -> Result<()> {
        let (open, over) = {
            let held = self.held();
            let open = held.open.values();
            let open =
                open.filter(|entry| entry.again || entry.written.as_ref() != Some(&entry.problem));
            (open.cloned().collect::<Vec<_>>(), held.over.clone())
        };
        if open.is_empty() && over.is_empty() {
            return Ok(());
        }
        let mut tx = store.begin().await?;
        for Over {
            problem,
            at,
            was_written,
        } in &over
        {
            if *was_written {
                tx.problem_end(problem, *at).await?;
            } else {
                tx.problem_was(SOURCE, problem, *at);
            }
        }
        for entry in &open {
            tx.problem_raise(SOURCE, &entry.problem, entry.until)
                .await?;
        }
        tx.commit().await?;
        let mut held = self.held();
        // What has come meanwhile stands behind these.
        let written = over.len().min(held.over.len());
        held.over.drain(..written);
        for entry in open {
            let key = (entry.problem.kind.clone(), entry.problem.subject.clone());
            match held.open.get_mut(&key) {
                Some(now) => (now.written, now.again) = (Some(entry.problem), false),
                // It was over while it was written.
                None => held
                    .over
                    .iter_mut()
                    .filter(|over| over.problem.since == entry.problem.since)
                    .filter(|over| (&over.problem.kind, &over.problem.subject) == (&key.0, &key.1))
                    .for_each(|over| over.was_written = true),
            }
        }
        Ok(())
    }

    fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn end(&mut self, entry: Entry, at: Timestamp) {
        self.over.push_back(Over {
            problem: entry.problem,
            at,
            was_written: entry.written.is_some(),
        });
        while OVER_AT_MOST < self.over.len() {
            self.over.pop_front();
        }
    }

    fn expire(&mut self, now: Timestamp) {
        let is_over = |entry: &Entry| entry.until.is_some_and(|until| until <= now);
        let over = self.open.iter().filter(|(_, entry)| is_over(entry));
        let over: Vec<Key> = over.map(|(key, _)| key.clone()).collect();
        for key in over {
            if let Some(entry) = self.open.remove(&key) {
                let at = entry.until.unwrap_or(now);
                self.end(entry, at);
            }
        }
    }
}
