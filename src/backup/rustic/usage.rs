//! What a repository takes up on its disk.

use std::{fs, io, path::Path};

use super::error::other_io;
use crate::backup::repository::{Result, Usage};

pub(super) fn usage(place: &Path) -> Result<Usage> {
    measure(place).map_err(|error| other_io("measure", place, error))
}

/// What goes while it is measured is not there.
fn measure(place: &Path) -> io::Result<Usage> {
    let mut usage = Usage::default();
    let mut folders = vec![place.to_owned()];
    while let Some(folder) = folders.pop() {
        let is_data = folder.starts_with(place.join("data"));
        let is_snapshots = folder == place.join("snapshots");
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if metadata.is_dir() {
                folders.push(entry.path());
                continue;
            }
            usage.bytes += metadata.len();
            // Names of files that are whole are ids; those of others are longer.
            let is_whole = entry.file_name().len() == 64;
            usage.packs += u64::from(is_data && is_whole);
            usage.snapshots += u64::from(is_snapshots && is_whole);
        }
    }
    Ok(usage)
}
