//! Directories of a snapshot that were read, as long as there is room: who restores asks for file after file of one.

use std::{
    collections::HashMap,
    os::unix::ffi::OsStrExt as _,
    sync::{Arc, Mutex},
};

use rustic_core::{
    DataId, TreeId,
    repofile::{Node, NodeType, Tree},
};

use super::super::{gate::lock, source::node::unix_permissions};
use crate::{
    backup::repository::{Entry, EntryKind, Result},
    domain::backup::manifest::SnapshotPath,
};

/// Entries, and pieces of files, that are kept: some hundred bytes each.
const WEIGHT_AT_MOST: usize = 60_000;

/// A directory, its entries by their names.
pub(super) struct Directory {
    pub(super) entries: Vec<Known>,
    weight: usize,
}

/// An entry, and where its data is.
pub(super) struct Known {
    pub(super) name: Vec<u8>,
    kind: EntryKind,
    size: u64,
    mtime: i64,
    mode: u32,
    content: Vec<DataId>,
    pub(super) subtree: Option<TreeId>,
}

/// Where an entry was found.
pub(super) struct Found {
    directory: Arc<Directory>,
    at: usize,
}

/// See the file's beginning.
pub(super) struct Directories {
    pub(super) root: TreeId,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    directories: HashMap<TreeId, (Arc<Directory>, u64)>,
    weight: usize,
    uses: u64,
}

impl Directories {
    pub(super) fn new(root: TreeId) -> Self {
        Self {
            root,
            kept: Mutex::default(),
        }
    }

    /// The entry at a path; none where there is none.
    pub(super) fn find(
        &self,
        path: &SnapshotPath,
        read: impl Fn(TreeId, &SnapshotPath) -> Result<Directory>,
    ) -> Result<Option<Found>> {
        let mut names = path
            .as_bytes()
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
            .peekable();
        let mut tree = self.root;
        let mut above = SnapshotPath(Vec::new());
        while let Some(name) = names.next() {
            let directory = self.directory(tree, &above, &read)?;
            let Some(at) = directory.position(name) else {
                return Ok(None);
            };
            if names.peek().is_none() {
                return Ok(Some(Found { directory, at }));
            }
            let Some(subtree) = directory.entries[at].subtree else {
                return Ok(None);
            };
            tree = subtree;
            above = above.join(name);
        }
        Ok(None)
    }

    /// Read without the lock held: others go on meanwhile, and the same one twice does no harm.
    fn directory(
        &self,
        tree: TreeId,
        path: &SnapshotPath,
        read: &impl Fn(TreeId, &SnapshotPath) -> Result<Directory>,
    ) -> Result<Arc<Directory>> {
        if let Some(kept) = lock(&self.kept).get(&tree) {
            return Ok(kept);
        }
        let directory = Arc::new(read(tree, path)?);
        lock(&self.kept).put(tree, &directory);
        Ok(directory)
    }
}

impl Kept {
    fn get(&mut self, tree: &TreeId) -> Option<Arc<Directory>> {
        self.uses += 1;
        let (directory, used) = self.directories.get_mut(tree)?;
        *used = self.uses;
        Some(Arc::clone(directory))
    }

    /// The one that was not used for longest goes first; the newest stays, however large it is.
    fn put(&mut self, tree: TreeId, directory: &Arc<Directory>) {
        while self.weight + directory.weight > WEIGHT_AT_MOST {
            let oldest = self.directories.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(tree, _)| *tree) else {
                break;
            };
            if let Some((gone, _)) = self.directories.remove(&oldest) {
                self.weight -= gone.weight;
            }
        }
        self.uses += 1;
        let kept = (Arc::clone(directory), self.uses);
        if self.directories.insert(tree, kept).is_none() {
            self.weight += directory.weight;
        }
    }
}

impl Directory {
    /// None where a name in it is none, such as one that leads out of the directory.
    pub(super) fn from_tree(tree: Tree) -> Option<Self> {
        let mut entries: Vec<_> = tree.nodes.into_iter().map(Known::from_node).collect();
        if !entries.iter().all(|known| is_name(&known.name)) {
            return None;
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let weight = entries
            .iter()
            .map(|known| 1 + known.content.len() / 8)
            .sum();
        Some(Self { entries, weight })
    }

    fn position(&self, name: &[u8]) -> Option<usize> {
        self.entries
            .binary_search_by(|known| known.name.as_slice().cmp(name))
            .ok()
    }
}

fn is_name(name: &[u8]) -> bool {
    let leads_elsewhere = matches!(name, b"" | b"." | b"..");
    !leads_elsewhere && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

impl std::ops::Deref for Found {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.directory.entries[self.at]
    }
}

impl Known {
    fn from_node(node: Node) -> Self {
        let name = node.name().as_bytes().to_vec();
        let kind = match &node.node_type {
            NodeType::File => EntryKind::File,
            NodeType::Dir => EntryKind::Directory,
            NodeType::Symlink { .. } => {
                EntryKind::Link(node.node_type.to_link().as_os_str().as_bytes().to_vec())
            }
            NodeType::Dev { .. } | NodeType::Chardev { .. } | NodeType::Fifo | NodeType::Socket => {
                EntryKind::Special
            }
        };
        let mtime = node.meta.mtime.map_or(0, |mtime| mtime.as_nanosecond());
        Self {
            name,
            kind,
            size: node.meta.size,
            mtime: i64::try_from(mtime).unwrap_or_default(),
            mode: unix_permissions(node.meta.mode.unwrap_or_default()),
            content: node.content.unwrap_or_default(),
            subtree: node.subtree,
        }
    }

    pub(super) fn content(&self) -> &[DataId] {
        &self.content
    }

    pub(super) fn entry(&self, path: &SnapshotPath) -> Entry {
        Entry {
            path: path.clone(),
            kind: self.kind.clone(),
            size: self.size,
            mtime: self.mtime,
            mode: self.mode,
        }
    }
}
