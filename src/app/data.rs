//! The data directory: one process's at a time, and one cluster's for good.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::restore::UNFINISHED;
use crate::config::{once, trust};

/// A program that is being started lets go within milliseconds, unless the machine is very busy.
const MOMENT: Duration = Duration::from_millis(20);
const MOMENTS: usize = 25;

/// A data directory that this process holds. Dropped, it is free for the next.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Held until it is dropped.
    locks: Vec<File>,
}

impl DataDir {
    /// Makes it where it is missing. Where `exclusive`, takes its lock: on SQLite one process owns
    /// the directory; replicas on PostgreSQL share it.
    ///
    /// # Errors
    /// Where it cannot be made or written to, or another process holds it.
    pub fn open(path: &Path, exclusive: bool) -> anyhow::Result<Self> {
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path);
        made.with_context(|| {
            format!(
                "could not make the data directory {}: check who may write there, or pass --data",
                path.display()
            )
        })?;
        if path.join(UNFINISHED).exists() {
            bail!(
                "a restore into {} has not ended: remove the directory, and restore again",
                path.display()
            );
        }
        Self::open_unfinished(path, exclusive)
    }

    /// The same for a restore, which has not ended yet.
    ///
    /// # Errors
    /// As [`DataDir::open`].
    pub(super) fn open_unfinished(path: &Path, exclusive: bool) -> anyhow::Result<Self> {
        // Whose it is decides who is admin here, and what comes back from it.
        trust::check_directory(path, "data directory")?;
        let mut locks = Vec::new();
        if exclusive {
            let busy = format!("the data directory {}", path.display());
            locks.push(take_lock(&path.join("lock"), &busy, "--data")?);
        }
        Ok(Self {
            path: path.to_owned(),
            locks,
        })
    }

    /// Takes the lock of a SQLite file as well: it need not be in the data directory, and then the
    /// directory's lock does not keep a second process from it.
    ///
    /// # Errors
    /// Where another process holds it, or it is gone: a new one would be another cluster's.
    pub fn hold_database(&mut self, file: &Path) -> anyhow::Result<()> {
        let cluster = self.cluster_file();
        let empty = fs::metadata(file).map_or(true, |about| about.len() == 0);
        if empty && cluster.exists() {
            bail!(
                "the database {} is not there, but the data directory {} has been used with one: restore it, \
                 or pass its --database; to begin anew without it, remove {}",
                file.display(),
                self.path.display(),
                cluster.display()
            );
        }
        // By whatever links it is reached, it is one file with one lock.
        let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let mut lock = real.into_os_string();
        lock.push(".lock");
        let busy = format!("the database {}", file.display());
        self.locks
            .push(take_lock(Path::new(&lock), &busy, "--database")?);
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn token_file(&self) -> PathBuf {
        self.path.join("token")
    }

    fn cluster_file(&self) -> PathBuf {
        self.path.join("cluster-id")
    }

    /// Writes the cluster's id on first use; afterwards it must be that one.
    ///
    /// # Errors
    /// Where the directory belongs to another cluster.
    pub fn belong_to(&self, cluster_id: &str) -> anyhow::Result<()> {
        let file = self.cluster_file();
        if !file.exists() {
            once::make(&file, &format!("{cluster_id}\n"))
                .with_context(|| format!("could not write {}", file.display()))?;
        }
        let found = fs::read_to_string(&file)
            .with_context(|| format!("could not read {}", file.display()))?;
        if found.trim() != cluster_id {
            bail!(
                "the data directory {} belongs to cluster {}, but the database is cluster {cluster_id}: pass \
                 the --data and --database that belong together",
                self.path.display(),
                found.trim()
            );
        }
        Ok(())
    }
}

/// The lock in `file`, of something that is called `what` and given by `flag`.
fn take_lock(file: &Path, what: &str, flag: &str) -> anyhow::Result<File> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file);
    let mut lock = opened.with_context(|| {
        format!(
            "could not open {}: check that its folder exists, and who may write there",
            file.display()
        )
    })?;
    match try_for_a_moment(&lock) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is a courtesy; that it is held is certain.
            let _ = lock.read_to_string(&mut holder);
            bail!(
                "{what} is in use by another watchbell (process {}): stop it, or pass another {flag}",
                if holder.trim().is_empty() {
                    "unknown"
                } else {
                    holder.trim()
                }
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("could not lock {}", file.display()));
        }
    }
    lock.set_len(0)?;
    lock.seek(SeekFrom::Start(0))?;
    writeln!(lock, "{}", std::process::id())?;
    Ok(lock)
}

/// Takes a lock that is free, or is about to be: a process that is being started holds what its parent had open until
/// its program begins, also where the parent has closed it meanwhile, or was killed.
fn try_for_a_moment(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..MOMENTS {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(MOMENT),
            tried => return tried,
        }
    }
    lock.try_lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_back_in_a_moment_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::open(dir.path(), true).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(2 * MOMENT);
                drop(held);
            });
            DataDir::open(dir.path(), true).unwrap();
        });
    }

    #[test]
    fn a_directory_is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::open(dir.path(), true).unwrap();
        let refused = DataDir::open(dir.path(), true).unwrap_err().to_string();
        assert!(
            refused.contains(&std::process::id().to_string()),
            "{refused}"
        );
        drop(held);
        DataDir::open(dir.path(), true).unwrap();
    }

    #[test]
    fn a_directory_belongs_to_one_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path(), false).unwrap();
        data.belong_to("one").unwrap();
        data.belong_to("one").unwrap();
        let refused = data.belong_to("two").unwrap_err().to_string();
        assert!(refused.contains("belongs to cluster one"), "{refused}");
    }
}
