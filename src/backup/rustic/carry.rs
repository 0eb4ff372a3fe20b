//! Hashes of files that are unchanged: carried forward from the parent's records, or read where it has none. Both are in
//! the order of a walk, and gone through side by side.

use std::{
    cmp::Ordering,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering as Atomic},
    },
};

use rayon::prelude::{IntoParallelRefIterator as _, ParallelIterator as _};
use rustic_core::repofile::MasterKey;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{error::other, reader::Reader, source::ledger::Ledger};
use crate::{
    backup::repository::{Parent, RepositoryError, Result, SnapshotReader as _},
    domain::backup::{
        manifest::SnapshotPath,
        table::{Origin, Row, Table, digest, in_order_of_a_walk},
    },
};

/// Files whose hashes are held beside the table that they go into.
const AT_ONCE: usize = 10_000;

/// What is known of the parent's files.
pub(super) struct Carry {
    place: PathBuf,
    key: MasterKey,
    parent: Option<Parent>,
    cancel: CancellationToken,
    ledger: Arc<Ledger>,
    /// Files that the parent has, and that were read all the same.
    changed: AtomicU64,
}

impl Carry {
    pub(super) fn new(
        place: &Path,
        key: &MasterKey,
        parent: Option<&Parent>,
        cancel: &CancellationToken,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            place: place.to_owned(),
            key: key.clone(),
            parent: parent.cloned(),
            cancel: cancel.clone(),
            ledger,
            changed: AtomicU64::new(0),
        }
    }

    /// Finds the hash of each file that the library took from the parent. Done before the snapshot is written, so
    /// that there is none where it fails.
    pub(super) fn carry_forward(&self) -> Result<()> {
        let mut files = self.ledger.take()?;
        files.sort();
        self.carry_hashes(&mut files);
        let read = self.read_unhashed(&mut files);
        self.ledger.put(files);
        read
    }

    /// Files that the parent has, and that were read all the same.
    pub(super) fn changed(&self) -> u64 {
        self.changed.load(Atomic::Relaxed)
    }

    /// What of the parent's records cannot be read, or is another file's, is found by reading the file.
    fn carry_hashes(&self, files: &mut Table) {
        let Some(Ok(records)) = self.parent.as_ref().map(|parent| parent.files.all()) else {
            return;
        };
        let (mut at, mut changed) = (0, 0);
        for record in records {
            let Ok(record) = record else { break };
            let path = record.path.as_bytes();
            let is_before = |row: Row<'_>| in_order_of_a_walk(row.path, path) == Ordering::Less;
            while files.get(at).is_some_and(is_before) {
                at += 1;
            }
            let Some(row) = files.get(at) else { break };
            if row.path != path {
                continue;
            }
            let is_same = (row.size, row.mtime) == (record.size, record.mtime);
            match row.origin {
                Origin::Read => changed += 1,
                Origin::Carried => {}
                Origin::Unhashed | Origin::UnhashedNeeded => {
                    if let Some(sha256) = digest(&record.sha256).filter(|_| is_same) {
                        files.set_hash(at, sha256);
                    }
                }
            }
        }
        self.changed.store(changed, Atomic::Relaxed);
    }

    /// What is stored is read, and not what is on the disk now: the record says what the snapshot has. A file that does
    /// not come back is left out, and told.
    fn read_unhashed(&self, files: &mut Table) -> Result<()> {
        let rows = files.iter().enumerate();
        let unhashed = rows.filter(|(_, row)| is_unhashed(row));
        let places: Vec<usize> = unhashed.map(|(place, _)| place).collect();
        if places.is_empty() {
            return Ok(());
        }
        let parent = self
            .parent
            .as_ref()
            .ok_or_else(|| other("files were taken from a parent that there is not"))?;
        let operation = self.ledger.beside();
        let (place, key) = (&self.place, &self.key);
        let reader = Reader::open(place, key, &parent.snapshot, None, &operation)?;
        for some in places.chunks(AT_ONCE) {
            let there = &*files;
            let hashes: Result<Vec<_>> = some
                .par_iter()
                .map(|place| Ok((*place, self.hash(&reader, there.get(*place))?)))
                .collect();
            for (place, sha256) in hashes? {
                if let Some(sha256) = sha256 {
                    files.set_hash(place, sha256);
                }
            }
        }
        files.retain(|row| !is_unhashed(&row));
        Ok(())
    }

    /// The hash of what is stored of a file; none where it is damaged.
    fn hash(&self, reader: &Reader, row: Option<Row<'_>>) -> Result<Option<[u8; 32]>> {
        let Some(row) = row else { return Ok(None) };
        let path = SnapshotPath(row.path.to_vec());
        let mut hashing = Hashing(Sha256::new());
        let read = reader.entry(&path).and_then(|entry| {
            let entry = entry.ok_or_else(|| other(format!("{path} is not in the parent")))?;
            reader.read(&entry, &mut hashing, &self.cancel)
        });
        match read {
            Ok(()) => Ok(Some(hashing.0.finalize().into())),
            Err(RepositoryError::Damaged { what }) => {
                let is_needed = row.origin == Origin::UnhashedNeeded;
                self.ledger.fail_unchanged(path, &what, is_needed);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn is_unhashed(row: &Row<'_>) -> bool {
    matches!(row.origin, Origin::Unhashed | Origin::UnhashedNeeded)
}

/// Takes bytes for their hash alone.
struct Hashing(Sha256);

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
