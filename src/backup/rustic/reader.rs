//! Reads a snapshot: entries in their order, files blob by blob, by several threads at once. Damage is an error of the
//! file that it is in.

mod directories;

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustic_core::{
    BlobId, IndexedFullStatus, Repository, TreeId,
    repofile::{BlobType, MasterKey},
};
use tokio_util::sync::CancellationToken;

use self::directories::{Directories, Directory};
use super::{
    error::{damaged, other, other_io},
    gate::Operation,
    holding::Entered,
    session, snapshots,
};
use crate::{
    backup::repository::{Entry, EntryKind, RepositoryError, Result, SnapshotId, SnapshotReader},
    domain::backup::manifest::SnapshotPath,
};

/// A snapshot that is open. As long as it is, nothing is removed from its repository by this host.
pub(super) struct Reader {
    repository: Repository<IndexedFullStatus>,
    directories: Directories,
    place: PathBuf,
    _held: Option<Entered>,
}

impl Reader {
    pub(super) fn open(
        place: &Path,
        key: &MasterKey,
        snapshot: &SnapshotId,
        held: Option<Entered>,
        operation: &Arc<Operation>,
    ) -> Result<Self> {
        if let Some(held) = &held {
            held.guard(operation);
        }
        let opened = session::open(place, key, operation)?;
        let found = snapshots::find(&opened, snapshot, operation)?;
        let repository = opened
            .to_indexed()
            .map_err(|error| operation.explain(&error))?;
        Ok(Self {
            repository,
            directories: Directories::new(found.tree),
            place: place.to_owned(),
            _held: held,
        })
    }

    fn directory(&self, tree: TreeId, path: &SnapshotPath) -> Result<Directory> {
        let tree = self
            .repository
            .get_tree(&tree)
            .map_err(|error| damaged(&self.place, &path.to_string(), &error))?;
        Directory::from_tree(tree).ok_or_else(|| RepositoryError::Damaged {
            what: format!("{path}: a name in it is none"),
        })
    }

    fn walk(
        &self,
        directory: &Directory,
        path: &SnapshotPath,
        each: &mut dyn FnMut(Entry) -> Result<()>,
    ) -> Result<()> {
        for known in &directory.entries {
            let path = path.join(&known.name);
            each(known.entry(&path))?;
            if let Some(subtree) = known.subtree {
                let below = self.directory(subtree, &path)?;
                self.walk(&below, &path, each)?;
            }
        }
        Ok(())
    }
}

impl SnapshotReader for Reader {
    fn entries(&self, each: &mut dyn FnMut(Entry) -> Result<()>) -> Result<()> {
        let root = SnapshotPath(Vec::new());
        let directory = self.directory(self.directories.root, &root)?;
        self.walk(&directory, &root, each)
    }

    fn entry(&self, path: &SnapshotPath) -> Result<Option<Entry>> {
        let found = self
            .directories
            .find(path, |tree, path| self.directory(tree, path))?;
        Ok(found.map(|known| known.entry(path)))
    }

    fn read(&self, file: &Entry, into: &mut dyn Write, cancel: &CancellationToken) -> Result<()> {
        if file.kind != EntryKind::File {
            return Err(other(format!("{} is no file", file.path)));
        }
        let known = self
            .directories
            .find(&file.path, |tree, path| self.directory(tree, path))?
            .ok_or_else(|| other(format!("{} is not in the snapshot", file.path)))?;
        for id in known.content() {
            if cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            let blob = BlobId::from(**id);
            let bytes = self
                .repository
                .get_blob_cached(&blob, BlobType::Data)
                .map_err(|error| damaged(&self.place, &file.path.to_string(), &error))?;
            into.write_all(&bytes)
                .map_err(|error| other_io("write what was read from", &self.place, error))?;
        }
        Ok(())
    }
}
