//! Files, by several threads at once: each hashed while it is written, and given all that it was.

use std::{
    fs::File,
    io,
    os::fd::AsFd as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, sync_channel},
    },
};

use anyhow::Context as _;
use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, unlinkat},
    io::Errno,
};

use super::{
    beneath::{Beneath, parts},
    leads_out, marks,
    sparse::Sparse,
    tally::{Restored, Tally, Unset, note_unset},
};
use crate::{
    backup::{
        read_back::{Hashing, named},
        repository::{Entry, Hand, Progress, RepositoryError, SnapshotReader},
    },
    domain::backup::manifest::FileRecord,
};

/// Threads that restore files.
const THREADS: usize = 4;
/// Files that wait for one.
const WAITING: usize = 256;

/// A file to be restored.
pub(super) struct Task {
    pub(super) entry: Entry,
    pub(super) record: FileRecord,
    /// Whether its owner is to be who it was.
    pub(super) owned: bool,
}

/// What restores files, and what that has come to.
pub(super) struct Files<'a> {
    reader: &'a dyn SnapshotReader,
    into: &'a Beneath,
    hand: &'a Hand,
    /// Whether what could not be set is kept by its path.
    kept: bool,
    files: AtomicU64,
    bytes: AtomicU64,
    named: Mutex<Named>,
}

#[derive(Default)]
struct Named {
    damaged: Tally,
    refused: Tally,
    unset: Tally,
    unset_of: Unset,
    /// What ends it all.
    broken: Option<anyhow::Error>,
}

/// What one file came to, where it did not come back.
enum Lack {
    Damaged(String),
    Refused(String),
}

impl<'a> Files<'a> {
    pub(super) fn new(
        reader: &'a dyn SnapshotReader,
        into: &'a Beneath,
        hand: &'a Hand,
        kept: bool,
    ) -> Self {
        Self {
            reader,
            into,
            hand,
            kept,
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            named: Mutex::default(),
        }
    }

    /// Restores what `feed` sends, while it goes on.
    pub(super) fn attend(
        &self,
        feed: impl FnOnce(
            &mut dyn FnMut(Task) -> Result<(), RepositoryError>,
        ) -> Result<(), RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let (sender, tasks) = sync_channel(WAITING);
        let tasks = Mutex::new(tasks);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| self.take(&tasks));
            }
            let fed = feed(&mut |task| {
                if self.is_broken() {
                    return Err(RepositoryError::Cancelled);
                }
                // There is always one who takes it: they go on until the last was sent.
                sender.send(task).map_err(|_| RepositoryError::Cancelled)
            });
            drop(sender);
            fed
        })
    }

    fn take(&self, tasks: &Mutex<Receiver<Task>>) {
        loop {
            let next = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(task) = next else { return };
            // What is left is taken, and not done: who sends must not wait for ever.
            if !self.hand.cancel.is_cancelled() && !self.is_broken() {
                self.restore(task);
            }
        }
    }

    /// Restores one; says whether it came back.
    pub(super) fn restore(&self, task: Task) -> bool {
        let restored = self.restore_file(&task);
        let mut named = self.named();
        match restored {
            Ok(Ok(lacks)) => {
                let Named {
                    unset, unset_of, ..
                } = &mut *named;
                note_unset((unset, unset_of), &task.entry.path, lacks, self.kept);
                drop(named);
                self.count_one(task.record.size);
                return true;
            }
            Ok(Err(Lack::Damaged(why))) => named.damaged.add_at(&task.entry.path, why),
            Ok(Err(Lack::Refused(why))) => named.refused.add(why),
            Err(error) => {
                named.broken.get_or_insert(error);
            }
        }
        false
    }

    /// Counts one that is there.
    pub(super) fn count_one(&self, size: u64) {
        let files = self.files.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        (self.hand.progress)(Progress { files, bytes });
    }

    /// # Errors
    /// What has ended it all, once.
    pub(super) fn broken(&self) -> anyhow::Result<()> {
        match self.named().broken.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub(super) fn add_to(self, restored: &mut Restored) {
        restored.files += self.files.into_inner();
        restored.bytes += self.bytes.into_inner();
        let named = self.named.into_inner();
        let named = named.unwrap_or_else(PoisonError::into_inner);
        for (to, from) in [
            (&mut restored.damaged, named.damaged),
            (&mut restored.refused, named.refused),
            (&mut restored.unset, named.unset),
        ] {
            to.take(from);
        }
        for (path, lacks) in named.unset_of {
            restored.unset_of.entry(path).or_default().extend(lacks);
        }
    }

    fn is_broken(&self) -> bool {
        self.named().broken.is_some()
    }

    fn named(&self) -> std::sync::MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what could not be set of it; or why it is not there. What is not whole is removed.
    ///
    /// # Errors
    /// What is not about this file.
    fn restore_file(&self, task: &Task) -> anyhow::Result<Result<Vec<String>, Lack>> {
        let path = &task.entry.path;
        let refused = |error: io::Error| match is_of_one(&error) {
            true => Ok(Err(Lack::Refused(format!("{path}: {error}")))),
            false => Err(error).with_context(|| format!("could not write {path}")),
        };
        let parts = parts(path);
        let Some((name, above)) = parts.as_ref().and_then(|parts| parts.split_last()) else {
            return Ok(Err(Lack::Refused(leads_out(path))));
        };
        let directory = match self.into.make(above) {
            Ok(directory) => directory,
            Err(error) => return refused(error),
        };
        // New: neither over anything, nor through a link.
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match openat(&directory, *name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => File::from(file),
            Err(error) => return refused(error.into()),
        };
        let remove = || {
            // What stays is not whole, and what it is named for says so.
            let _ = unlinkat(&directory, *name, AtFlags::empty());
        };
        let mut hashed = Hashing::new(Sparse::new(file));
        let read = self
            .reader
            .read(&task.entry, &mut hashed, &self.hand.cancel);
        let (mut sparse, sha256, bytes) = hashed.into_all();
        if let Some(error) = sparse.failed() {
            remove();
            return refused(error);
        }
        let record = &task.record;
        let damaged = match read {
            Ok(()) if bytes == record.size && sha256 == record.sha256 => None,
            Ok(()) => Some(format!(
                "{path}: {bytes} bytes with the SHA-256 {sha256} came back; {} with {} were stored",
                record.size, record.sha256
            )),
            Err(RepositoryError::Damaged { what }) => Some(named(path, &what)),
            Err(error) => {
                remove();
                return Err(error.into());
            }
        };
        if let Some(why) = damaged {
            remove();
            return Ok(Err(Lack::Damaged(why)));
        }
        match sparse.finish() {
            Ok(file) => Ok(Ok(marks::set(file.as_fd(), &task.entry, task.owned))),
            Err(error) => {
                remove();
                refused(error)
            }
        }
    }
}

/// Whether an error is about one name or file: others may come back all the same. That the disk is full, or does not
/// answer, is about all.
pub(super) fn is_of_one(error: &io::Error) -> bool {
    let Some(errno) = Errno::from_io_error(error) else {
        return error.kind() == io::ErrorKind::InvalidInput;
    };
    matches!(
        errno,
        Errno::NAMETOOLONG
            | Errno::ILSEQ
            | Errno::INVAL
            | Errno::EXIST
            | Errno::NOTDIR
            | Errno::ISDIR
            | Errno::LOOP
            | Errno::FBIG
            | Errno::MLINK
            | Errno::PERM
            | Errno::ACCESS
            | Errno::OPNOTSUPP
    )
}
