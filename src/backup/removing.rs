//! Removes directories with all that is in them: by way of the one that each lies in, which is open, wherever that was
//! moved to, and whether or not `/proc` is mounted here.

use std::{
    ffi::{CString, OsStr},
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, chmodat, fchmod, openat, statat, unlinkat},
    io::Errno,
};

/// Flags that open a directory itself, and nothing that a link leads to.
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// As [`remove_in`], by its path, which is followed up to what it lies in. Blocks.
///
/// # Errors
/// Why something of it stays.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    match File::open(Path::new(".").join(above)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        above => remove_in(&above?.into(), name),
    }
}

/// Removes what is called so in a directory, with all that is in it, also where it came back with permissions that keep
/// its owner from that. No link is followed; that nothing is there is no error. What can go goes. Blocks.
///
/// # Errors
/// Why something of it stays.
pub(super) fn remove_in(above: &OwnedFd, name: impl AsRef<OsStr>) -> io::Result<()> {
    let name = name.as_ref().as_bytes();
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(remove(above.as_fd(), &name)?)
}

fn remove(above: BorrowedFd<'_>, name: &CString) -> Result<(), Errno> {
    let stat = match statat(above, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        stat => stat?,
    };
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return gone(unlinkat(above, name, AtFlags::empty()));
    }
    let emptied = match open(above, name) {
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => Err(error),
        Ok(directory) => empty(&directory),
    };
    let removed = gone(unlinkat(above, name, AtFlags::REMOVEDIR));
    // Why something in it stays says more than that it is not empty.
    removed.or_else(|error| emptied.and(Err(error)))
}

fn open(above: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let opened = match openat(above, name, DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(above, name, Mode::RWXU, AtFlags::empty())?;
            openat(above, name, DIRECTORY, Mode::empty())?
        }
        opened => opened?,
    };
    // Where it is not its owner's to change, what is in it may be.
    let _ = fchmod(&opened, Mode::RWXU);
    Ok(opened)
}

fn empty(directory: &OwnedFd) -> Result<(), Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
    }
    let mut failed = Ok(());
    for name in &names {
        failed = failed.and(remove(directory.as_fd(), name));
    }
    failed
}

/// Takes it for removed where another was quicker.
fn gone(removed: Result<(), Errno>) -> Result<(), Errno> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use super::*;

    #[test]
    fn a_tree_goes_whatever_its_permissions_and_no_link_is_followed() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("theirs"), "stays").unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("a/b/c")).unwrap();
        fs::write(tree.join("a/b/file"), "x").unwrap();
        symlink(outside.path(), tree.join("a/link")).unwrap();
        for locked in ["a/b", "a"] {
            fs::set_permissions(tree.join(locked), fs::Permissions::from_mode(0o0)).unwrap();
        }
        fs::write(folder.path().join("beside"), "stays").unwrap();
        let above: OwnedFd = File::open(folder.path()).unwrap().into();

        remove_in(&above, "tree").unwrap();
        remove_in(&above, "tree").unwrap();

        assert!(!tree.exists());
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::set_permissions(tree.join("a"), fs::Permissions::from_mode(0o0)).unwrap();
        for gone in [&tree, &tree, &folder.path().join("nowhere/tree")] {
            remove_tree(gone).unwrap();
        }
        assert!(!tree.exists());
        assert!(folder.path().join("beside").exists());
        assert!(outside.path().join("theirs").exists());
    }
}
