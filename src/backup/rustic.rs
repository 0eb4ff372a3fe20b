//! The adapter of [`Repository`] on `rustic_core`: repositories in restic's format, in a directory of this host.
//!
//! The library is never used bare. What an archive reads comes from `source`, which records every file and every
//! error; all that is written passes the commit gate (`gate`), which writes no snapshot of what is incomplete; and
//! files are read by `reader`, whose errors are those of one file. Each call opens the repository anew with the
//! master key, which a short-lived process has unlocked (`key`), holds the lock of this host (`place`) and one of
//! restic's kind in the repository (`holding`), and works
//! on threads of its own, at the lowest priority (`quiet`).

mod apart;
mod archive;
mod carry;
mod check;
mod copy;
mod error;
mod explained;
mod files;
mod gate;
mod holding;
mod key;
mod lacking;
mod locks;
mod origin;
mod pieces;
mod place;
mod prune;
mod quiet;
mod reader;
mod reads;
mod rotate;
mod sealed;
mod session;
mod snapshots;
mod source;
#[cfg(test)]
mod tests;
mod usage;
mod warden;

use std::{
    any::Any,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rustic_core::repofile::MasterKey;
use tokio_util::sync::CancellationToken;

pub use self::{
    apart::Apart,
    quiet::lower_priority,
    rotate::{Newer, Rotated},
};
pub(super) use self::{
    apart::{WORK, work},
    key::help,
};
use self::{
    gate::Operation,
    holding::{Holding, Pace},
    place::{Place, Right, expect_repository, foreign, look},
    quiet::quietly,
    reader::Reader,
    warden::Warden,
};
use super::{
    child::Helpers,
    repository::{
        Archived, Checked, ForeignLock, Hand, Job, Pruned, ReadData, Repository, RepositoryError,
        Result, Snapshot, SnapshotId, SnapshotReader, Usage,
    },
};

/// How often a turn that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A repository that is open: its place and its master key.
#[derive(Clone)]
pub struct Rustic {
    place: PathBuf,
    key: MasterKey,
    /// Whether somebody stores: one at a time, for the sake of memory.
    storing: Arc<AtomicBool>,
    /// The lock in the repository of all who store and read at present.
    sharing: Arc<Mutex<Weak<Holding>>>,
    pace: Pace,
    /// Whether it was said that it is read without a lock.
    told_read_only: Arc<AtomicBool>,
    /// Who holds the lock in the repository, where that is the process that has started this one.
    warden: Option<Arc<dyn Warden>>,
}

impl Rustic {
    /// Opens the repository at `place`.
    ///
    /// # Errors
    /// Where there is none, something else, one of a version that is not known, or another password's.
    pub fn open(
        place: &Path,
        password: &str,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        expect_repository(place)?;
        let key = key::ask(key::UNLOCK, place, password, helpers, cancel)?;
        Ok(Self::with_key(place, key))
    }

    /// Creates a repository at `place`, where there is nothing yet.
    ///
    /// # Errors
    /// Where there is something.
    pub fn create(
        place: &Path,
        password: &str,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        match look(place)? {
            Place::Free | Place::Unfinished => {}
            Place::Repository => return Err(foreign(place, "there is a repository already")),
            Place::Foreign(why) => return Err(foreign(place, why)),
        }
        let key = key::ask(key::CREATE, place, password, helpers, cancel)?;
        Ok(Self::with_key(place, key))
    }

    /// Opens the repository at `place`, and creates it where there is nothing.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_or_create(
        place: &Path,
        password: &str,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> Result<Self> {
        match Self::open(place, password, helpers, cancel) {
            Err(RepositoryError::Missing { .. }) => {}
            opened => return opened,
        }
        match Self::create(place, password, helpers, cancel) {
            // Another has created it meanwhile.
            Err(RepositoryError::Foreign { .. }) => Self::open(place, password, helpers, cancel),
            created => created,
        }
    }

    fn with_key(place: &Path, key: MasterKey) -> Self {
        Self {
            place: place.to_owned(),
            key,
            storing: Arc::default(),
            sharing: Arc::default(),
            pace: Pace::default(),
            told_read_only: Arc::default(),
            warden: None,
        }
    }

    fn reader(&self, snapshot: &SnapshotId) -> Result<Reader> {
        let never = CancellationToken::new();
        self.read(snapshot, Operation::new(&self.place, &never))
    }

    /// One whose bytes come from the disk.
    fn reader_anew(&self, snapshot: &SnapshotId) -> Result<Reader> {
        let never = CancellationToken::new();
        self.read(snapshot, Operation::that_tells(&self.place, &never, |_| {}))
    }

    /// Opens a snapshot, to be read by this operation.
    fn read(&self, snapshot: &SnapshotId, operation: Arc<Operation>) -> Result<Reader> {
        let held = self.enter(Right::Shared, &operation)?;
        let (rustic, snapshot) = (self.clone(), snapshot.clone());
        let at_work = Arc::clone(&operation);
        quietly(&operation, move || {
            let (place, key) = (&rustic.place, &rustic.key);
            Reader::open(place, key, &snapshot, Some(held), &at_work)
        })
    }

    /// Waits until nobody else stores here.
    fn turn(&self, cancel: &CancellationToken) -> Result<Turn> {
        while self.storing.swap(true, Ordering::Acquire) {
            if cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(Turn(Arc::clone(&self.storing)))
    }
}

/// The right to store, until it goes.
struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Rustic {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rustic")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Repository for Rustic {
    fn place(&self) -> String {
        self.place.display().to_string()
    }

    fn archive(&self, job: &Job, hand: &Hand) -> Result<Archived> {
        archive::archive(self, job, hand)
    }

    fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let operation = Operation::new(&self.place, &CancellationToken::new());
        let held = self.enter(Right::Shared, &operation)?;
        let (rustic, at_work) = (self.clone(), Arc::clone(&operation));
        quietly(&operation, move || {
            let _held = held;
            let opened = session::open(&rustic.place, &rustic.key, &at_work)?;
            snapshots::all(&opened, &at_work)
        })
    }

    fn written(&self) -> Result<Vec<(SnapshotId, Timestamp)>> {
        snapshots::written(&self.place)
    }

    fn open(&self, snapshot: &SnapshotId) -> Result<Arc<dyn SnapshotReader>> {
        Ok(Arc::new(self.reader(snapshot)?))
    }

    fn open_anew(&self, snapshot: &SnapshotId) -> Result<Arc<dyn SnapshotReader>> {
        Ok(Arc::new(self.reader_anew(snapshot)?))
    }

    fn check(&self, read: ReadData, hand: &Hand) -> Result<Checked> {
        check::check(self, read, hand)
    }

    fn forget(&self, snapshots: &[SnapshotId]) -> Result<()> {
        prune::forget(self, snapshots)
    }

    fn prune(&self, grace: Duration, dry_run: bool, now: Timestamp, hand: &Hand) -> Result<Pruned> {
        prune::prune(self, grace, dry_run, now, hand)
    }

    fn copy_to(
        &self,
        snapshots: &[SnapshotId],
        other: &dyn Repository,
        hand: &Hand,
    ) -> Result<Vec<SnapshotId>> {
        let Some(to) = other.as_any().downcast_ref::<Self>() else {
            return Err(error::other(format!(
                "{} is of another kind than {}",
                other.place(),
                self.place()
            )));
        };
        copy::copy(self, snapshots, to, hand)
    }

    fn usage(&self) -> Result<Usage> {
        usage::usage(&self.place)
    }

    fn foreign_locks(&self, now: Timestamp) -> Result<Vec<ForeignLock>> {
        let found = locks::find(&self.place, &self.key, now)?;
        Ok(found.into_iter().map(|found| found.lock).collect())
    }

    fn claim(&self) -> Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(self.share()?))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
