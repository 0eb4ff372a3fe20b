//! Turns of calls that look into restore points: each holds a part of the repository's index and of a manifest in memory,
//! in the process that schedules, so that few are under way at once.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// Plans of restores that are made at once.
const PLANS: usize = 2;
/// Directories that are listed at once.
const LISTS: usize = 4;
/// Files that are read at once, each for as long as its caller takes.
const FILES: usize = 4;
/// How long a call waits for its turn: one that is quick ends within that.
const PATIENCE: Duration = Duration::from_secs(5);

/// A place among those who may look at once. Whatever still works for a caller that is gone holds it as well.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    _place: Arc<OwnedSemaphorePermit>,
}

/// Calls of one kind, of which few are under way at once.
#[derive(Debug)]
pub(super) struct Line {
    places: Arc<Semaphore>,
    most: usize,
    /// What they do, such as "restores are planned".
    what: &'static str,
}

/// The lines of all kinds of calls.
#[derive(Debug)]
pub(super) struct Turns {
    pub(super) plans: Line,
    pub(super) lists: Line,
    pub(super) files: Line,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            plans: Line::new(PLANS, "restores are planned"),
            lists: Line::new(LISTS, "directories of restore points are listed"),
            files: Line::new(FILES, "files of restore points are read"),
        }
    }
}

impl Line {
    fn new(most: usize, what: &'static str) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most)),
            most,
            what,
        }
    }

    /// Waits for a place, though not for ever.
    ///
    /// # Errors
    /// [`Error::Busy`]
    pub(super) async fn enter(&self) -> Result<Turn> {
        let place = tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned()).await;
        let place = place.map_err(|_| {
            let (most, what) = (self.most, self.what);
            Error::Busy(format!(
                "{most} {what} at present, as many as may be at once: send this one again when one of them has ended"
            ))
        })?;
        Ok(Turn {
            _place: Arc::new(place.map_err(Error::internal)?),
        })
    }
}
