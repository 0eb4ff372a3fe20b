//! What of an entry that lies there is not as it was, besides its content: owner, permissions, time, extended attributes.

use std::os::fd::BorrowedFd;

use rustix::fs::{Stat, fstat};

use super::marks::{attributes_differ, attributes_of_link_differ, differs};
use crate::backup::repository::{Entry, EntryKind};

/// Of a file or directory that is open.
pub(super) fn lacks_of(file: BorrowedFd<'_>, entry: &Entry, owned: bool) -> Vec<String> {
    let mut lacks = match fstat(file) {
        Ok(stat) => differs(&stat, entry, owned),
        Err(error) => vec![format!("could not look at it ({error})")],
    };
    // Whoever reads the server's own database leaves something beside it for a moment.
    if !owned && entry.kind == EntryKind::Directory {
        lacks.retain(|lack| !lack.starts_with("time"));
    }
    lacks.extend(attributes_differ(file, entry));
    lacks
}

/// Of a link, or of a directory that may not be opened.
pub(super) fn lacks_of_named(
    directory: BorrowedFd<'_>,
    name: &[u8],
    stat: &Stat,
    entry: &Entry,
    owned: bool,
) -> Vec<String> {
    let mut lacks = differs(stat, entry, owned);
    lacks.extend(attributes_of_link_differ(directory, name, entry));
    lacks
}
