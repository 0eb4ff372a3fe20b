//! Reading back what was stored, and comparing it with what it was: manifests, dumps, files.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

use super::{
    full::{MANIFEST_PATH, snapshot_id},
    repository::{
        Entry, Hand, Parent, Progress, Repository, RepositoryError, SnapshotId, SnapshotReader,
    },
    work::{is_damage, new_file},
};
use crate::domain::backup::{
    manifest::{FileError, FileRecord, MANIFEST_FORMAT, Manifest, SnapshotPath},
    point::RestorePoint,
};

/// Bytes of a manifest that is read: some millions of files.
const MANIFEST_BYTES_MAX: u64 = 4 << 30;

/// What reading back came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReadBack {
    Same,
    Differs(String),
}

/// Writes a manifest; says its hash.
pub(super) fn write_manifest(file: &Path, manifest: &Manifest) -> anyhow::Result<String> {
    let about = || format!("could not write {}", file.display());
    let opened = new_file(file).with_context(about)?;
    let mut hashed = Hashing::new(BufWriter::new(opened));
    serde_json::to_writer(&mut hashed, manifest).with_context(about)?;
    hashed.flush().with_context(about)?;
    Ok(hashed.finish())
}

/// The manifest in a snapshot, and its hash.
pub(super) fn manifest_in(
    repository: &dyn Repository,
    snapshot: &SnapshotId,
) -> anyhow::Result<(Manifest, String)> {
    manifest_by(&*repository.open(snapshot)?, snapshot)
}

fn manifest_by(
    reader: &dyn SnapshotReader,
    snapshot: &SnapshotId,
) -> anyhow::Result<(Manifest, String)> {
    let path = SnapshotPath::from(MANIFEST_PATH);
    let entry = reader
        .entry(&path)?
        .with_context(|| format!("snapshot {} holds no manifest", snapshot.0))?;
    if MANIFEST_BYTES_MAX < entry.size {
        bail!(
            "the manifest in snapshot {} has {} bytes, which is too much",
            snapshot.0,
            entry.size
        );
    }
    let mut bytes = Hashing::new(Vec::new());
    reader.read(
        &entry,
        &mut bytes,
        &tokio_util::sync::CancellationToken::new(),
    )?;
    let (bytes, sha256) = bytes.into_parts();
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .with_context(|| format!("the manifest in snapshot {} cannot be read", snapshot.0))?;
    if manifest.format != MANIFEST_FORMAT {
        bail!(
            "the manifest in snapshot {} is of format {}, and this server knows {MANIFEST_FORMAT}: use a newer one",
            snapshot.0,
            manifest.format
        );
    }
    Ok((manifest, sha256))
}

/// The manifest of a point, which must be the one that was stored.
pub(super) fn manifest_of(
    repository: &dyn Repository,
    point: &RestorePoint,
) -> anyhow::Result<Manifest> {
    let (manifest, sha256) = manifest_in(repository, &snapshot_id(&point.manifest_snapshot))?;
    if !point.manifest_sha256.is_empty() && point.manifest_sha256 != sha256 {
        let name = point.resource_name();
        return Err(RepositoryError::Damaged {
            what: format!("the manifest of {name} is not the one that was stored"),
        }
        .into());
    }
    Ok(manifest)
}

/// What of a point need not be read again.
pub(super) fn parent_of(
    repository: &dyn Repository,
    point: &RestorePoint,
) -> anyhow::Result<Parent> {
    let mut files = manifest_of(repository, point)?.files;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Parent {
        snapshot: snapshot_id(&point.snapshot),
        files: Arc::new(files),
    })
}

/// Reads the manifest and every dump of a point, and compares.
pub(super) fn read_back(
    repository: &dyn Repository,
    point: &RestorePoint,
    manifest: &Manifest,
    hand: &Hand,
) -> anyhow::Result<ReadBack> {
    let id = snapshot_id(&point.manifest_snapshot);
    let (found, sha256) = manifest_by(&*repository.open_anew(&id)?, &id)?;
    if sha256 != point.manifest_sha256 || found != *manifest {
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
    hand: &Hand,
) -> anyhow::Result<(Vec<FileError>, Progress)> {
    let manifest = manifest_of(repository, point)?;
    let reader = repository.open_anew(&snapshot_id(&point.snapshot))?;
    let (mut done, mut differing) = (Progress::default(), Vec::new());
    for file in &manifest.files {
        let what = differs(&*reader, file, &mut io::sink(), hand, &mut done)?;
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
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
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

    fn finish(self) -> String {
        self.into_parts().1
    }

    pub(super) fn into_parts(self) -> (W, String) {
        let (into, sha256, _) = self.into_all();
        (into, sha256)
    }

    pub(super) fn into_all(self) -> (W, String, u64) {
        let digest = self.hash.finalize();
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        (self.into, sha256, self.bytes)
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
