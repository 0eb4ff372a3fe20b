//! What a process has to know of events that nobody in it follows: how far they are final, and what they are of. On
//! several replicas that is most of what happens; to read each event everywhere would take what the runs need.

use std::sync::{
    Arc, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use sea_orm::FromQueryResult;

use super::{Tail, reader::Page};
use crate::{
    domain::EventKind,
    error::{Error, Result},
    store::Store,
};

/// Events looked at in one go.
const PASSED_AT_ONCE: u64 = 10_000;

/// While one of these lives, each event is read.
#[derive(Debug)]
pub struct Attending(Arc<AtomicUsize>);

impl Drop for Attending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tail {
    /// For who follows: events are read from now on. What went by before is in the database.
    pub fn attend(&self) -> Attending {
        self.attending.fetch_add(1, Ordering::Relaxed);
        Attending(Arc::clone(&self.attending))
    }

    /// Names tasks, by how their names begin, whose runs [`Self::last_of_attended`] counts.
    pub fn attend_tasks(&self, names: Vec<&'static str>) {
        // Whoever comes second is another monitor of the same probes.
        let _ = self.attended.set(names);
    }

    pub(super) fn is_attended(&self) -> bool {
        0 < self.attending.load(Ordering::Relaxed)
    }

    fn attended_names(&self) -> &[&'static str] {
        self.attended.get().map_or(&[], Vec::as_slice)
    }

    /// Takes note of what is final and was not read.
    pub(super) fn pass(&self, passing: &Passing) {
        let notes = [
            (&self.of_documents, passing.of_documents),
            (&self.of_tasks, passing.of_tasks),
            (&self.of_attended, passing.of_attended),
        ];
        for (note, newest) in notes {
            if let Some(newest) = newest {
                note.store(newest, Ordering::Relaxed);
            }
        }
        let Some(upto) = passing.upto else {
            return;
        };
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.events.clear();
        ring.bytes = 0;
        ring.floor = upto;
        drop(ring);
        self.last.send_replace(upto);
    }
}

/// Of a page of the log: what of it is final, and the newest of those that somebody has to know of.
#[derive(Debug, FromQueryResult)]
pub(super) struct Passing {
    /// Events on the page.
    count: i64,
    newest: Option<i64>,
    /// Those before the first number that is missing.
    whole: i64,
    upto: Option<i64>,
    of_documents: Option<i64>,
    of_tasks: Option<i64>,
    of_attended: Option<i64>,
}

impl Passing {
    pub(super) fn page(&self, last: i64) -> Page {
        Page {
            newest: self.newest.unwrap_or(last),
            upto: self.upto.unwrap_or(last),
            lacks: self.whole < self.count,
            is_full: PASSED_AT_ONCE <= self.count.unsigned_abs(),
        }
    }
}

impl Store {
    /// Looks at events after `last` without reading them (PostgreSQL).
    pub(super) async fn events_passing(&self, last: i64) -> Result<Passing> {
        // A kind of a newer server is of nobody knows what.
        let known: Vec<String> = EventKind::ALL
            .iter()
            .map(|kind| format!("'{kind}'"))
            .collect();
        let mut select = self
            .sql(
                "SELECT count(*) AS count, max(sequence) AS newest, count(*) FILTER (WHERE whole) AS whole, \
                 max(sequence) FILTER (WHERE whole) AS upto, \
                 max(sequence) FILTER (WHERE whole AND kind LIKE 'document.%') AS of_documents, \
                 max(sequence) FILTER (WHERE whole AND kind IN ('task.created', 'task.deleted')) AS of_tasks, \
                 max(sequence) FILTER (WHERE whole AND (kind NOT IN (",
            )
            .push(&known.join(", "))
            .push(") OR kind LIKE 'run.%' AND (FALSE");
        for name in self.tail().attended_names() {
            select = select
                .push(" OR starts_with(subject, ")
                .bind(*name)
                .push(") OR starts_with(subject, ")
                .bind(format!("tasks/{name}"))
                .push(")");
        }
        // Without a gap each is as many behind the last one as there are up to it.
        let select = select
            .push("))) AS of_attended FROM (SELECT sequence, kind, subject, sequence - row_number() OVER (ORDER BY sequence) = ")
            .bind(last)
            .push(" AS whole FROM (SELECT sequence, kind, subject FROM events WHERE sequence > ")
            .bind(last)
            .push(" ORDER BY sequence")
            .limit(PASSED_AT_ONCE)
            .push(") AS page) AS passing");
        let passing: Option<Passing> = self.one(select.done()).await?;
        passing.ok_or_else(|| Error::internal("a count without a row"))
    }
}
