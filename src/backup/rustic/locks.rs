//! Locks that restic holds in a repository. The library takes none and sees none, so they are read here: each is a
//! file in `locks`, encrypted like the others.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rustic_backend::LocalBackend;
use rustic_core::{
    BytesList, Credentials, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult,
    WriteBackend, repofile::MasterKey,
};
use serde::Deserialize;

use super::{
    Rustic,
    error::{other_io, translate},
    place::Right,
    session,
};
use crate::{
    backup::repository::{ForeignLock, RepositoryError, Result},
    clock::wall_now,
};

/// restic's own rule: who lives renews its lock every five minutes.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(30);

/// A lock, and whether it is for one alone.
pub(super) struct Found {
    pub(super) lock: ForeignLock,
    exclusive: bool,
}

/// A lock as restic writes it.
#[derive(Deserialize)]
struct Written {
    time: Timestamp,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pid: u32,
}

impl Rustic {
    /// That no other program does what does not go together with ours.
    pub(super) fn expect_no_lock(&self, right: Right) -> Result<()> {
        let found = find(&self.place, &self.key, wall_now())?;
        let in_the_way = found
            .into_iter()
            .find(|found| !found.lock.stale && (found.exclusive || right == Right::Exclusive));
        match in_the_way {
            None => Ok(()),
            Some(found) => Err(RepositoryError::Locked {
                place: self.place.display().to_string(),
                by: found.lock.by,
            }),
        }
    }
}

/// Every lock in the repository.
pub(super) fn find(place: &Path, key: &MasterKey, now: Timestamp) -> Result<Vec<Found>> {
    let folder = place.join("locks");
    let ids = ids_in(&folder).map_err(|error| other_io("list", &folder, error))?;
    // Nearly always there is none, and no key needs to be looked at.
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let view = View {
        folder: folder.clone(),
        inner: session::files(place)?,
    };
    let opened = session::over(Arc::new(view))
        .and_then(|closed| closed.open(&Credentials::Masterkey(key.clone())))
        .map_err(|error| translate(place, &error))?;
    let mut found = Vec::new();
    for id in ids {
        let name = id.to_hex();
        let written = opened.cat_file(FileType::Snapshot, &name).ok();
        let written = written.and_then(|json| serde_json::from_slice::<Written>(&json).ok());
        let path = folder.join(name);
        match written {
            Some(written) => found.push(written.found(now)),
            // It went meanwhile, or nobody can tell what it is.
            None => found.extend(unreadable(&path, now)),
        }
    }
    found.sort_by_key(|found| found.lock.since);
    Ok(found)
}

impl Written {
    fn found(self, now: Timestamp) -> Found {
        let kind = if self.exclusive { ", alone" } else { "" };
        Found {
            lock: ForeignLock {
                by: format!(
                    "restic, process {} of {} on {}{kind}, since {}",
                    self.pid, self.username, self.hostname, self.time
                ),
                since: self.time,
                stale: is_stale(self.time, now),
            },
            exclusive: self.exclusive,
        }
    }
}

/// One that cannot be read is taken for the worst, as old as its file.
fn unreadable(path: &Path, now: Timestamp) -> Option<Found> {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let since = Timestamp::try_from(modified.ok()?).ok()?;
    Some(Found {
        lock: ForeignLock {
            by: format!("a program that has left {}", path.display()),
            since,
            stale: is_stale(since, now),
        },
        exclusive: true,
    })
}

fn is_stale(since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(since) > STALE_AFTER
}

fn ids_in(folder: &Path) -> io::Result<Vec<Id>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        ids.extend(Id::parse_some(&name.to_string_lossy(), FileType::Snapshot));
    }
    Ok(ids)
}

/// The repository as if its locks were its snapshots: the library decrypts what it has a kind for.
#[derive(Debug)]
struct View {
    folder: PathBuf,
    inner: LocalBackend,
}

impl ReadBackend for View {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        if kind != FileType::Snapshot {
            return self.inner.list_with_size(kind);
        }
        let ids = ids_in(&self.folder).map_err(|error| failed("could not list locks", error))?;
        Ok(ids.into_iter().map(|id| (id, 0)).collect())
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        if kind != FileType::Snapshot {
            return self.inner.read_full(kind, id);
        }
        let read = fs::read(self.folder.join(id.to_hex()));
        read.map(Bytes::from)
            .map_err(|error| failed("could not read a lock", error))
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.inner.read_partial(kind, id, cacheable, offset, length)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.inner.warmup_path(kind, id)
    }
}

/// Nothing is written by way of it.
impl WriteBackend for View {
    fn write_bytes(&self, _: FileType, _: &Id, _: bool, _: BytesList) -> RusticResult<()> {
        Err(read_only())
    }

    fn remove(&self, _: FileType, _: &Id, _: bool) -> RusticResult<()> {
        Err(read_only())
    }
}

fn read_only() -> Box<RusticError> {
    RusticError::new(ErrorKind::Other, "locks are only read")
}

fn failed(what: &str, error: io::Error) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, what, error)
}
