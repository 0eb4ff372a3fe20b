//! Where a restore comes to lie: beneath a restore root, through no link, and under another name until it is whole.

use std::{
    ffi::OsStr,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, mkdirat, openat, renameat, statat},
    io::Errno,
};

use super::{
    Backups,
    restore_files::Beneath,
    restore_plan::RestorePlan,
    work::{Job, Lasting, blocking, make_directory, remove_beside, remove_tree},
};
use crate::domain::RunId;

/// Characters of a directory's name that its other name holds.
const NAMED: usize = 40;

/// A directory under its other name. Its name holds the run, so that what an earlier attempt has left there is the
/// run's own.
pub(super) struct Unfinished {
    /// What it lies in.
    parent: Arc<OwnedFd>,
    /// Opened before anything was written in it: a disk that fails meanwhile is told to whoever has it open since then.
    opened: Option<OwnedFd>,
    /// Whether it is there under its other name.
    is_there: bool,
    name: String,
    directory: PathBuf,
}

impl Unfinished {
    /// Makes it anew. Blocks.
    ///
    /// # Errors
    /// Where it cannot be made, or a link is on the way from its root.
    pub(super) fn make(roots: &[PathBuf], directory: &Path, run: RunId) -> anyhow::Result<Self> {
        let parent = parent(roots, directory, true)?;
        let name = unfinished_name(directory, run);
        let mut unfinished = Self {
            parent: Arc::new(parent),
            opened: None,
            is_there: true,
            name,
            directory: directory.to_owned(),
        };
        unfinished
            .clear()
            .and_then(|()| {
                Ok(mkdirat(
                    &*unfinished.parent,
                    unfinished.name.as_str(),
                    Mode::RWXU,
                )?)
            })
            .with_context(|| format!("could not begin {}", directory.display()))?;
        let opened = unfinished.descriptor()?;
        inherit_nothing(&opened)
            .with_context(|| format!("could not begin {}", directory.display()))?;
        unfinished.opened = Some(opened);
        Ok(unfinished)
    }

    /// Opens it. Blocks.
    ///
    /// # Errors
    /// Where it is not there any more.
    pub(super) fn open(&self) -> anyhow::Result<Beneath> {
        self.descriptor().map(Beneath::new)
    }

    fn descriptor(&self) -> anyhow::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&*self.parent, self.name.as_str(), flags, Mode::empty());
        opened.with_context(|| format!("could not open {}", self.name))
    }

    /// Gives it its name, once all of it is on the disk. An empty directory of that name may be there; one that is not
    /// stays what it is. Blocks.
    ///
    /// # Errors
    /// Where something of that name is there, or the disk fails.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => self.descriptor()?,
        };
        let about = || format!("could not finish {}", self.directory.display());
        rustix::fs::syncfs(&opened).with_context(about)?;
        let to = self.directory.file_name().unwrap_or_default();
        let renamed = renameat(&*self.parent, self.name.as_str(), &*self.parent, to);
        renamed.with_context(|| {
            format!(
                "what was restored could not become {}: a restore never writes over anything",
                self.directory.display()
            )
        })?;
        self.is_there = false;
        rustix::fs::fsync(&*self.parent).with_context(about)?;
        Ok(())
    }

    fn clear(&self) -> std::io::Result<()> {
        remove_tree(&within(&self.parent, &self.name))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_there {
            return;
        }
        let (parent, name) = (Arc::clone(&self.parent), std::mem::take(&mut self.name));
        // Aside first: the run's next attempt may begin under that name at once.
        let aside = aside(&name);
        let name = match renameat(&*parent, name.as_str(), &*parent, aside.as_str()) {
            Ok(()) => aside,
            Err(_) => name,
        };
        // By way of the parent, which is to be open for as long as that takes.
        remove_beside(within(&parent, &name), name, parent);
    }
}

impl Backups {
    /// Removes what restores have left whose process was killed and whose run has ended; says how many.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub(super) async fn sweep_restores(&self, job: &Job) -> anyhow::Result<u64> {
        let noted: Vec<(String, RestorePlan)> = self.store().restore_plans_of_runs().await?;
        // Asked after: whoever has noted one until then was at it, and is still, or has ended.
        let alive = self.store().runs_under_way().await?;
        let roots = self.settings().config.restore_roots.clone();
        let mut swept = 0;
        for (key, plan) in noted {
            let run = key.strip_prefix("run:").and_then(|run| run.parse().ok());
            let Some(run) = run.map(RunId) else { continue };
            if alive.contains(&run) || run == job.run() {
                continue;
            }
            let (roots, dry_run) = (roots.clone(), job.dry_run());
            let directory = plan.directory.clone();
            let removed = blocking("sweep", move || {
                remove_left(&roots, &directory, run, dry_run)
            });
            match removed.await? {
                Ok(false) => {}
                Ok(true) => {
                    job.log(format!(
                        "what a restore into {} has left goes: its run has ended",
                        plan.directory.display()
                    ));
                    swept += 1;
                }
                Err(error) => job.log(format!(
                    "what a restore into {} has left could not be removed: {error:#}",
                    plan.directory.display()
                )),
            }
        }
        Ok(swept)
    }
}

/// Takes from a directory the access lists that it has from the one above: what is restored into it would have them, too,
/// and be open to whoever they name.
fn inherit_nothing(directory: &OwnedFd) -> rustix::io::Result<()> {
    for name in ["system.posix_acl_default", "system.posix_acl_access"] {
        match rustix::fs::fremovexattr(directory, name) {
            // There is none, or the file system knows of none.
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn remove_left(
    roots: &[PathBuf],
    directory: &Path,
    run: RunId,
    dry_run: bool,
) -> anyhow::Result<bool> {
    // What it would lie in is gone, or no root of the configuration any more.
    let Ok(parent) = parent(roots, directory, false) else {
        return Ok(false);
    };
    let name = unfinished_name(directory, run);
    let mut is_any = false;
    for name in [aside(&name), name] {
        match statat(&parent, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
            Ok(_) | Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        }
        is_any = true;
        if !dry_run {
            remove_tree(&within(&parent, &name))?;
        }
    }
    Ok(is_any)
}

/// What it is called while it is removed.
fn aside(name: &str) -> String {
    format!("{name}.gone")
}

/// What a directory is to lie in: opened from its root on, through no link.
fn parent(roots: &[PathBuf], directory: &Path, make: bool) -> anyhow::Result<OwnedFd> {
    let below = |root: &&PathBuf| directory.starts_with(root) && directory != root.as_path();
    let Some(root) = roots
        .iter()
        .filter(below)
        .max_by_key(|root| root.as_os_str().len())
    else {
        bail!(Lasting(format!(
            "{} lies below none of the restore roots of the configuration",
            directory.display()
        )));
    };
    if make {
        make_directory(root)?;
    }
    let about = || format!("could not open {}", root.display());
    let opened = Beneath::at(root).with_context(about)?;
    let above = directory.parent().unwrap_or(root);
    let above = above.strip_prefix(root).unwrap_or(Path::new(""));
    let parts: Vec<&[u8]> = above.iter().map(OsStr::as_bytes).collect();
    let opened = match make {
        true => opened.make(&parts),
        false => opened.open(&parts),
    };
    opened.with_context(|| {
        format!(
            "could not open what {} is to lie in; a restore follows no link",
            directory.display()
        )
    })
}

fn unfinished_name(directory: &Path, run: RunId) -> String {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    // With all that is added it is to fit into a name.
    let name: String = name.chars().take(NAMED).collect();
    format!(".{name}.{run}.unfinished")
}

/// By way of what is open: wherever that has been moved to, and whatever took its place.
fn within(parent: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", parent.as_raw_fd()))
}
