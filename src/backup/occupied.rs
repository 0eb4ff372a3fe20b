//! What a directory is before anything is written in it: whether it holds something, and whether it is a disk.

use std::{os::fd::AsFd, path::Path};

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statat, statx};

/// Name of what a new disk has from its making.
pub(super) const OF_A_DISK: &str = "lost+found";

/// Whether it is what a new disk has from its making.
fn is_of_the_disk(entry: std::io::Result<std::fs::DirEntry>) -> bool {
    entry.is_ok_and(|entry| entry.file_name() == OF_A_DISK)
}

/// Whether something is there that a restore might write over. Blocks.
pub(super) fn is_occupied(directory: &Path) -> bool {
    match std::fs::read_dir(directory) {
        Ok(mut entries) => entries.any(|entry| !is_of_the_disk(entry)),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Whether a file system begins at a path, seen from an open directory. Blocks.
pub(super) fn is_mount(from: impl AsFd, path: &Path) -> bool {
    let from = from.as_fd();
    let found = statx(from, path, AtFlags::empty(), StatxFlags::BASIC_STATS);
    if let Ok(found) = &found
        && found
            .stx_attributes_mask
            .contains(StatxAttributes::MOUNT_ROOT)
    {
        return found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    }
    // An old kernel does not tell; it is one then where the device is another than above.
    let device = |path: &Path| statat(from, path, AtFlags::empty()).map(|stat| stat.st_dev);
    let above = path.join("..");
    matches!((device(path), device(&above)), (Ok(here), Ok(above)) if here != above)
        || path == Path::new("/")
}
