//! What looks for problems: the one trait.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::Debug,
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    domain::{Event, problem::Problem},
    error::Result,
};

/// Whose problems a probe looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The cluster's: the holder of the monitor's lease looks.
    Cluster,
    /// Those of a server: each looks for itself, and its rows are its own.
    Replica,
}

/// Something that looks for problems of its own kinds, again and again.
pub trait Probe: Debug + Send + Sync {
    /// Names what it has found in the table of problems, and the probe itself in `monitor.stalled` (`probes/NAME`).
    fn name(&self) -> &'static str;

    fn scope(&self) -> Scope;

    /// How often it looks at the least. One that has not looked for three of these is a problem.
    fn period(&self) -> Duration;

    /// Whether an event may have changed what it would find, so that it looks soon. Called for each event of the log:
    /// it must be cheap.
    fn is_touched_by(&self, event: &Event) -> bool {
        let _ = event;
        false
    }

    /// How names of tasks begin whose runs may touch it, where it looks for a server: what nobody follows is not read on
    /// each server, and no other event touches one that does.
    fn attends_runs_of(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it looks at what may hang: disks, users and secrets of this host. Readers wait for it for a moment alone.
    fn may_hang(&self) -> bool {
        false
    }

    /// How long it rests at the least between two looks that events ask for, by real time.
    fn rest(&self) -> Duration {
        Duration::from_millis(250)
    }

    /// Looks at all of it. What blocks is done on a thread of its own.
    ///
    /// # Errors
    /// Where it could not look: what it found before stays as it is, and that it is blind is told.
    fn look(&self) -> BoxFuture<'_, Result<Look>>;
}

/// What a look has found.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// All that is wrong now: what is not among it any more is over.
    pub problems: Vec<Problem>,
    /// It looks again at this instant at the latest, where its period ends later.
    pub again_at: Option<Timestamp>,
}

impl Look {
    pub fn of(problems: Vec<Problem>) -> Self {
        Self {
            problems,
            again_at: None,
        }
    }

    /// Problems that were found, one of each kind and subject: as grave as the gravest of them, and with the words of all.
    pub(super) fn each_once(&self) -> Vec<Problem> {
        let mut once: BTreeMap<(&str, &str), Problem> = BTreeMap::new();
        for problem in &self.problems {
            match once.entry((&problem.kind, &problem.subject)) {
                Entry::Vacant(place) => {
                    place.insert(problem.clone());
                }
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    known.severity = known.severity.max(problem.severity);
                    known.since = known.since.min(problem.since);
                    if !known.message.contains(&problem.message) {
                        known.message = format!("{}; {}", known.message, problem.message);
                    }
                }
            }
        }
        once.into_values().collect()
    }
}

pub type SharedProbe = Arc<dyn Probe>;
