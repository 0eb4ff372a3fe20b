//! What was restored, read from where it lies, beside what the manifest says of it.

use std::{fs::File, io};

use anyhow::Context as _;
use rustix::{
    fs::{Mode, OFlags, openat},
    io::Errno,
};

use super::{
    Wanted,
    beneath::{Beneath, parts},
    tally::Tally,
};
use crate::{
    backup::{child::Stopped, manifests::Stored, read_back::Hashing, repository::Hand},
    domain::backup::manifest::FileRecord,
};

/// Result of a look at what was restored.
#[derive(Debug, Default)]
pub(in crate::backup) struct Compared {
    /// Number of files that are what the manifest says.
    pub(in crate::backup) same: u64,
    pub(in crate::backup) differing: Tally,
}

/// Compares every file that was wanted.
///
/// # Errors
/// Where the manifest or the disk cannot be read, and where it was asked to stop.
pub(in crate::backup) fn compare(
    beneath: &Beneath,
    stored: &Stored,
    wanted: Wanted<'_>,
    hand: &Hand,
) -> anyhow::Result<Compared> {
    let mut compared = Compared::default();
    for file in stored.files()? {
        let file = file?;
        if !wanted.has_file(&file) {
            continue;
        }
        match differs(beneath, &file, hand)? {
            None => compared.same += 1,
            Some(what) => compared.differing.add(what),
        }
    }
    Ok(compared)
}

/// Says how a file that was restored differs from what it was.
///
/// # Errors
/// As [`compare`].
pub(in crate::backup) fn differs(
    beneath: &Beneath,
    file: &FileRecord,
    hand: &Hand,
) -> anyhow::Result<Option<String>> {
    if hand.cancel.is_cancelled() {
        return Err(Stopped.into());
    }
    let about = || format!("could not read what was restored of {}", file.path);
    let gone = || Ok(Some(format!("{} did not come back", file.path)));
    let parts = parts(&file.path).unwrap_or_default();
    let Some((name, above)) = parts.split_last() else {
        return Ok(Some(format!("{} is no path", file.path)));
    };
    let directory = match beneath.open(above) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return gone(),
        opened => opened.with_context(about)?,
    };
    // What may stand in its place by now must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match openat(&directory, *name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return gone(),
        opened => File::from(opened.with_context(about)?),
    };
    let mut hashed = Hashing::new(io::sink());
    io::copy(&mut &opened, &mut hashed).with_context(about)?;
    let (_, sha256, bytes) = hashed.into_all();
    Ok((bytes != file.size || sha256 != file.sha256).then(|| {
        format!(
            "{} has {bytes} bytes and the SHA-256 {sha256} where it was restored; it had {} and {}",
            file.path, file.size, file.sha256
        )
    }))
}
