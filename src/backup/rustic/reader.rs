//! Reads a snapshot: entries in their order, files blob by blob, by several threads at once. Damage is an error of the
//! file that it is in.

mod directories;

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustic_core::{
    BlobId, IndexedFullStatus, Repository, TreeId,
    repofile::{BlobType, MasterKey},
};
use tokio_util::sync::CancellationToken;

use self::directories::{Directories, Directory, Found, Known};
use super::{
    error::{guarded, other, other_io},
    gate::Operation,
    holding::Entered,
    session, snapshots,
};
use crate::{
    backup::repository::{
        Entry, EntryKind, Met, RepositoryError, Result, SnapshotId, SnapshotReader,
    },
    domain::backup::manifest::SnapshotPath,
};

/// A snapshot that is open. As long as it is, nothing is removed from its repository by this host.
pub(super) struct Reader {
    repository: Repository<IndexedFullStatus>,
    directories: Directories,
    place: PathBuf,
    operation: Arc<Operation>,
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
        let opened = session::open(place, key, operation)?;
        let found = snapshots::find(&opened, snapshot, operation)?;
        let repository = opened
            .to_indexed()
            .map_err(|error| operation.explain(&error))?;
        Ok(Self {
            repository,
            directories: Directories::new(found.tree),
            place: place.to_owned(),
            operation: Arc::clone(operation),
            _held: held,
        })
    }

    /// A piece of a file by its number, from 0, and whether there is another behind it. Behind the last nothing is.
    pub(super) fn piece(&self, path: &SnapshotPath, number: u64) -> Result<(Bytes, bool)> {
        let known = self.known(path)?;
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let mut ids = known.content().iter().skip(number);
        let Some(id) = ids.next() else {
            return Ok((Bytes::new(), false));
        };
        Ok((self.blob(path, **id)?, ids.next().is_some()))
    }

    fn known(&self, path: &SnapshotPath) -> Result<Found> {
        self.directories
            .find(path, |tree, path| self.directory(tree, path))?
            .ok_or_else(|| other(format!("{path} is not in the snapshot")))
    }

    fn blob(&self, path: &SnapshotPath, id: rustic_core::Id) -> Result<Bytes> {
        guarded(path, || {
            let read = self
                .repository
                .get_blob_cached(&BlobId::from(id), BlobType::Data);
            read.map_err(|error| self.operation.explain_part(&path.to_string(), &error))
        })
    }

    fn directory(&self, tree: TreeId, path: &SnapshotPath) -> Result<Directory> {
        guarded(path, || {
            let tree = self
                .repository
                .get_tree(&tree)
                .map_err(|error| self.operation.explain_part(&path.to_string(), &error))?;
            Directory::from_tree(tree).ok_or_else(|| RepositoryError::Damaged {
                what: format!("{path}: a name in it is none"),
            })
        })
    }

    /// All that is in a directory. One that is damaged is told, and what is beside it comes all the same.
    fn walk_in(
        &self,
        tree: TreeId,
        path: &SnapshotPath,
        each: &mut dyn FnMut(Met) -> Result<()>,
    ) -> Result<()> {
        let directory = match self.directory(tree, path) {
            Err(RepositoryError::Damaged { what }) => {
                return each(Met::Damaged(path.clone(), what));
            }
            directory => directory?,
        };
        for known in &directory.entries {
            let path = path.join(&known.name);
            each(Met::Entry(known.entry(&path)))?;
            if let Some(subtree) = known.subtree {
                self.walk_in(subtree, &path, each)?;
            }
        }
        Ok(())
    }
}

impl SnapshotReader for Reader {
    fn walk(&self, each: &mut dyn FnMut(Met) -> Result<()>) -> Result<()> {
        self.walk_in(self.directories.root, &SnapshotPath(Vec::new()), each)
    }

    fn entry(&self, path: &SnapshotPath) -> Result<Option<Entry>> {
        let found = self
            .directories
            .find(path, |tree, path| self.directory(tree, path))?;
        Ok(found.map(|known| known.entry(path)))
    }

    fn children(
        &self,
        path: &SnapshotPath,
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Option<Vec<Entry>>> {
        let read = |tree, path: &SnapshotPath| self.directory(tree, path);
        let Some(directory) = self.directories.at(path, read)? else {
            return Ok(None);
        };
        let is_before = |known: &Known| after.is_some_and(|after| known.name.as_slice() <= after);
        let first = directory.entries.partition_point(is_before);
        let entries = directory.entries[first..].iter().take(most);
        Ok(Some(
            entries
                .map(|known| known.entry(&path.join(&known.name)))
                .collect(),
        ))
    }

    fn read(&self, file: &Entry, into: &mut dyn Write, cancel: &CancellationToken) -> Result<()> {
        if file.kind != EntryKind::File {
            return Err(other(format!("{} is no file", file.path)));
        }
        let known = self.known(&file.path)?;
        for id in known.content() {
            if cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            // What is remembered of it is asked for without the gate.
            self.operation.expect_to_go_on()?;
            let bytes = self.blob(&file.path, **id)?;
            into.write_all(&bytes)
                .map_err(|error| other_io("write what was read from", &self.place, error))?;
        }
        Ok(())
    }
}
