//! What an archive reads: files and directories of the disk, in the order of the snapshot, with a record of each file
//! and of each error. The library leaves out what it cannot read, and says so in a log.

pub(super) mod again;
mod attributes;
mod file;
mod fill;
pub(super) mod ledger;
mod listing;
pub(super) mod node;
pub(super) mod restless;
mod seen;
mod walk;

use std::{
    ffi::OsStr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rustic_core::{ReadSource, RusticResult};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};

use self::{file::Place, ledger::Ledger, walk::Walk};
use super::{error::other, gate::lock};
use crate::{
    backup::repository::{Job, RepositoryError, Result, Source},
    domain::backup::{globs::Globs, manifest::SnapshotPath},
};

/// All sources of a job.
pub(super) struct Sources {
    /// Taken by the one walk over them.
    roots: Mutex<Vec<Root>>,
    ledger: Arc<Ledger>,
}

/// Where a source begins.
struct Root {
    source: Source,
    place: Arc<Place>,
    globs: Arc<Globs>,
    stat: Stat,
    /// Of a directory.
    opened: Option<OwnedFd>,
    /// Device and inode of what no backup holds, however a walk comes there: the repository, and what else backups make.
    own: Vec<Own>,
}

/// A folder that is not entered, and what is said of it.
struct Own {
    identity: (u64, u64),
    what: String,
}

impl Sources {
    /// # Errors
    /// Where a source is not there, or the job makes no sense.
    pub(super) fn open(job: &Job, repository: &Path, ledger: Arc<Ledger>) -> Result<Self> {
        if job.sources.is_empty() {
            return Err(other("there is nothing to store"));
        }
        let own = rustix::fs::stat(repository).ok();
        let own = own.map(|own| (own.st_dev, own.st_ino));
        let mut roots = Vec::with_capacity(job.sources.len());
        for source in &job.sources {
            roots.push(Root::open(source, own)?);
        }
        roots.sort_by(|one, other| names(&one.source.to).cmp(names(&other.source.to)));
        for pair in roots.windows(2) {
            let (one, other) = (&pair[0].source, &pair[1].source);
            if names(&other.to)
                .take(names(&one.to).count())
                .eq(names(&one.to))
            {
                return Err(unusable(other, format!("it lies in {}", one.to)));
            }
        }
        Ok(Self {
            roots: Mutex::new(roots),
            ledger,
        })
    }
}

impl Root {
    /// A link here is the configuration's own, and followed; those in the source never are.
    fn open(source: &Source, repository: Option<(u64, u64)>) -> Result<Self> {
        if names(&source.to).next().is_none()
            || !source.to.as_bytes().starts_with(b"/")
            || names(&source.to).any(|name| name == b"." || name == b"..")
        {
            return Err(unusable(
                source,
                format!("{} is no place in a snapshot", source.to),
            ));
        }
        let globs = Globs::new(&source.include, &source.exclude)
            .map_err(|why| unusable(source, format!("a glob cannot be used: {why}")))?;
        let failed = |error: rustix::io::Errno| unusable(source, error.to_string());
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let at = openat(CWD, &source.from, flags, Mode::empty()).map_err(failed)?;
        let stat = fstat(&at).map_err(failed)?;
        let opened = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                Some(openat(&at, ".", flags, Mode::empty()).map_err(failed)?)
            }
            FileType::RegularFile => None,
            _ => {
                return Err(unusable(
                    source,
                    "it is neither a file nor a directory".to_owned(),
                ));
            }
        };
        Ok(Self {
            source: source.clone(),
            place: Arc::new(Place {
                from: source.from.clone(),
                to: normal(&source.to),
                all_or_nothing: source.all_or_nothing,
            }),
            globs: Arc::new(globs),
            stat,
            opened,
            own: own(source, repository),
        })
    }

    /// Opens a directory that is in it.
    ///
    /// # Errors
    /// Why it is not entered.
    fn open_below(&self, above: &OwnedFd, name: &OsStr) -> std::result::Result<OwnedFd, String> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(above, name, flags, Mode::empty());
        let opened = opened.map_err(|error| format!("could not open it: {error}"))?;
        let is = fstat(&opened).map(|stat| (stat.st_dev, stat.st_ino));
        let own = self.own.iter().find(|own| is == Ok(own.identity));
        match own {
            Some(own) => Err(format!("{}: it was not entered", own.what)),
            None => Ok(opened),
        }
    }
}

impl ReadSource for Sources {
    type Open = file::Open;
    type Iter = Walk;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        Walk::new(
            std::mem::take(&mut *lock(&self.roots)),
            Arc::clone(&self.ledger),
        )
    }
}

/// What a source is not to hold; the repository by what it is for this backup, as it may be another of the places too.
fn own(source: &Source, repository: Option<(u64, u64)>) -> Vec<Own> {
    let repository = repository.map(|identity| Own {
        identity,
        what: "this backup is stored in it".to_owned(),
    });
    let others = source.own.iter().map(|folder| Own {
        identity: (folder.device, folder.inode),
        what: format!(
            "it is backups.{}, in which lies what backups make",
            folder.setting
        ),
    });
    repository.into_iter().chain(others).collect()
}

/// The names that a path of a snapshot is made of.
fn names(path: &SnapshotPath) -> impl Iterator<Item = &[u8]> {
    path.as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
}

/// Without slashes that are there twice or at the end.
fn normal(path: &SnapshotPath) -> PathBuf {
    let mut normal = PathBuf::from("/");
    normal.extend(names(path).map(OsStr::from_bytes));
    normal
}

/// The directories above `path` that a walk is not within yet, topmost first; by then it is within them.
fn directories_above(path: &Path, within: &mut PathBuf) -> Vec<PathBuf> {
    let above = path.parent().unwrap_or(Path::new("/"));
    let mut new: Vec<_> = above
        .ancestors()
        .filter(|directory| !within.starts_with(directory))
        .map(Path::to_owned)
        .collect();
    new.reverse();
    *within = above.to_owned();
    new
}

fn in_snapshot(path: &Path) -> SnapshotPath {
    SnapshotPath(path.as_os_str().as_bytes().to_vec())
}

fn unusable(source: &Source, why: String) -> RepositoryError {
    RepositoryError::Source {
        what: source.from.display().to_string(),
        why,
    }
}
