//! Repositories that fail, or wait, when a story says so: the real ones otherwise.

use std::{
    any::Any,
    collections::VecDeque,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use watchbell::{
    backup::{
        Directories, OpenRepository,
        child::Helpers,
        repository::{
            Archived, Checked, Entry, ForeignLock, Hand, Job, Met, Pruned, ReadData, Repository,
            RepositoryError, Result, Snapshot, SnapshotId, SnapshotReader, Usage,
        },
    },
    config::Secret,
    domain::backup::manifest::SnapshotPath,
};

/// What happens to the next call of an operation.
#[derive(Debug)]
pub(crate) enum Fault {
    Fail(&'static str),
    /// It waits until the gate is opened, or it is cancelled.
    Wait(Arc<Gate>),
}

/// Held until it is opened.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    /// Whether someone waits at it.
    pub(crate) fn is_reached(&self) -> bool {
        self.state.lock().unwrap().0
    }

    fn pass(&self, cancel: &CancellationToken) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        while !state.1 {
            if cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            let wait = self.changed.wait_timeout(state, Duration::from_millis(10));
            state = wait.unwrap().0;
        }
        Ok(())
    }
}

/// What is to happen, in order: the operation's name, and its fault.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faulty {
    script: Arc<Mutex<VecDeque<(&'static str, Fault)>>>,
    altered: Arc<Mutex<Option<Altered>>>,
    opened: Arc<Mutex<Vec<PathBuf>>>,
}

/// How an entry whose path ends so is told.
type Altered = (&'static str, fn(&mut Entry));

impl Faulty {
    pub(crate) fn will(&self, operation: &'static str, fault: Fault) {
        self.script.lock().unwrap().push_back((operation, fault));
    }

    /// Whether the repository at this place was opened by now. A server looks by itself once whether it can be.
    pub(crate) fn has_opened(&self, place: &Path) -> bool {
        self.opened.lock().unwrap().iter().any(|path| path == place)
    }

    /// The next walk that meets an entry whose path ends so tells it otherwise; those after it do not.
    pub(crate) fn alters(&self, path: &'static str, how: fn(&mut Entry)) {
        *self.altered.lock().unwrap() = Some((path, how));
    }

    fn reading(&self, real: Arc<dyn SnapshotReader>) -> Arc<dyn SnapshotReader> {
        Arc::new(Reading {
            real,
            script: self.clone(),
        })
    }

    fn meet(&self, operation: &str, cancel: &CancellationToken) -> Result<()> {
        let fault = {
            let mut script = self.script.lock().unwrap();
            match script.front() {
                Some((next, _)) if *next == operation => script.pop_front(),
                _ => None,
            }
        };
        match fault {
            None => Ok(()),
            Some((_, Fault::Fail(what))) => Err(RepositoryError::Other {
                what: what.to_owned(),
                source: None,
            }),
            Some((_, Fault::Wait(gate))) => gate.pass(cancel),
        }
    }

    fn around(&self, real: Arc<dyn Repository>) -> Arc<dyn Repository> {
        Arc::new(Around {
            real,
            script: self.clone(),
        })
    }
}

impl OpenRepository for Faulty {
    fn open(
        &self,
        place: &Path,
        password: &Secret,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> Result<Arc<dyn Repository>> {
        self.meet("open", cancel)?;
        let opened = Directories.open(place, password, helpers, cancel)?;
        self.opened.lock().unwrap().push(place.to_owned());
        Ok(self.around(opened))
    }

    fn create(
        &self,
        place: &Path,
        password: &Secret,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> Result<Arc<dyn Repository>> {
        self.meet("create", cancel)?;
        Ok(self.around(Directories.create(place, password, helpers, cancel)?))
    }
}

#[derive(Debug)]
struct Around {
    real: Arc<dyn Repository>,
    script: Faulty,
}

impl Repository for Around {
    fn place(&self) -> String {
        self.real.place()
    }

    fn archive(&self, job: &Job, hand: &Hand) -> Result<Archived> {
        self.script.meet("archive", &hand.cancel)?;
        let archived = self.real.archive(job, hand)?;
        // It is there, and whoever has done it cannot say so.
        self.script.meet("archived", &hand.cancel)?;
        Ok(archived)
    }

    fn snapshots(&self) -> Result<Vec<Snapshot>> {
        self.real.snapshots()
    }

    fn written(&self) -> Result<Vec<(SnapshotId, Timestamp)>> {
        self.real.written()
    }

    fn open(&self, snapshot: &SnapshotId) -> Result<Arc<dyn SnapshotReader>> {
        self.script.meet("read", &CancellationToken::new())?;
        Ok(self.script.reading(self.real.open(snapshot)?))
    }

    fn open_anew(&self, snapshot: &SnapshotId) -> Result<Arc<dyn SnapshotReader>> {
        self.script.meet("read", &CancellationToken::new())?;
        Ok(self.script.reading(self.real.open_anew(snapshot)?))
    }

    fn check(&self, read: ReadData, hand: &Hand) -> Result<Checked> {
        self.script.meet("check", &hand.cancel)?;
        self.real.check(read, hand)
    }

    fn forget(&self, snapshots: &[SnapshotId]) -> Result<()> {
        self.script.meet("forget", &CancellationToken::new())?;
        self.real.forget(snapshots)
    }

    fn prune(&self, grace: Duration, dry_run: bool, now: Timestamp, hand: &Hand) -> Result<Pruned> {
        self.script.meet("prune", &hand.cancel)?;
        self.real.prune(grace, dry_run, now, hand)
    }

    fn copy_to(
        &self,
        snapshots: &[SnapshotId],
        other: &dyn Repository,
        hand: &Hand,
    ) -> Result<Vec<SnapshotId>> {
        let other: &dyn Repository = match other.as_any().downcast_ref::<Self>() {
            Some(around) => &*around.real,
            None => other,
        };
        self.real.copy_to(snapshots, other, hand)
    }

    fn usage(&self) -> Result<Usage> {
        self.script.meet("usage", &CancellationToken::new())?;
        self.real.usage()
    }

    fn claim(&self) -> Result<Box<dyn Any + Send + Sync>> {
        self.real.claim()
    }

    fn foreign_locks(&self, now: Timestamp) -> Result<Vec<ForeignLock>> {
        self.real.foreign_locks(now)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct Reading {
    real: Arc<dyn SnapshotReader>,
    script: Faulty,
}

impl SnapshotReader for Reading {
    fn walk(&self, each: &mut dyn FnMut(Met) -> Result<()>) -> Result<()> {
        self.real.walk(&mut |mut met| {
            if let Met::Entry(entry) = &mut met {
                let mut altered = self.script.altered.lock().unwrap();
                let is_it =
                    |(end, _): &mut Altered| entry.path.as_bytes().ends_with(end.as_bytes());
                if let Some((_, how)) = altered.take_if(is_it) {
                    how(entry);
                }
            }
            each(met)
        })
    }

    fn entry(&self, path: &SnapshotPath) -> Result<Option<Entry>> {
        self.real.entry(path)
    }

    fn children(
        &self,
        path: &SnapshotPath,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Option<Vec<Entry>>> {
        self.real.children(path, after, most)
    }

    fn read(&self, file: &Entry, into: &mut dyn Write, cancel: &CancellationToken) -> Result<()> {
        self.real.read(file, into, cancel)
    }
}
