//! Locks of restic's kind in a repository: each is a file in `locks`, sealed like the others and named by its hash. The
//! library takes none and sees none, so they are read and written here; `holding` keeps ours.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process,
    sync::Mutex,
};

use jiff::{SignedDuration, Timestamp};
use nix::{
    errno::Errno,
    sys::signal::kill,
    unistd::{Pid, Uid, getgid, gethostname},
};
use rustic_core::{FileType, Id, repofile::MasterKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Rustic, error::other_io, gate::lock, place::Right, sealed};
use crate::{
    backup::repository::{ForeignLock, RepositoryError, Result},
    clock::wall_now,
    domain::backup::table::hex,
};

/// restic's own rule: who lives renews its lock every five minutes.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(30);
/// What our locks say who has taken them.
const OURSELVES: &str = "watchbell";

/// The names of the locks that this process holds.
static HELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A lock, and where it is.
pub(super) struct Found {
    pub(super) lock: ForeignLock,
    path: PathBuf,
    /// Whether whoever took it is known to be no more.
    is_dead: bool,
}

/// A lock as restic writes it.
#[derive(Serialize, Deserialize)]
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
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
}

impl Rustic {
    /// That nobody else does what does not go together with ours.
    pub(super) fn expect_no_lock(&self, right: Right) -> Result<()> {
        self.expect_none_of(find(&self.place, &self.key, wall_now())?, right)
    }

    /// The same, and removes locks of processes of this host that are no more: they hold up nobody.
    pub(super) fn clear_the_way(&self, right: Right) -> Result<()> {
        let found = find(&self.place, &self.key, wall_now())?;
        let (dead, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.is_dead);
        for found in dead {
            drop(fs::remove_file(found.path));
        }
        self.expect_none_of(found, right)
    }

    fn expect_none_of(&self, found: Vec<Found>, right: Right) -> Result<()> {
        let in_the_way = found
            .into_iter()
            .find(|found| !found.lock.stale && (found.lock.exclusive || right == Right::Exclusive));
        match in_the_way {
            None => Ok(()),
            Some(found) => Err(RepositoryError::Locked {
                place: self.place.display().to_string(),
                by: found.lock.by,
            }),
        }
    }
}

/// Every lock in the repository, but for those of this process.
pub(super) fn find(place: &Path, key: &MasterKey, now: Timestamp) -> Result<Vec<Found>> {
    let folder = place.join("locks");
    let ids = ids_in(&folder).map_err(|error| other_io("list", &folder, error))?;
    let mut found = Vec::new();
    for id in ids {
        let name = id.to_hex().to_string();
        if lock(&HELD).contains(&name) {
            continue;
        }
        let path = folder.join(&name);
        let written = fs::read(&path).ok();
        let written = written.and_then(|sealed| sealed::open(key, &sealed));
        let written = written.and_then(|json| serde_json::from_slice::<Written>(&json).ok());
        match written {
            Some(written) => found.push(written.found(path, now)),
            // It went meanwhile, or nobody can tell what it is.
            None => found.extend(unreadable(path, now)),
        }
    }
    found.sort_by_key(|found| found.lock.since);
    Ok(found)
}

/// Writes a lock of this process; says where it is. It is there as a whole or not at all.
pub(super) fn write(place: &Path, key: &MasterKey, right: Right) -> Result<PathBuf> {
    let written = Written {
        time: wall_now(),
        exclusive: right == Right::Exclusive,
        hostname: hostname(),
        username: OURSELVES.to_owned(),
        pid: process::id(),
        uid: Uid::current().as_raw(),
        gid: getgid().as_raw(),
    };
    let json = serde_json::to_vec(&written).map_err(|error| RepositoryError::Other {
        what: "could not write a lock".to_owned(),
        source: Some(Box::new(error)),
    })?;
    let sealed = sealed::seal(key, &json)?;
    let name = hex(&Sha256::digest(&sealed));
    let folder = place.join("locks");
    let path = folder.join(&name);
    let unfinished = folder.join(format!("{name}-tmp-"));
    // Noted first: no thread of ours may take it for another's.
    lock(&HELD).insert(name);
    let put = put(&folder, &unfinished, &path, &sealed);
    if let Err(error) = put {
        drop(fs::remove_file(&unfinished));
        forget(&path);
        return Err(other_io("write a lock into", &folder, error));
    }
    Ok(path)
}

fn put(folder: &Path, unfinished: &Path, path: &Path, sealed: &[u8]) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(unfinished)?;
    file.write_all(sealed)?;
    fs::rename(unfinished, path)
}

/// Removes a lock of this process.
pub(super) fn remove(path: &Path) {
    drop(fs::remove_file(path));
    forget(path);
}

fn forget(path: &Path) {
    if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
        lock(&HELD).remove(name);
    }
}

impl Written {
    fn found(self, path: PathBuf, now: Timestamp) -> Found {
        let kind = if self.exclusive { ", alone" } else { "" };
        let is_dead = self.hostname == hostname() && is_over(self.pid);
        Found {
            lock: ForeignLock {
                by: format!(
                    "process {} of {} on {}{kind}, since {}",
                    self.pid, self.username, self.hostname, self.time
                ),
                since: self.time,
                stale: is_dead || is_stale(self.time, now),
                exclusive: self.exclusive,
            },
            path,
            is_dead,
        }
    }
}

/// Whether no process of this host has that number, or one that has taken none of these locks: this one.
fn is_over(pid: u32) -> bool {
    if pid == process::id() {
        return true;
    }
    let Ok(pid) = i32::try_from(pid) else {
        return true;
    };
    0 < pid && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

fn hostname() -> String {
    gethostname().map_or_else(
        |_| String::new(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// One that cannot be read is taken for the worst, as old as its file.
fn unreadable(path: PathBuf, now: Timestamp) -> Option<Found> {
    let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
    let since = Timestamp::try_from(modified.ok()?).ok()?;
    Some(Found {
        lock: ForeignLock {
            by: format!("a program that has left {}", path.display()),
            since,
            stale: is_stale(since, now),
            exclusive: true,
        },
        path,
        is_dead: false,
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
