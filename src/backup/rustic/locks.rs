//! Locks of restic's kind in a repository: each is a file in `locks`, sealed like the others and named by its hash. The
//! library takes none and sees none, so they are read and written here; `holding` keeps ours.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Mutex,
};

use jiff::{SignedDuration, Timestamp};
use nix::unistd::{Uid, getgid};
use rustic_core::{FileType, Id, repofile::MasterKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Rustic,
    error::other_io,
    gate::lock,
    origin::{Here, Origin},
    place::Right,
    sealed,
};
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
    /// Whether whoever took it is known to be no more, or has given it up by its own rule.
    is_dead: bool,
}

/// A lock as restic writes it.
#[derive(Serialize, Deserialize)]
struct Written {
    time: Timestamp,
    #[serde(default)]
    exclusive: bool,
    #[serde(default)]
    username: String,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    /// restic reads its own fields of this one, and passes over the others.
    #[serde(flatten)]
    origin: Origin,
}

impl Rustic {
    /// That nobody else does what does not go together with ours.
    pub(super) fn expect_no_lock(&self, right: Right) -> Result<()> {
        self.expect_none_of(find(&self.place, &self.key, wall_now())?, right)
    }

    /// The same, and removes locks of processes that are known to be no more: they hold up nobody.
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
    let here = Here::look();
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
            Some(written) => found.push(written.found(path, now, &here)),
            // It went meanwhile, or nobody can tell what it is.
            None => found.extend(unreadable(path, now)),
        }
    }
    found.sort_by_key(|found| found.lock.since);
    Ok(found)
}

/// Writes a lock of this process; says where it is. It is there as a whole or not at all.
pub(super) fn write(place: &Path, key: &MasterKey, right: Right) -> Result<PathBuf> {
    write_by(place, key, right, Here::look().origin, wall_now())
}

fn write_by(
    place: &Path,
    key: &MasterKey,
    right: Right,
    origin: Origin,
    time: Timestamp,
) -> Result<PathBuf> {
    let written = Written {
        time,
        exclusive: right == Right::Exclusive,
        username: OURSELVES.to_owned(),
        uid: Uid::current().as_raw(),
        gid: getgid().as_raw(),
        origin,
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
    fn found(self, path: PathBuf, now: Timestamp, here: &Here) -> Found {
        let kind = if self.exclusive { ", alone" } else { "" };
        let is_over = self.origin.is_over(self.time, here);
        let is_old = is_stale(self.time, now);
        Found {
            lock: ForeignLock {
                by: format!(
                    "process {} of {} on {}{kind}, since {}",
                    self.origin.pid, self.username, self.origin.hostname, self.time
                ),
                since: self.time,
                stale: is_over || is_old,
                exclusive: self.exclusive,
            },
            path,
            // One of ours that could not be renewed for so long has stopped whoever held it.
            is_dead: is_over || (is_old && self.username == OURSELVES),
        }
    }
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

/// A lock of another process of this host, which lives.
#[cfg(test)]
pub(super) fn write_by_another(place: &Path, key: &MasterKey, right: Right) -> Result<PathBuf> {
    let origin = Origin {
        pid: std::os::unix::process::parent_id(),
        ..Here::look().origin
    };
    let path = write_by(place, key, right, origin, wall_now())?;
    forget(&path);
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::rustic::key;

    struct Stage {
        _folder: tempfile::TempDir,
        rustic: Rustic,
    }

    impl Stage {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let place = folder.path().join("repository");
            let key = key::create(&place, "password".to_owned()).unwrap();
            Self {
                rustic: Rustic::with_key(&place, key),
                _folder: folder,
            }
        }

        /// A lock that another process has left.
        fn left(&self, origin: Origin, minutes: i64) -> PathBuf {
            let (place, key) = (&self.rustic.place, &self.rustic.key);
            let time = wall_now() - SignedDuration::from_mins(minutes);
            let path = write_by(place, key, Right::Shared, origin, time).unwrap();
            forget(&path);
            path
        }
    }

    #[test]
    fn a_lock_whose_process_cannot_be_seen_from_here_is_in_the_way_until_it_is_old() {
        let stage = Stage::new();
        let here = Here::look().origin;
        // No process has that number.
        let elsewhere = Origin {
            pid: 2_147_483_647,
            pid_namespace: Some("pid:[1]".to_owned()),
            ..here.clone()
        };
        let of_another_host = Origin {
            pid: 2_147_483_647,
            hostname: format!("not-{}", here.hostname),
            boot: None,
            pid_namespace: None,
            ..here
        };
        for origin in [elsewhere, of_another_host] {
            let young = stage.left(origin.clone(), 1);
            let refused = stage.rustic.clear_the_way(Right::Exclusive);
            assert!(
                matches!(refused, Err(RepositoryError::Locked { .. })),
                "{refused:?}"
            );
            assert!(young.exists(), "whoever holds it still relies on it");
            stage.rustic.clear_the_way(Right::Shared).unwrap();
            fs::remove_file(young).unwrap();
            let old = stage.left(origin, 31);
            stage.rustic.clear_the_way(Right::Exclusive).unwrap();
            assert!(!old.exists(), "restic would give way to it for ever");
        }
    }

    #[test]
    fn a_lock_of_a_process_of_this_host_that_is_no_more_holds_up_nobody() {
        let stage = Stage::new();
        let gone = Origin {
            pid: 2_147_483_647,
            ..Here::look().origin
        };
        let left = stage.left(gone, 1);
        stage.rustic.clear_the_way(Right::Exclusive).unwrap();
        assert!(!left.exists());
        let (place, key) = (&stage.rustic.place, &stage.rustic.key);
        let left = write_by_another(place, key, Right::Shared).unwrap();
        let refused = stage.rustic.clear_the_way(Right::Exclusive);
        assert!(refused.is_err() && left.exists(), "{refused:?}");
    }
}
