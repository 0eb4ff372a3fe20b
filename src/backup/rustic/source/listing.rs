//! The names in a directory, as it was at one moment.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
};

use rustix::{
    fs::{Dir, FileType, Stat, fstat},
    io::Errno,
};

use super::seen::Seen;

/// How often a directory is listed where names come and go meanwhile.
const LISTS_AT_MOST: usize = 3;

/// A name in a directory, and whether it is that of a directory, where the listing tells.
pub(super) type Name = (OsString, Option<bool>);

/// Names in a directory.
#[derive(Default)]
pub(super) struct Listing {
    pub(super) names: Vec<Name>,
    /// What it was when they were all of its names; none where it never came to rest.
    pub(super) state: Option<Stat>,
}

/// Names in a directory as it was at one moment, as far as it comes to rest.
pub(super) fn list(directory: &OwnedFd) -> Result<Listing, Errno> {
    let mut names = Vec::new();
    let state = until_at_rest(directory, |listed| names = listed)?;
    Ok(Listing { names, state })
}

/// Every name that was met while it was listed until it came to rest, as what it was met last.
pub(super) fn list_all(directory: &OwnedFd) -> Result<BTreeMap<OsString, Option<bool>>, Errno> {
    let mut met = BTreeMap::new();
    until_at_rest(directory, |listed| met.extend(listed))?;
    Ok(met)
}

/// Lists it until it comes to rest; says what it was then, where it did.
fn until_at_rest(
    directory: &OwnedFd,
    mut each: impl FnMut(Vec<Name>),
) -> Result<Option<Stat>, Errno> {
    for _ in 0..LISTS_AT_MOST {
        let before = fstat(directory)?;
        each(names_in(directory)?);
        if Seen::of(&before) == Seen::of(&fstat(directory)?) {
            return Ok(Some(before));
        }
    }
    Ok(None)
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
