//! Putting what was restored in place by renaming it, such that whoever comes after a process that was killed in between
//! sees how far that was: each entry is told by what no other has, and moved once.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use rustix::{
    fs::{
        AtFlags, Dir, FileType, Mode, RenameFlags, StatxFlags, chmodat, fstat, openat, renameat,
        renameat_with, statat, statx, unlinkat,
    },
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::removing::DIRECTORY;

/// Marks that tell a file from every other of its disk, one that was given its number anew among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    inode: u64,
    /// The time at which it was made, where the disk notes that.
    born: Option<(i64, u32)>,
}

/// Entries that are put in place, as they are noted before that begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placing {
    /// Whether the entries are moved into a directory that is there; else the one entry is the directory.
    in_it: bool,
    entries: Vec<(String, Identity)>,
}

/// Place of something under its other name, and the one that it is to have.
#[derive(Debug)]
pub(super) struct Spot {
    /// The directory that both names are in.
    pub(super) within: Arc<OwnedFd>,
    /// The other name.
    pub(super) name: String,
    /// Its name; without one, its entries are moved out of it.
    to: Option<String>,
}

impl Placing {
    /// Whether entries are moved into a directory that is there.
    pub(super) fn is_in_it(&self) -> bool {
        self.in_it
    }

    /// Number of entries that are put in place.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Names of those that are in place in the directory that they are put into.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn names_in(&self, within: BorrowedFd<'_>) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for (name, wanted) in &self.entries {
            if of_name(within, name)? == Some(*wanted) {
                names.push(name.clone());
            }
        }
        Ok(names)
    }
}

impl Spot {
    pub(super) fn new(within: OwnedFd, name: String, to: Option<String>) -> Self {
        let within = Arc::new(within);
        Self { within, name, to }
    }

    /// The entries of what was restored into `staged` that are to be put in place.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn placing(&self, staged: &OwnedFd) -> io::Result<Placing> {
        let Some(to) = &self.to else {
            let mut entries = Vec::new();
            for entry in Dir::read_from(staged)? {
                let entry = entry?;
                let name = entry.file_name();
                if [c".", c".."].contains(&name) {
                    continue;
                }
                let text = name.to_str().map_err(io::Error::other)?;
                let stat = of_name(staged.as_fd(), text)?.ok_or(Errno::NOENT)?;
                entries.push((text.to_owned(), stat));
            }
            return Ok(Placing {
                in_it: true,
                entries,
            });
        };
        Ok(Placing {
            in_it: false,
            entries: vec![(to.clone(), identity(staged.as_fd())?)],
        })
    }

    /// Whether the other name is that of what is open.
    pub(super) fn leads_to(&self, staged: &OwnedFd) -> bool {
        let named = of_name(self.within.as_fd(), &self.name);
        matches!((named, identity(staged.as_fd())), (Ok(Some(named)), Ok(opened)) if named == opened)
    }

    /// Puts in place what is not yet; false where something is neither there nor on the way, or is another's.
    ///
    /// # Errors
    /// Where something else is in its place, and what the disk says.
    pub(super) fn put(&self, placing: &Placing) -> io::Result<bool> {
        let staged = match placing.in_it {
            false => None,
            true => match openat(&*self.within, self.name.as_str(), DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => None,
                staged => Some(staged?),
            },
        };
        let mut moves = Vec::new();
        for (to, wanted) in &placing.entries {
            let there = of_name(self.within.as_fd(), to)?;
            if there == Some(*wanted) {
                continue;
            }
            let from = match (placing.in_it, &staged) {
                (false, _) => (self.within.as_fd(), self.name.as_str()),
                (true, Some(staged)) => (staged.as_fd(), to.as_str()),
                (true, None) => return Ok(false),
            };
            if of_name(from.0, from.1)? != Some(*wanted) {
                return Ok(false);
            }
            // Before anything is moved: all of it, or nothing.
            if placing.in_it && there.is_some() {
                return Err(Errno::EXIST.into());
            }
            moves.push((from, to.as_str()));
        }
        for ((above, name), to) in moves {
            match placing.in_it {
                true => move_to(above, name, self.within.as_fd(), to)?,
                // An empty directory may be there.
                false => renameat(above, name, &*self.within, to)?,
            }
        }
        if let Some(staged) = staged {
            // Nothing was moved before all of it was on the disk; what is left of it is empty.
            rustix::fs::fsync(&*self.within)?;
            rustix::fs::fsync(&staged)?;
            match unlinkat(&*self.within, self.name.as_str(), AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

/// The identity of what is open.
///
/// # Errors
/// What the disk says.
pub(super) fn identity(file: BorrowedFd<'_>) -> io::Result<Identity> {
    let known = statx(file, "", AtFlags::EMPTY_PATH, wanted());
    Ok(match known {
        Ok(known) => told(&known),
        // An old kernel, or a filter.
        Err(_) => Identity {
            inode: fstat(file)?.st_ino,
            born: None,
        },
    })
}

/// The identity of what is called so; none where nothing is.
fn of_name(above: BorrowedFd<'_>, name: &str) -> io::Result<Option<Identity>> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    match statx(above, name, flags, wanted()) {
        Ok(known) => return Ok(Some(told(&known))),
        Err(Errno::NOENT) => return Ok(None),
        Err(_) => {}
    }
    match statat(above, name, flags) {
        Ok(stat) => Ok(Some(Identity {
            inode: stat.st_ino,
            born: None,
        })),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn wanted() -> StatxFlags {
    StatxFlags::INO | StatxFlags::BTIME
}

fn told(known: &rustix::fs::Statx) -> Identity {
    let is_known = known.stx_mask & StatxFlags::BTIME.bits() != 0;
    Identity {
        inode: known.stx_ino,
        born: is_known.then_some((known.stx_btime.tv_sec, known.stx_btime.tv_nsec)),
    }
}

/// Moves an entry where nothing is yet, also a directory that its owner may not write in: who is not root may not change
/// what such a one lies in.
fn move_to(above: BorrowedFd<'_>, name: &str, into: BorrowedFd<'_>, to: &str) -> Result<(), Errno> {
    let denied = match rename_to(above, name, into, to) {
        Err(Errno::ACCESS) => Errno::ACCESS,
        moved => return moved,
    };
    let stat = statat(above, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    if !is_directory || mode.contains(Mode::WUSR) {
        return Err(denied);
    }
    chmodat(above, name, mode | Mode::WUSR, AtFlags::empty())?;
    let moved = rename_to(above, name, into, to);
    let (above, name) = match moved {
        Ok(()) => (into, to),
        Err(_) => (above, name),
    };
    moved.and(chmodat(above, name, mode, AtFlags::empty()))
}

fn rename_to(
    above: BorrowedFd<'_>,
    name: &str,
    into: BorrowedFd<'_>,
    to: &str,
) -> Result<(), Errno> {
    match renameat_with(above, name, into, to, RenameFlags::NOREPLACE) {
        // The file system, or the kernel, knows only the other kind.
        Err(Errno::INVAL | Errno::NOSYS) => match statat(into, to, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => renameat(above, name, into, to),
            Ok(_) => Err(Errno::EXIST),
            Err(error) => Err(error),
        },
        moved => moved,
    }
}
