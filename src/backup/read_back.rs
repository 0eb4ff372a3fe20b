//! Reading back what was stored, and comparing it with what it was: manifests, dumps, files.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use super::{
    full::{signed, snapshot_id},
    manifests::{manifest_by, manifest_of},
    repository::{Entry, Hand, Parent, Progress, Repository, RepositoryError, SnapshotReader},
    work::is_damage,
};
use crate::domain::backup::{
    manifest::{FileError, FileRecord, Manifest, SnapshotPath},
    point::RestorePoint,
    table::hex,
};

/// What reading back came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReadBack {
    Same,
    Differs(String),
}

/// What of a point need not be read again.
pub(super) fn parent_of(
    repository: &dyn Repository,
    point: &RestorePoint,
    beside: &Path,
) -> anyhow::Result<Parent> {
    Ok(Parent {
        snapshot: snapshot_id(&point.snapshot),
        files: Arc::new(manifest_of(repository, point, beside)?),
    })
}

/// Reads the manifest to its end, and every dump of a point, and compares.
pub(super) fn read_back(
    repository: &dyn Repository,
    point: &RestorePoint,
    manifest: &Manifest,
    beside: &Path,
    hand: &Hand,
) -> anyhow::Result<ReadBack> {
    let id = snapshot_id(&point.manifest_snapshot);
    let found = manifest_by(&*repository.open_anew(&id)?, &id, Some(beside))?;
    let counts = (signed(found.totals.files), signed(found.totals.bytes));
    if found.sha256 != point.manifest_sha256
        || found.manifest != *manifest
        || counts != (point.files, point.source_bytes)
    {
        return Ok(ReadBack::Differs("its manifest".to_owned()));
    }
    let reader = repository.open_anew(&snapshot_id(&point.snapshot))?;
    let mut done = Progress::default();
    for dump in manifest
        .sources
        .iter()
        .filter_map(|source| source.dump.as_ref())
    {
        let record = FileRecord {
            path: dump.path.clone(),
            size: dump.size,
            mtime: 0,
            sha256: dump.sha256.clone(),
        };
        if let Some(what) = differs(&*reader, &record, &mut io::sink(), hand, &mut done)? {
            return Ok(ReadBack::Differs(what));
        }
    }
    Ok(ReadBack::Same)
}

/// Reads every file of a point; says which do not come back as they were, and how much was read.
pub(super) fn differing(
    repository: &dyn Repository,
    point: &RestorePoint,
    beside: &Path,
    hand: &Hand,
) -> anyhow::Result<(Vec<FileError>, Progress)> {
    let stored = manifest_of(repository, point, beside)?;
    let reader = repository.open_anew(&snapshot_id(&point.snapshot))?;
    let (mut done, mut differing) = (Progress::default(), Vec::new());
    for file in stored.files()? {
        let file = file?;
        let what = differs(&*reader, &file, &mut io::sink(), hand, &mut done)?;
        differing.extend(what.map(|message| FileError {
            path: file.path.clone(),
            message,
        }));
    }
    Ok((differing, done))
}

/// What [`differing`] and the like came to: where the list of files or the manifest is damaged, all of it is.
pub(super) fn or_all(
    read: anyhow::Result<(Vec<FileError>, Progress)>,
) -> anyhow::Result<(Vec<FileError>, Progress)> {
    match read {
        Err(error) if is_damage(&error) => {
            let (path, message) = ("/".into(), format!("{error:#}"));
            Ok((vec![FileError { path, message }], Progress::default()))
        }
        read => read,
    }
}

/// Reads a file to `into`, and says how it differs from what it was; none where it does not.
pub(super) fn differs(
    reader: &dyn SnapshotReader,
    wanted: &FileRecord,
    into: &mut dyn Write,
    hand: &Hand,
    done: &mut Progress,
) -> anyhow::Result<Option<String>> {
    let entry = match reader.entry(&wanted.path) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Ok(Some(format!("{} is not there", wanted.path))),
        // The directory that it is in.
        Err(RepositoryError::Damaged { what }) => return Ok(Some(named(&wanted.path, &what))),
        Err(error) => return Err(error.into()),
    };
    differs_of(reader, &entry, wanted, into, hand, done)
}

/// The same of a file whose entry is at hand.
pub(super) fn differs_of(
    reader: &dyn SnapshotReader,
    entry: &Entry,
    wanted: &FileRecord,
    into: &mut dyn Write,
    hand: &Hand,
    done: &mut Progress,
) -> anyhow::Result<Option<String>> {
    let mut hashed = Hashing::new(Told {
        into,
        hand,
        done: *done,
    });
    match reader.read(entry, &mut hashed, &hand.cancel) {
        Ok(()) => {}
        Err(RepositoryError::Damaged { what }) => {
            return Ok(Some(named(&wanted.path, &what)));
        }
        Err(error) => return Err(error.into()),
    }
    let (told, sha256, bytes) = hashed.into_all();
    *done = told.done;
    done.files += 1;
    (hand.progress)(*done);
    if bytes != wanted.size || sha256 != wanted.sha256 {
        return Ok(Some(format!(
            "{} has {bytes} bytes and the SHA-256 {sha256}; it had {} and {}",
            wanted.path, wanted.size, wanted.sha256
        )));
    }
    Ok(None)
}

/// What was found, with the path of the file where it does not begin with that.
pub(super) fn named(path: &SnapshotPath, what: &str) -> String {
    let path = path.to_string();
    match what.starts_with(&path) {
        true => what.to_owned(),
        false => format!("{path}: {what}"),
    }
}

/// Writes on, and says how far it is.
pub(super) struct Told<'a, W> {
    pub(super) into: W,
    pub(super) hand: &'a Hand,
    pub(super) done: Progress,
}

impl<W: Write> Write for Told<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.into.write(bytes)?;
        self.done.bytes += count as u64;
        (self.hand.progress)(self.done);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

/// The SHA-256 of what is at hand.
pub(super) fn hash_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Writes on, and hashes what passes.
pub(super) struct Hashing<W> {
    into: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Hashing<W> {
    pub(super) fn new(into: W) -> Self {
        Self {
            into,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    pub(super) fn into_parts(self) -> (W, String) {
        let (into, sha256, _) = self.into_all();
        (into, sha256)
    }

    pub(super) fn into_all(self) -> (W, String, u64) {
        (self.into, hex(&self.hash.finalize()), self.bytes)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.into.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}
