//! Where what a run has left of a restore may lie: in what its directory lies in, and in that itself where it is a disk.

use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

use crate::backup::{
    removing::DIRECTORY,
    restore_place::{parent, root_of},
    restore_put::{Identity, Placing, identity},
};

/// The directories that are there of those that it may lie in.
pub(in crate::backup) struct Places {
    /// Whether the configuration has no root any more that they lie below.
    pub(super) is_outside: bool,
    above: Option<OwnedFd>,
    /// None where nothing is called so, or no directory: nothing is put into what a link leads to.
    within: Option<OwnedFd>,
}

impl Places {
    /// Opens them. Blocks, and may hang.
    ///
    /// # Errors
    /// Where it may lie there, and that cannot be looked at.
    pub(in crate::backup) fn of(roots: &[PathBuf], directory: &Path) -> anyhow::Result<Self> {
        let root = root_of(roots, directory);
        let above = match root {
            Some(root) => parent_there(roots, root, directory)?,
            None => opened_plainly(directory)?,
        };
        let within = match &above {
            Some(above) => open_there(above, directory)?,
            None => None,
        };
        Ok(Self {
            is_outside: root.is_none(),
            above,
            within,
        })
    }

    /// Those that are there, each with its path.
    pub(super) fn all<'a>(
        &'a self,
        directory: &'a Path,
    ) -> impl Iterator<Item = (&'a OwnedFd, &'a Path)> {
        let above = self.above.as_ref().zip(directory.parent());
        let within = self.within.as_ref().map(|within| (within, directory));
        above.into_iter().chain(within)
    }

    /// Whether one of those that have held it is not among them, as where a disk is not mounted.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn lack_one_of(&self, held_in: &[Identity]) -> io::Result<bool> {
        let mut there = Vec::new();
        for one in [&self.above, &self.within].into_iter().flatten() {
            there.push(identity(one.as_fd())?);
        }
        Ok(held_in.iter().any(|held| !there.contains(held)))
    }

    /// Names of what lies in place of what was to be put there.
    ///
    /// # Errors
    /// What the disk says.
    pub(in crate::backup) fn names(&self, placing: &Placing) -> io::Result<Vec<String>> {
        let within = match placing.is_in_it() {
            true => &self.within,
            false => &self.above,
        };
        let names = within
            .as_ref()
            .map(|within| placing.names_in(within.as_fd()));
        Ok(names.transpose()?.unwrap_or_default())
    }
}

/// What a directory lies in below a root; none where it is gone.
fn parent_there(
    roots: &[PathBuf],
    root: &Path,
    directory: &Path,
) -> anyhow::Result<Option<OwnedFd>> {
    let error = match parent(roots, directory, false) {
        Ok(opened) => return Ok(Some(opened)),
        Err(error) => error,
    };
    let is_gone = {
        let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
        causes.any(is_not_there)
    };
    if !is_gone {
        return Err(error);
    }
    // It may lie where a link leads to, such as when what it is on was moved and the link put in its place.
    let above = directory.ancestors().skip(1);
    let mut below = above.take_while(|part| *part != root);
    match below.find(|part| part.is_symlink()) {
        Some(link) => bail!("{} is a link: a restore follows none", link.display()),
        None => Ok(None),
    }
}

/// What a directory lies in, by its path; none where that is gone.
fn opened_plainly(directory: &Path) -> anyhow::Result<Option<OwnedFd>> {
    let above = directory.parent().unwrap_or(directory);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(CWD, above, flags, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not open {}", above.display())),
    }
}

fn open_there(above: &OwnedFd, directory: &Path) -> anyhow::Result<Option<OwnedFd>> {
    let name = directory.file_name().unwrap_or(OsStr::new("."));
    match openat(above, name, DIRECTORY, Mode::empty()) {
        Ok(opened) => Ok(Some(opened)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not open {}", directory.display())),
    }
}

/// Whether an error says that there is nothing of that name.
fn is_not_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
