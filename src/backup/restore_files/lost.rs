//! What is in the manifest and was not met: single files, and directories that cannot be read.

use std::cmp::Ordering;

use super::tally::Restored;
use crate::{
    backup::read_back::named,
    domain::backup::{manifest::SnapshotPath, table::in_order_of_a_walk},
};

/// A directory that cannot be read: why, and how many files are in it.
pub(super) struct Lost {
    pub(super) path: SnapshotPath,
    pub(super) what: String,
    pub(super) files: u64,
}

impl Lost {
    /// Names it for all that is in it.
    pub(super) fn name(&self, restored: &mut Restored) {
        let (what, count) = (named(&self.path, &self.what), self.files);
        let line = format!("{what}: the directory is lost, and {count} files in it");
        restored.damaged.add_at(&self.path, line);
        restored.damaged.count += count.saturating_sub(1);
    }
}

/// Notes a file that is in the manifest and was not met. The order is the walk's, so that the last directory that is lost
/// before it is the only one that it may be in.
pub(super) fn pass(path: &SnapshotPath, lost: &mut [Lost], restored: &mut Restored) {
    let is_before = |lost: &Lost| {
        in_order_of_a_walk(lost.path.as_bytes(), path.as_bytes()) != Ordering::Greater
    };
    let before = lost.partition_point(is_before);
    let last = lost.get_mut(..before).and_then(<[Lost]>::last_mut);
    match last.filter(|lost| lost.path.contains(path)) {
        Some(lost) => lost.files += 1,
        None => restored.damaged.add_at(
            path,
            format!("{path}: it is in the manifest, and not in the snapshot"),
        ),
    }
}
