//! What has become of each file that an archive has come across. A snapshot is written only where this accounts for
//! all of them.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;

use super::{
    super::{
        error::other,
        gate::{Operation, lock},
    },
    file::Late,
    restless::{Gone, strike_out},
};
use crate::{
    backup::repository::{Hand, Progress, RepositoryError, Result},
    domain::backup::{
        manifest::{FileError, SnapshotPath},
        table::{Origin, Row, Table},
    },
};

/// Files that are read once more at the end.
const LATE_AT_MOST: usize = 10_000;
/// Special files that are named.
const SPECIAL_SHOWN: usize = 100;

pub(in super::super) struct Ledger {
    operation: Arc<Operation>,
    hand: Hand,
    /// The job's, for directories that are on no disk.
    pub(super) time: Timestamp,
    begun: AtomicU64,
    directories: AtomicU64,
    /// Links and special files.
    others: AtomicU64,
    files_done: AtomicU64,
    bytes_done: AtomicU64,
    files: Mutex<Table>,
    errors: Mutex<Vec<FileError>>,
    /// Of the errors, those of files that had been begun.
    failed: AtomicU64,
    /// Those of files that are in the snapshot, as they are in the parent.
    damaged: AtomicU64,
    /// Those that were changed while they were read.
    late: Mutex<Vec<Late>>,
    /// Sources that were gone through, until they are looked at once more.
    gone: Mutex<Vec<Gone>>,
    /// Sockets, fifos and devices.
    special: Mutex<Special>,
}

/// Entries whose names and kinds are stored, and that are never read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Special {
    /// The first [`SPECIAL_SHOWN`].
    pub(in super::super) paths: Vec<SnapshotPath>,
    pub(in super::super) count: u64,
}

/// All that a ledger has come to.
pub(in super::super) struct Account {
    pub(in super::super) files: Table,
    pub(in super::super) errors: Vec<FileError>,
    pub(in super::super) directories: u64,
    pub(in super::super) others: u64,
    pub(in super::super) damaged: u64,
    pub(in super::super) special: Special,
}

impl Ledger {
    pub(in super::super) fn new(
        operation: Arc<Operation>,
        hand: &Hand,
        time: Timestamp,
    ) -> Arc<Self> {
        Arc::new(Self {
            operation,
            hand: hand.clone(),
            time,
            begun: AtomicU64::new(0),
            directories: AtomicU64::new(0),
            others: AtomicU64::new(0),
            files_done: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            files: Mutex::default(),
            errors: Mutex::default(),
            failed: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            late: Mutex::default(),
            gone: Mutex::default(),
            special: Mutex::default(),
        })
    }

    /// Whether there is no use in going on.
    pub(super) fn is_to_stop(&self) -> bool {
        self.operation.cancelled() || self.operation.refused()
    }

    /// For what is read in between: it ends with the same lock.
    pub(in super::super) fn beside(&self) -> Arc<Operation> {
        self.operation.beside()
    }

    pub(super) fn begin_file(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_directory(&self) {
        self.directories.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_other(&self) {
        self.others.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    /// A file was read to its end, or taken from the parent.
    pub(super) fn finish(&self, file: Row<'_>) {
        if file.origin != Origin::Read {
            self.bytes_done.fetch_add(file.size, Ordering::Relaxed);
        }
        lock(&self.files).add(file);
        self.files_done.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Whether one more file may be put off.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.late).len() < LATE_AT_MOST
    }

    /// A file that had been begun is begun once more later.
    pub(super) fn put_off(&self, late: Late) {
        self.begun.fetch_sub(1, Ordering::Relaxed);
        lock(&self.late).push(late);
    }

    /// A file that no walk has come across is begun later.
    pub(super) fn put_off_too(&self, late: Late) {
        lock(&self.late).push(late);
    }

    /// A source was gone through.
    pub(super) fn add_gone(&self, gone: Gone) {
        lock(&self.gone).push(gone);
    }

    /// Those that were, once.
    pub(super) fn take_gone(&self) -> Vec<Gone> {
        std::mem::take(&mut *lock(&self.gone))
    }

    /// Removes those of which something is known.
    pub(super) fn strike_out_known<T>(&self, came: &mut BTreeMap<PathBuf, T>) {
        strike_out(came, lock(&self.files).iter().map(|row| row.path));
        self.strike_out_failed(came);
        let late = lock(&self.late);
        strike_out(
            came,
            late.iter().map(|late| late.path.as_os_str().as_bytes()),
        );
    }

    /// Removes those that are named as failed.
    pub(super) fn strike_out_failed<T>(&self, found: &mut BTreeMap<PathBuf, T>) {
        let errors = lock(&self.errors);
        strike_out(found, errors.iter().map(|error| error.path.as_bytes()));
    }

    /// Whether files have been put off.
    pub(in super::super) fn has_late(&self) -> bool {
        !lock(&self.late).is_empty()
    }

    /// Files that have been put off, in the order of a snapshot.
    pub(in super::super) fn take_late(&self) -> Vec<Late> {
        let mut late = std::mem::take(&mut *lock(&self.late));
        late.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        late
    }

    pub(super) fn add_special(&self, path: SnapshotPath) {
        let mut special = lock(&self.special);
        special.count += 1;
        if special.paths.len() < SPECIAL_SHOWN {
            special.paths.push(path);
        }
    }

    /// A file that had been begun is not in the snapshot.
    pub(super) fn fail_file(&self, path: SnapshotPath, message: String, all_or_nothing: bool) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.fail(path, message, all_or_nothing);
    }

    /// What the parent has of a file is not what was stored once.
    pub(in super::super) fn fail_unchanged(
        &self,
        path: SnapshotPath,
        why: &str,
        all_or_nothing: bool,
    ) {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        let message = format!("what is stored of it is damaged: {why}");
        self.fail(path, message, all_or_nothing);
    }

    /// Something is not in the snapshot that should be.
    pub(super) fn fail(&self, path: SnapshotPath, message: String, all_or_nothing: bool) {
        if all_or_nothing {
            self.operation.refuse(RepositoryError::Source {
                what: path.to_string(),
                why: message.clone(),
            });
        }
        lock(&self.errors).push(FileError { path, message });
    }

    fn tell(&self) {
        // Who has stopped it may have left.
        if self.operation.cancelled() {
            return;
        }
        (self.hand.progress)(Progress {
            files: self.files_done.load(Ordering::Relaxed),
            bytes: self.bytes_done.load(Ordering::Relaxed),
        });
    }

    /// All files so far, once each has been asked for: they are put back by [`Self::put`].
    ///
    /// # Errors
    /// Where a file was begun of which nothing is known: the library has dropped it.
    pub(in super::super) fn take(&self) -> Result<Table> {
        let known = self.files_done.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed);
        let begun = self.begun.load(Ordering::Relaxed);
        if known != begun {
            return Err(other(format!(
                "of {begun} files only {known} were stored or are known to have failed"
            )));
        }
        Ok(std::mem::take(&mut *lock(&self.files)))
    }

    pub(in super::super) fn put(&self, files: Table) {
        *lock(&self.files) = files;
    }

    pub(in super::super) fn close(&self) -> Account {
        let mut errors = std::mem::take(&mut *lock(&self.errors));
        errors.sort_by(|one, other| one.path.cmp(&other.path));
        Account {
            files: std::mem::take(&mut *lock(&self.files)),
            errors,
            directories: self.directories.load(Ordering::Relaxed),
            others: self.others.load(Ordering::Relaxed),
            damaged: self.damaged.load(Ordering::Relaxed),
            special: std::mem::take(&mut *lock(&self.special)),
        }
    }
}
