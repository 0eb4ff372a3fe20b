//! Where a restore comes to lie: beneath a restore root, through no link, and under another name until it is whole.
//! Where a disk is mounted at its directory, or that holds what a disk has from its making, the other name is in it, and
//! what was restored is moved out of that: a directory cannot take the place of a disk.

use std::{
    ffi::OsStr,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use rustix::{
    fs::{Dir, FlockOperation, Mode, flock, mkdirat, openat, renameat},
    io::Errno,
};

use super::{
    occupied::{OF_A_DISK, is_mount},
    removing::{DIRECTORY, remove_in},
    restore_files::Beneath,
    restore_put::{Identity, Placing, Spot, identity},
    work::{Lasting, make_directory, remove_beside},
};
use crate::domain::RunId;

/// Characters of a directory's name that its other name holds.
const NAMED: usize = 40;

/// A directory under its other name. Its name holds the run, so that what an earlier attempt has left there is the
/// run's own.
pub(super) struct Unfinished {
    spot: Spot,
    /// Opened before anything was written in it: a disk that fails meanwhile is told to whoever has it open since then.
    /// Locked for as long as this lives, so that whoever sweeps sees that somebody is at it.
    staged: OwnedFd,
    roots: Vec<PathBuf>,
    directory: PathBuf,
}

impl Unfinished {
    /// Makes it anew. Blocks.
    ///
    /// # Errors
    /// Where it cannot be made, a link is on the way from its root, or something is there already.
    pub(super) fn make(roots: &[PathBuf], directory: &Path, run: RunId) -> anyhow::Result<Self> {
        let about = || format!("could not begin {}", directory.display());
        let above = parent(roots, directory, true)?;
        let spot = spot(above, directory, run)?;
        let name = spot.name.clone();
        remove_in(&spot.within, &name).with_context(about)?;
        mkdirat(&*spot.within, &name, Mode::RWXU).with_context(about)?;
        let staged = openat(&*spot.within, &name, DIRECTORY, Mode::empty()).with_context(about)?;
        let unfinished = Self {
            spot,
            staged,
            roots: roots.to_owned(),
            directory: directory.to_owned(),
        };
        // Where the file system knows of no locks, the database alone says who is at it.
        let lock = |how| flock(&unfinished.staged, how);
        if lock(FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            // Of a sweep that looks whether somebody is at it: it ends at once, or has taken it for what was left.
            let _ = lock(FlockOperation::LockExclusive);
        }
        if !unfinished.spot.leads_to(&unfinished.staged) {
            bail!(
                "could not begin {}: a cleanup has removed {name} for what an earlier attempt had left",
                directory.display()
            );
        }
        inherit_nothing(&unfinished.staged).with_context(about)?;
        Ok(unfinished)
    }

    /// Marks of the directory that it is to be made in, which is made where it is not there. Blocks.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub(super) fn holder(
        roots: &[PathBuf],
        directory: &Path,
        run: RunId,
    ) -> anyhow::Result<Identity> {
        let above = parent(roots, directory, true)?;
        let spot = spot(above, directory, run)?;
        Ok(identity(spot.within.as_fd())?)
    }

    /// Opens it. Blocks.
    ///
    /// # Errors
    /// Where it is not there any more.
    pub(super) fn open(&self) -> anyhow::Result<Beneath> {
        let opened = openat(&self.staged, ".", DIRECTORY, Mode::empty());
        let opened = opened.with_context(|| format!("could not open {}", self.spot.name))?;
        Ok(Beneath::new(opened))
    }

    /// Sees to it that all of it is on the disk; says what is to be put in place. Blocks.
    ///
    /// # Errors
    /// Where the disk fails, or has failed since it was made.
    pub(super) fn sync(&self) -> anyhow::Result<Placing> {
        let about = || format!("could not finish {}", self.directory.display());
        rustix::fs::syncfs(&self.staged).with_context(about)?;
        self.spot.placing(&self.staged).with_context(about)
    }

    /// Gives it its name, once it is on the disk. An empty directory of that name may be there; what is there besides
    /// stays what it is. Blocks.
    ///
    /// # Errors
    /// Where something of that name is there, or the disk fails.
    pub(super) fn place(self, placing: &Placing) -> anyhow::Result<()> {
        if !put(&self.spot, placing, &self.directory)? {
            bail!(
                "what was restored into {} is not there any more: another has removed it",
                self.directory.display()
            );
        }
        let placed = match placing.is_in_it() {
            true => self.spot.within.as_fd(),
            false => self.staged.as_fd(),
        };
        let reached = reached(&self.roots, &self.directory)?;
        if reached != Some(identity(placed)?) {
            bail!(
                "what was restored is not what {} leads to: a disk was mounted there meanwhile, or it was moved away",
                self.directory.display()
            );
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is in place, or another attempt of the run has begun under that name.
        if !self.spot.leads_to(&self.staged) {
            return;
        }
        let (within, name) = (Arc::clone(&self.spot.within), self.spot.name.clone());
        // Aside first: the run's next attempt may begin under that name at once.
        let aside = aside(&name);
        let name = match renameat(&*within, name.as_str(), &*within, aside.as_str()) {
            Ok(()) => aside,
            Err(_) => name,
        };
        remove_beside(name.clone(), move || remove_in(&within, &name));
    }
}

/// What an earlier attempt of the run had restored in full and was putting in place, brought to its end; the directory
/// that it is. None where something else is there. Blocks.
///
/// # Errors
/// Where the disk fails, a link is on the way from its root, or part of it is in place and the rest is gone.
pub(super) fn finish_placing(
    roots: &[PathBuf],
    directory: &Path,
    run: RunId,
    placing: &Placing,
) -> anyhow::Result<Option<Beneath>> {
    let about = || format!("could not finish {}", directory.display());
    let above = parent(roots, directory, true)?;
    let name = unfinished_name(directory, run);
    let to = final_name(directory);
    let spot = match placing.is_in_it() {
        true => match openat(&above, to.as_str(), DIRECTORY, Mode::empty()) {
            Ok(within) => Spot::new(within, name, None),
            // Nothing is put into what a link leads to.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("could not open {}", directory.display()));
            }
        },
        false => Spot::new(above, name, Some(to.clone())),
    };
    // Before anything more is done there: what fails from now on is told.
    rustix::fs::syncfs(&*spot.within).with_context(about)?;
    if !put(&spot, placing, directory)? {
        // It is no empty place for another attempt, and what is put there now would not be known any more.
        if let Some(names) = in_it_already(&spot, placing) {
            bail!(Lasting(format!(
                "an attempt before has put {names} into {}, and the rest is not there any more: remove them, and restore anew",
                directory.display()
            )));
        }
        return Ok(None);
    }
    let above = parent(roots, directory, false)?;
    let opened = openat(&above, to.as_str(), DIRECTORY, Mode::empty()).with_context(about)?;
    rustix::fs::syncfs(&opened).with_context(about)?;
    Ok(Some(Beneath::new(opened)))
}

fn put(spot: &Spot, placing: &Placing, directory: &Path) -> anyhow::Result<bool> {
    let put = spot.put(placing).with_context(|| {
        let what = match in_it_already(spot, placing) {
            Some(names) => format!("in part alone, {names} lie there"),
            None => "a restore never writes over anything".to_owned(),
        };
        format!(
            "what was restored could not become {}: {what}",
            directory.display()
        )
    })?;
    let about = || format!("could not finish {}", directory.display());
    rustix::fs::fsync(&*spot.within).with_context(about)?;
    Ok(put)
}

/// What was moved into a directory that is there, by name.
fn in_it_already(spot: &Spot, placing: &Placing) -> Option<String> {
    let names = placing.names_in(spot.within.as_fd());
    let names = names.ok().filter(|_| placing.is_in_it())?;
    (!names.is_empty()).then(|| names.join(", "))
}

/// What the directory's path leads to.
fn reached(roots: &[PathBuf], directory: &Path) -> anyhow::Result<Option<Identity>> {
    let above = parent(roots, directory, false)?;
    match openat(&above, final_name(directory), DIRECTORY, Mode::empty()) {
        Ok(opened) => Ok(Some(identity(opened.as_fd())?)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(error) => Err(error).context("could not look at what was restored"),
    }
}

/// Where the other name of a directory is: beside it, or in it.
fn spot(above: OwnedFd, directory: &Path, run: RunId) -> anyhow::Result<Spot> {
    let (name, to) = (unfinished_name(directory, run), final_name(directory));
    let there = match openat(&above, to.as_str(), DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(Spot::new(above, name, Some(to))),
        there => there.with_context(|| format!("could not open {}", directory.display()))?,
    };
    let mut of_a_disk = is_mount(&there, Path::new("."));
    for entry in Dir::read_from(&there)? {
        let entry = entry?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            own if own == name.as_bytes() || own == aside(&name).as_bytes() => of_a_disk = true,
            disk if disk == OF_A_DISK.as_bytes() => of_a_disk = true,
            _ => bail!(
                "{} is there and not empty: a restore never writes over anything",
                directory.display()
            ),
        }
    }
    Ok(match of_a_disk {
        true => Spot::new(there, name, None),
        false => Spot::new(above, name, Some(to)),
    })
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

/// Under which names a run may have left it.
pub(super) fn names_of_left(directory: &Path, run: RunId) -> [String; 2] {
    let name = unfinished_name(directory, run);
    [aside(&name), name]
}

/// What it is called while it is removed.
fn aside(name: &str) -> String {
    format!("{name}.gone")
}

/// The restore root that a directory lies below.
pub(super) fn root_of<'a>(roots: &'a [PathBuf], directory: &Path) -> Option<&'a PathBuf> {
    let below = |root: &&PathBuf| directory.starts_with(root) && directory != root.as_path();
    let below = roots.iter().filter(below);
    below.max_by_key(|root| root.as_os_str().len())
}

/// What a directory is to lie in: opened from its root on, through no link. Blocks.
///
/// # Errors
/// Where it lies below no root, a link is on the way, and what the disk says.
pub(super) fn parent(roots: &[PathBuf], directory: &Path, make: bool) -> anyhow::Result<OwnedFd> {
    let Some(root) = root_of(roots, directory) else {
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

fn final_name(directory: &Path) -> String {
    let name = directory.file_name().unwrap_or_default();
    // It was given as text.
    name.to_string_lossy().into_owned()
}

fn unfinished_name(directory: &Path, run: RunId) -> String {
    // With all that is added it is to fit into a name.
    let name: String = final_name(directory).chars().take(NAMED).collect();
    format!(".{name}.{run}.unfinished")
}

#[cfg(test)]
mod tests;
