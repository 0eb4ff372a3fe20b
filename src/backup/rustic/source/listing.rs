//! The names in a directory, as it was at one moment.

use std::{
    ffi::OsString,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
};

use rustix::{
    fs::{Dir, FileType, fstat},
    io::Errno,
};

use super::seen::Seen;

/// How often a directory is listed where names come and go meanwhile.
const LISTS_AT_MOST: usize = 3;

/// A name in a directory, and whether it is that of a directory, where the listing tells.
pub(super) type Name = (OsString, Option<bool>);

/// Names in a directory as it was at one moment, as far as it comes to rest.
pub(super) fn list(directory: &OwnedFd) -> Result<Vec<Name>, Errno> {
    let mut names = Vec::new();
    for _ in 0..LISTS_AT_MOST {
        let before = Seen::of(&fstat(directory)?);
        names = names_in(directory)?;
        if before == Seen::of(&fstat(directory)?) {
            break;
        }
    }
    Ok(names)
}

fn names_in(directory: &OwnedFd) -> Result<Vec<Name>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory.as_fd())? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            let is_directory = match entry.file_type() {
                FileType::Unknown => None,
                kind => Some(kind == FileType::Directory),
            };
            names.push((OsString::from_vec(name.to_vec()), is_directory));
        }
    }
    names.sort_unstable();
    Ok(names)
}
