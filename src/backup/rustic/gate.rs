//! The commit gate: the one way by which an operation reaches a repository's files. It refuses to write a snapshot
//! where something has gone wrong on the way, and ends an operation that is to stop.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend,
};
use tokio_util::sync::CancellationToken;

use super::{
    error::{other, translate},
    files::{files, pack_folder, pack_path},
    holding::Holding,
    reads::Reads,
    warden::Warden,
};
use crate::backup::repository::{RepositoryError, Result};

/// Whether all is as it should be, asked at the last moment.
pub(super) type Condition = Arc<dyn Fn() -> Result<Commit> + Send + Sync>;

/// What becomes of a snapshot that is about to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commit {
    Write,
    /// It is a part of another that comes: nobody is to see it.
    Withhold,
}

/// One call of a caller's: whether it is to stop, what has gone wrong in it, and what it has moved.
pub(super) struct Operation {
    pub(super) place: PathBuf,
    cancel: CancellationToken,
    /// Why no snapshot is written: the first reason, which explains the others.
    refusal: Mutex<Option<RepositoryError>>,
    /// Asked once all but the snapshot is written. It knows the operation itself, and goes when that is over.
    condition: Mutex<Option<Condition>>,
    /// What the library has broken down over on a thread that nobody waits for.
    broken: OnceLock<String>,
    /// The lock in the repository, without which it is to stop.
    pub(super) holding: OnceLock<Weak<Holding>>,
    /// Who decides, where that is another process.
    pub(super) warden: OnceLock<Arc<dyn Warden>>,
    stage: Mutex<Stage>,
    /// After it the library's threads may still be at work for a moment; they write no more.
    over: AtomicBool,
    pub(super) bytes_written: AtomicU64,
    /// Where that is of interest.
    reads: Option<Reads>,
}

/// Whether what an operation does is to be seen by others yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of it is; whoever waits may leave.
    Preparing,
    /// Some of it is or will be, and it is waited for.
    Committing,
    /// Whoever waited has left, and nothing of it will be.
    Abandoned,
}

impl Operation {
    pub(super) fn new(place: &Path, cancel: &CancellationToken) -> Arc<Self> {
        Arc::new(Self::bare(place, cancel))
    }

    /// One that keeps how far each pack is read, and tells how many bytes of packs that is.
    pub(super) fn that_tells(
        place: &Path,
        cancel: &CancellationToken,
        tell: impl Fn(u64) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            reads: Some(Reads::that_tell(cancel, tell)),
            ..Self::bare(place, cancel)
        })
    }

    fn bare(place: &Path, cancel: &CancellationToken) -> Self {
        Self {
            place: place.to_owned(),
            cancel: cancel.clone(),
            refusal: Mutex::new(None),
            condition: Mutex::new(None),
            broken: OnceLock::new(),
            holding: OnceLock::new(),
            warden: OnceLock::new(),
            stage: Mutex::new(Stage::Preparing),
            over: AtomicBool::new(false),
            bytes_written: AtomicU64::new(0),
            reads: None,
        }
    }

    pub(super) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    pub(super) fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// From now on no snapshot is written, for this reason if there was none before.
    pub(super) fn refuse(&self, why: RepositoryError) {
        lock(&self.refusal).get_or_insert(why);
    }

    /// Why it is refused, once.
    pub(super) fn refusal(&self) -> Option<RepositoryError> {
        lock(&self.refusal).take()
    }

    pub(super) fn refused(&self) -> bool {
        lock(&self.refusal).is_some()
    }

    pub(super) fn commit_only_if(&self, condition: Condition) {
        *lock(&self.condition) = Some(condition);
    }

    /// What the caller hears: the reason, where there is one, and not what followed from it.
    pub(super) fn outcome<T>(&self, result: RusticResult<T>) -> Result<T> {
        self.close();
        result.map_err(|error| self.explain(&error))
    }

    /// That it is over, and why.
    pub(super) fn fail(&self, error: &RusticError) -> RepositoryError {
        self.close();
        self.explain(error)
    }

    /// From now on what it does is to be seen.
    ///
    /// # Errors
    /// Where nobody waits for it any more.
    pub(super) fn commit(&self) -> Result<()> {
        if let Some(warden) = self.warden.get() {
            warden.commit()?;
        }
        let mut stage = lock(&self.stage);
        if *stage == Stage::Abandoned {
            return Err(RepositoryError::Cancelled);
        }
        *stage = Stage::Committing;
        Ok(())
    }

    /// Whoever waits for it leaves. Says whether it may: nothing of it is to be seen, nor will be.
    pub(super) fn abandon(&self) -> bool {
        let mut stage = lock(&self.stage);
        if *stage == Stage::Committing || self.warden.get().is_some() {
            return false;
        }
        *stage = Stage::Abandoned;
        true
    }

    pub(super) fn has_committed(&self) -> bool {
        *lock(&self.stage) == Stage::Committing
    }

    /// From now on nothing is written.
    pub(super) fn close(&self) {
        self.over.store(true, Ordering::Relaxed);
        *lock(&self.condition) = None;
    }

    /// From now on nothing is written or removed: what it knows may be short.
    pub(super) fn break_down(&self, what: String) {
        let _ = self.broken.set(what);
    }

    pub(super) fn expect_unbroken(&self) -> Result<()> {
        match self.broken.get() {
            None => Ok(()),
            Some(what) => Err(other(what)),
        }
    }

    /// How far each pack was read.
    pub(super) fn packs_read(&self) -> HashMap<Id, u64> {
        self.reads.as_ref().map(Reads::take).unwrap_or_default()
    }

    fn may_go_on(&self) -> RusticResult<()> {
        if self.cancelled() {
            return Err(stopped("it was asked to stop"));
        }
        self.expect_lock(self.lock_trouble())
    }

    fn expect_lock(&self, trouble: Option<RepositoryError>) -> RusticResult<()> {
        if let Err(why) = self.expect_unbroken() {
            self.refuse(why);
            return Err(stopped("it has broken down"));
        }
        match trouble {
            None => Ok(()),
            Some(why) => {
                self.refuse(why);
                Err(stopped("its lock is lost"))
            }
        }
    }

    /// Packs and indexes are written to the end also where it is to stop, so that what was stored can be used; a
    /// snapshot is not.
    fn may_write(&self, kind: FileType) -> RusticResult<Commit> {
        if self.over.load(Ordering::Relaxed) {
            return Err(stopped("it is over"));
        }
        if kind != FileType::Snapshot {
            return Ok(Commit::Write);
        }
        self.may_go_on()?;
        if let Err(why) = self.settle() {
            self.refuse(why);
        }
        let mut what = Commit::Write;
        let condition = lock(&self.condition).clone();
        if !self.refused()
            && let Some(condition) = condition
        {
            match condition() {
                Ok(answer) => what = answer,
                Err(why) => self.refuse(why),
            }
        }
        self.may_go_on()?;
        if self.refused() {
            return Err(stopped("no snapshot of what is incomplete"));
        }
        if what == Commit::Write {
            self.commit().map_err(|why| {
                self.refuse(why);
                stopped("it was abandoned")
            })?;
        }
        Ok(what)
    }
}

/// A repository's files, as one operation reaches them.
#[derive(Clone)]
pub(super) struct Gate {
    inner: Arc<dyn WriteBackend>,
    operation: Arc<Operation>,
    /// Directories whose new names may not be on the disk yet.
    unsynced: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Gate {
    pub(super) fn new(inner: Arc<dyn WriteBackend>, operation: &Arc<Operation>) -> Self {
        Self {
            inner,
            operation: Arc::clone(operation),
            unsynced: Arc::default(),
        }
    }

    fn folder(&self, kind: FileType, id: &Id) -> PathBuf {
        let place = &self.operation.place;
        match kind {
            FileType::Config => place.clone(),
            FileType::Pack => pack_folder(place, id),
            _ => place.join(kind.dirname()),
        }
    }

    /// Names are on the disk before a snapshot refers to what they name, and when its own is told of.
    pub(super) fn sync(&self) -> RusticResult<()> {
        let folders = std::mem::take(&mut *lock(&self.unsynced));
        let synced = folders
            .into_iter()
            .try_for_each(|folder| fs::File::open(folder).and_then(|folder| folder.sync_all()));
        synced.map_err(|error| {
            RusticError::with_source(ErrorKind::InputOutput, "could not sync a directory", error)
        })
    }
}

impl ReadBackend for Gate {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.operation.may_go_on()?;
        if kind == FileType::Config {
            return self.inner.list_with_size(kind);
        }
        files(&self.operation.place, kind).map_err(|error| {
            RusticError::with_source(ErrorKind::Backend, "could not list {kind}", error)
                .attach_context("kind", kind.dirname())
        })
    }

    fn list(&self, kind: FileType) -> RusticResult<Vec<Id>> {
        if kind == FileType::Config {
            return self.inner.list(kind);
        }
        let files = self.list_with_size(kind)?;
        Ok(files.into_iter().map(|(id, _)| id).collect())
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        self.operation.may_go_on()?;
        self.inner.read_full(kind, id)
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.operation.may_go_on()?;
        if let Some(reads) = &self.operation.reads
            && kind == FileType::Pack
        {
            reads.begin(id, || pack_path(&self.operation.place, id));
        }
        let bytes = self
            .inner
            .read_partial(kind, id, cacheable, offset, length)?;
        if let Some(reads) = &self.operation.reads {
            reads.add(id, offset, length);
        }
        Ok(bytes)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.inner.warmup_path(kind, id)
    }
}

impl WriteBackend for Gate {
    fn create(&self) -> RusticResult<()> {
        self.inner.create()
    }

    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        let operation = &self.operation;
        if operation.may_write(kind)? == Commit::Withhold {
            // Another gate writes what refers to all that came by this one.
            return self.sync();
        }
        if kind == FileType::Snapshot {
            self.sync()?;
        }
        let size = content.size() as u64;
        if let Err(error) = self.inner.write_bytes(kind, id, cacheable, content) {
            // What is told to the end is often only that a channel was closed.
            operation.refuse(translate(&operation.place, &error));
            return Err(error);
        }
        operation.bytes_written.fetch_add(size, Ordering::Relaxed);
        lock(&self.unsynced).insert(self.folder(kind, id));
        if kind == FileType::Snapshot {
            self.sync()?;
        }
        Ok(())
    }

    fn remove(&self, kind: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        // Another may have begun to store what refers to it.
        let operation = &self.operation;
        operation.expect_lock(operation.lock_trouble_now())?;
        self.inner.remove(kind, id, cacheable)
    }
}

fn stopped(why: &str) -> Box<RusticError> {
    RusticError::new(ErrorKind::Other, why)
}

/// A thread that panicked has left nothing half done in what is kept here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
