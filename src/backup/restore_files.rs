//! Files of a snapshot into a new directory, each hashed against the manifest. A damaged one is named, and the others
//! come back.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File},
    io::{BufWriter, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Component, Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};

use super::{
    read_back::{Hashing, named},
    repository::{Entry, EntryKind, Hand, Progress, RepositoryError, SnapshotReader},
    restore_plan::{is_chosen, is_occupied},
};
use crate::domain::backup::manifest::{FileRecord, Manifest, SnapshotPath};

/// Threads that restore files.
const THREADS: usize = 4;

/// What a restore came to.
#[derive(Debug, Default)]
pub struct Restored {
    pub files: u64,
    pub bytes: u64,
    /// Files that did not come back whole, and why.
    pub failed: Vec<String>,
    /// Links and so on that were left out, and why.
    pub left_out: Vec<String>,
}

/// Restores what begins with one of `paths`, or everything, below a new directory.
///
/// # Errors
/// What is not about single files: those are in the answer.
pub(super) fn restore(
    reader: &dyn SnapshotReader,
    manifest: &Manifest,
    paths: &[SnapshotPath],
    directory: &Path,
    hand: &Hand,
) -> anyhow::Result<Restored> {
    if is_occupied(directory) {
        bail!(
            "{} is there and not empty: a restore never writes over anything",
            directory.display()
        );
    }
    make_directory(directory)?;
    let records: HashMap<&SnapshotPath, &FileRecord> = manifest
        .files
        .iter()
        .filter(|file| is_chosen(paths, file))
        .map(|file| (&file.path, file))
        .collect();
    let mut restored = Restored::default();
    let mut files = Vec::new();
    let mut directories = Vec::new();
    reader.entries(&mut |entry: Entry| {
        if hand.cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        let wanted = paths.is_empty()
            || paths
                .iter()
                .any(|path| entry.path.as_bytes().starts_with(path.as_bytes()));
        match entry.kind {
            EntryKind::File => match records.get(&entry.path) {
                Some(record) => files.push((entry, *record)),
                None if wanted => restored
                    .left_out
                    .push(format!("{}: it is not in the manifest", entry.path)),
                None => {}
            },
            EntryKind::Directory if wanted => directories.push(entry),
            EntryKind::Link(_) if wanted => restored
                .left_out
                .push(format!("{}: a link, and a restore makes none", entry.path)),
            EntryKind::Special if wanted => restored
                .left_out
                .push(format!("{}: a device, socket or fifo", entry.path)),
            EntryKind::Directory | EntryKind::Link(_) | EntryKind::Special => {}
        }
        Ok(())
    })?;
    if files.len() < records.len() {
        let there: std::collections::HashSet<&SnapshotPath> =
            files.iter().map(|(entry, _)| &entry.path).collect();
        for path in records.keys().filter(|path| !there.contains(*path)) {
            restored.failed.push(format!(
                "{path}: it is in the manifest, and not in the snapshot"
            ));
        }
    }
    for entry in &directories {
        make_directory(&below(directory, &entry.path)?)?;
    }
    let (bytes, count) = (AtomicU64::new(0), AtomicU64::new(0));
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let broken: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((entry, record)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if hand.cancel.is_cancelled() || lock(&broken).is_some() {
                        return;
                    }
                    match restore_file(reader, entry, record, directory, hand) {
                        Ok(None) => {
                            let files = count.fetch_add(1, Ordering::Relaxed) + 1;
                            let bytes =
                                bytes.fetch_add(record.size, Ordering::Relaxed) + record.size;
                            (hand.progress)(Progress { files, bytes });
                        }
                        Ok(Some(why)) => lock(&failed).push(why),
                        Err(error) => {
                            lock(&broken).get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    if hand.cancel.is_cancelled() {
        return Err(RepositoryError::Cancelled.into());
    }
    if let Some(error) = lock(&broken).take() {
        return Err(error);
    }
    for entry in directories.iter().rev() {
        let path = below(directory, &entry.path)?;
        drop(fs::set_permissions(
            &path,
            fs::Permissions::from_mode((entry.mode & 0o777) | 0o700),
        ));
    }
    restored.failed.append(&mut lock(&failed));
    restored.failed.sort();
    restored.files = count.into_inner();
    restored.bytes = bytes.into_inner();
    Ok(restored)
}

/// Restores one file; says why it did not come back whole, where it did not. What is not whole is removed.
fn restore_file(
    reader: &dyn SnapshotReader,
    entry: &Entry,
    record: &FileRecord,
    directory: &Path,
    hand: &Hand,
) -> anyhow::Result<Option<String>> {
    let path = below(directory, &entry.path)?;
    if let Some(parent) = path.parent() {
        make_directory(parent)?;
    }
    let about = || format!("could not write {}", path.display());
    // New: neither over anything, nor through a link.
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .with_context(about)?;
    let mut hashed = Hashing::new(BufWriter::with_capacity(256 << 10, file));
    let read = reader.read(entry, &mut hashed, &hand.cancel);
    let (mut writer, sha256, bytes) = hashed.into_all();
    let why = match read {
        Ok(()) if bytes == record.size && sha256 == record.sha256 => None,
        Ok(()) => Some(format!(
            "{}: {bytes} bytes with the SHA-256 {sha256} came back; {} with {} were stored",
            entry.path, record.size, record.sha256
        )),
        Err(RepositoryError::Damaged { what }) => Some(named(&entry.path, &what)),
        Err(error) => {
            drop(fs::remove_file(&path));
            return Err(error.into());
        }
    };
    if why.is_some() {
        drop(fs::remove_file(&path));
        return Ok(why);
    }
    writer.flush().with_context(about)?;
    let file = writer
        .into_inner()
        .map_err(|error| error.into_error())
        .with_context(about)?;
    finish(&file, entry).with_context(about)?;
    Ok(None)
}

fn finish(file: &File, entry: &Entry) -> std::io::Result<()> {
    let nanos = u64::try_from(entry.mtime).unwrap_or(0);
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos))?;
    // What was set-uid is not made so again by a restore.
    file.set_permissions(fs::Permissions::from_mode(entry.mode & 0o777))
}

/// Where a path of a snapshot comes to lie.
///
/// # Errors
/// Where it would leave the directory.
fn below(directory: &Path, path: &SnapshotPath) -> anyhow::Result<PathBuf> {
    let relative = Path::new(OsStr::from_bytes(path.as_bytes()));
    let mut to = directory.to_owned();
    for part in relative.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(part) => to.push(part),
            Component::ParentDir | Component::CurDir | Component::Prefix(_) => {
                bail!("{path} leads out of the directory: the snapshot is not to be trusted")
            }
        }
    }
    Ok(to)
}

pub(super) fn make_directory(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("could not make {}", path.display()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
