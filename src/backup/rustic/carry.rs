//! Hashes of files that are unchanged: carried forward from the parent's records, or read where it has none.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rayon::prelude::{IntoParallelIterator as _, ParallelIterator as _};
use rustic_core::repofile::MasterKey;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    error::other,
    gate::{Operation, lock},
    reader::Reader,
    source::{
        hex,
        ledger::{Ledger, Unchanged},
    },
};
use crate::{
    backup::repository::{Parent, RepositoryError, Result, SnapshotReader as _},
    domain::backup::manifest::{FileRecord, SnapshotPath},
};

/// What is known of the parent's files.
pub(super) struct Carry {
    place: PathBuf,
    key: MasterKey,
    parent: Option<Parent>,
    cancel: CancellationToken,
    ledger: Arc<Ledger>,
    carried: Mutex<Vec<FileRecord>>,
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
            carried: Mutex::default(),
        }
    }

    /// Makes a record of each file that the library took from the parent. Done before the snapshot is written, so
    /// that there is none where it fails.
    pub(super) fn carry_forward(&self) -> Result<()> {
        let unchanged = self.ledger.unchanged()?;
        let mut carried = Vec::with_capacity(unchanged.len());
        let mut unknown = Vec::new();
        for file in unchanged {
            match self.record(&file.path) {
                Some(record) if (record.size, record.mtime) == (file.size, file.mtime) => {
                    carried.push(record.clone());
                }
                _ => unknown.push(file),
            }
        }
        carried.extend(self.read(unknown)?);
        lock(&self.carried).extend(carried);
        Ok(())
    }

    pub(super) fn has(&self, path: &SnapshotPath) -> bool {
        self.record(path).is_some()
    }

    pub(super) fn take(&self) -> Vec<FileRecord> {
        std::mem::take(&mut *lock(&self.carried))
    }

    fn record(&self, path: &SnapshotPath) -> Option<&FileRecord> {
        let files = &self.parent.as_ref()?.files;
        let at = files.binary_search_by(|file| file.path.cmp(path)).ok()?;
        files.get(at)
    }

    /// What is stored is read, and not what is on the disk now: the record says what the snapshot has.
    fn read(&self, files: Vec<Unchanged>) -> Result<Vec<FileRecord>> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let parent = self
            .parent
            .as_ref()
            .ok_or_else(|| other("files were taken from a parent that there is not"))?;
        let operation = Operation::new(&self.place, &CancellationToken::new());
        let (place, key) = (&self.place, &self.key);
        let reader = Reader::open(place, key, &parent.snapshot, None, &operation)?;
        let records: Result<Vec<_>> = files
            .into_par_iter()
            .map(|file| match self.hash(&reader, &file) {
                Ok(record) => Ok(Some(record)),
                Err(RepositoryError::Damaged { what }) => {
                    self.ledger.fail_unchanged(file, &what);
                    Ok(None)
                }
                Err(error) => Err(error),
            })
            .collect();
        Ok(records?.into_iter().flatten().collect())
    }

    fn hash(&self, reader: &Reader, file: &Unchanged) -> Result<FileRecord> {
        let entry = reader
            .entry(&file.path)?
            .ok_or_else(|| other(format!("{} is not in the parent", file.path)))?;
        let mut hashing = Hashing(Sha256::new());
        reader.read(&entry, &mut hashing, &self.cancel)?;
        Ok(FileRecord {
            path: file.path.clone(),
            size: file.size,
            mtime: file.mtime,
            sha256: hex(&hashing.0.finalize()),
        })
    }
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
