//! What lies at the place of a repository, and the lock by which processes of one host keep out of each other's way.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::error::{is_read_only, other_io};
use crate::{
    backup::repository::{RepositoryError, Result},
    clock::Stopwatch,
};

/// How long a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The directories of a repository. Without the file `config` beside them they are what a creation leaves that was
/// broken off.
const FOLDERS: [&str; 5] = ["data", "index", "keys", "locks", "snapshots"];

/// What lies at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing, or an empty directory.
    Free,
    /// A repository that was being created, and in which nothing was stored yet.
    Unfinished,
    Repository,
    /// Something else: why it is no repository.
    Foreign(String),
}

/// Looks what lies at a place.
pub(super) fn look(place: &Path) -> Result<Place> {
    let failed = |error| other_io("look at", place, error);
    let metadata = match fs::metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Place::Free),
        metadata => metadata.map_err(failed)?,
    };
    if !metadata.is_dir() {
        return Ok(Place::Foreign("it is no directory".to_owned()));
    }
    if place.join("config").is_file() {
        return Ok(Place::Repository);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(place).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        // A disk that was mounted here has that from its making.
        if name != "lost+found" {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Ok(Place::Free);
    }
    let foreign = names.iter().find(|name| !is_ours(name));
    if let Some(foreign) = foreign {
        return Ok(Place::Foreign(format!(
            "it has no file config, and {foreign:?} is in it"
        )));
    }
    for folder in ["data", "index", "snapshots"] {
        if has_files(&place.join(folder)).map_err(failed)? {
            return Ok(Place::Foreign(format!(
                "it has no file config, and files in {folder}: the file was lost"
            )));
        }
    }
    Ok(Place::Unfinished)
}

fn is_ours(name: &OsString) -> bool {
    name == "config-tmp-" || FOLDERS.iter().any(|folder| name == folder)
}

fn has_files(folder: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || has_files(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes the directory, for its owner alone, and clears what a creation left that was broken off.
pub(super) fn prepare(place: &Path) -> Result<()> {
    match look(place)? {
        Place::Free => {
            make_directory(place)?;
            // Where it was there before, it may be another's, who decides who reads it.
            let _ = fs::set_permissions(place, Permissions::from_mode(0o700));
            Ok(())
        }
        Place::Unfinished => {
            let keys = place.join("keys");
            match fs::remove_dir_all(&keys) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(other_io("remove", &keys, error))
                }
                _ => Ok(()),
            }
        }
        Place::Repository => Err(foreign(place, "there is a repository already")),
        Place::Foreign(why) => Err(foreign(place, why)),
    }
}

/// Makes a directory, and those that it is in, for their owner alone.
pub(super) fn make_directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| other_io("create", path, error))
}

/// That there is a repository.
pub(super) fn expect_repository(place: &Path) -> Result<()> {
    match look(place)? {
        Place::Repository => Ok(()),
        Place::Free | Place::Unfinished => Err(RepositoryError::Missing {
            place: place.display().to_string(),
        }),
        Place::Foreign(why) => Err(foreign(place, why)),
    }
}

pub(super) fn foreign(place: &Path, why: impl Into<String>) -> RepositoryError {
    RepositoryError::Foreign {
        place: place.display().to_string(),
        why: why.into(),
    }
}

/// Held as long as something is done with a repository; given back when it goes, also by the death of its process.
#[derive(Debug)]
pub(super) struct Held {
    _file: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// To store and to read: many may at once.
    Shared,
    /// To remove: nobody else does anything.
    Exclusive,
}

/// Takes the lock among the processes of this host, and waits for it for a while.
pub(super) fn hold(place: &Path, right: Right, cancel: &CancellationToken) -> Result<Held> {
    let file = open_lock(place).map_err(|error| other_io("open the lock of", place, error))?;
    let waiting = Stopwatch::start();
    loop {
        let taken = match right {
            Right::Shared => file.try_lock_shared(),
            Right::Exclusive => file.try_lock(),
        };
        match taken {
            Ok(()) => return Ok(Held { _file: file }),
            Err(TryLockError::Error(error)) => return Err(other_io("lock", place, error)),
            Err(TryLockError::WouldBlock) => {}
        }
        if cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        if waiting.elapsed() >= PATIENCE {
            return Err(RepositoryError::Locked {
                place: place.display().to_string(),
                by: "another operation on this host".to_owned(),
            });
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// A file beside the repository, and not in it: other programs list what is there. Where none may be made, the
/// directory itself serves.
fn open_lock(place: &Path) -> io::Result<File> {
    let beside = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(lock_path(place));
    match beside {
        Err(error) if is_read_only(&error) => File::open(place),
        opened => opened,
    }
}

fn lock_path(place: &Path) -> PathBuf {
    let mut path = place.as_os_str().to_owned();
    path.push(".lock");
    PathBuf::from(path)
}
