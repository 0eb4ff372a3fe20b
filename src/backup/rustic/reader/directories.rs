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
    backup::repository::{Entry, EntryKind, RepositoryError, Result, Special},
    domain::backup::manifest::SnapshotPath,
};

/// Entries, and pieces of files, that are kept: some hundred bytes each.
const WEIGHT_AT_MOST: usize = 60_000;
/// Directories that are known not to be readable.
const DAMAGED_AT_MOST: usize = 1000;

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
    owner: Option<(u32, u32)>,
    shared: Option<(u64, u64)>,
    attributes: Vec<(String, Vec<u8>)>,
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
    /// Why some cannot be read: each file that is in one asks for it.
    damaged: HashMap<TreeId, String>,
    weight: usize,
    /// The weight of the largest.
    largest: usize,
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

    /// The directory at a path; none where there is none.
    pub(super) fn at(
        &self,
        path: &SnapshotPath,
        read: impl Fn(TreeId, &SnapshotPath) -> Result<Directory>,
    ) -> Result<Option<Arc<Directory>>> {
        if path.as_bytes().iter().all(|byte| *byte == b'/') {
            let root = SnapshotPath(Vec::new());
            return self.directory(self.root, &root, &read).map(Some);
        }
        let found = self.find(path, &read)?;
        let Some(tree) = found.and_then(|found| found.subtree) else {
            return Ok(None);
        };
        self.directory(tree, path, &read).map(Some)
    }

    /// Read without the lock held: others go on meanwhile, and the same one twice does no harm.
    fn directory(
        &self,
        tree: TreeId,
        path: &SnapshotPath,
        read: &impl Fn(TreeId, &SnapshotPath) -> Result<Directory>,
    ) -> Result<Arc<Directory>> {
        if let Some(kept) = lock(&self.kept).get(&tree) {
            return kept;
        }
        let directory = match read(tree, path) {
            Err(RepositoryError::Damaged { what }) => {
                lock(&self.kept).put_damaged(tree, &what);
                return Err(RepositoryError::Damaged { what });
            }
            read => Arc::new(read?),
        };
        lock(&self.kept).put(tree, &directory);
        Ok(directory)
    }
}

impl Kept {
    fn get(&mut self, tree: &TreeId) -> Option<Result<Arc<Directory>>> {
        if let Some(what) = self.damaged.get(tree) {
            return Some(Err(RepositoryError::Damaged { what: what.clone() }));
        }
        self.uses += 1;
        let (directory, used) = self.directories.get_mut(tree)?;
        *used = self.uses;
        Some(Ok(Arc::clone(directory)))
    }

    fn put_damaged(&mut self, tree: TreeId, what: &str) {
        if self.damaged.len() < DAMAGED_AT_MOST {
            self.damaged.insert(tree, what.to_owned());
        }
    }

    /// The one that was not used for longest goes first. The largest is not counted: whoever asks for what is in it comes
    /// by those above it each time, and neither is to make room for the other.
    fn put(&mut self, tree: TreeId, directory: &Arc<Directory>) {
        while WEIGHT_AT_MOST < self.weight + directory.weight - self.largest.max(directory.weight) {
            let oldest = self.directories.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(tree, _)| *tree) else {
                break;
            };
            if let Some((gone, _)) = self.directories.remove(&oldest) {
                self.weight -= gone.weight;
                self.look_for_largest(gone.weight);
            }
        }
        self.uses += 1;
        let kept = (Arc::clone(directory), self.uses);
        if self.directories.insert(tree, kept).is_none() {
            self.weight += directory.weight;
            self.largest = self.largest.max(directory.weight);
        }
    }

    /// Looks for it anew, where the one that is gone was it and no other is as large: there may be very many.
    fn look_for_largest(&mut self, gone: usize) {
        let mut kept = self.directories.values().map(|(kept, _)| kept.weight);
        if gone == self.largest && kept.all(|weight| weight != gone) {
            let kept = self.directories.values().map(|(kept, _)| kept.weight);
            self.largest = kept.max().unwrap_or_default();
        }
    }
}

impl Directory {
    /// One of plain files alone, called as these names are.
    #[cfg(test)]
    fn of_names(names: &[&str], subtree: Option<TreeId>, weight: usize) -> Self {
        let known = |name: &&str| Known {
            name: name.as_bytes().to_vec(),
            kind: EntryKind::File,
            size: 0,
            mtime: 0,
            mode: 0,
            owner: None,
            shared: None,
            attributes: Vec::new(),
            content: Vec::new(),
            subtree,
        };
        let entries = names.iter().map(known).collect();
        Self { entries, weight }
    }

    /// None where a name in it is none, such as one that leads out of the directory.
    pub(super) fn from_tree(tree: Tree) -> Option<Self> {
        let mut entries: Vec<_> = tree.nodes.into_iter().map(Known::from_node).collect();
        if !entries.iter().all(|known| is_name(&known.name)) {
            return None;
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let weight = entries
            .iter()
            .map(|known| 1 + known.content.len() / 8 + known.attributes.len())
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
            NodeType::Dev { device } => EntryKind::Special(Special::Block(*device)),
            NodeType::Chardev { device } => EntryKind::Special(Special::Character(*device)),
            NodeType::Fifo => EntryKind::Special(Special::Fifo),
            NodeType::Socket => EntryKind::Special(Special::Socket),
        };
        let mtime = node.meta.mtime.map_or(0, |mtime| mtime.as_nanosecond());
        Self {
            name,
            kind,
            size: node.meta.size,
            mtime: i64::try_from(mtime).unwrap_or_default(),
            mode: unix_permissions(node.meta.mode.unwrap_or_default()),
            owner: node.meta.uid.zip(node.meta.gid),
            shared: (node.meta.links > 1 && node.meta.device_id != 0)
                .then_some((node.meta.device_id, node.meta.inode)),
            attributes: node
                .meta
                .extended_attributes
                .into_iter()
                .map(|one| (one.name, one.value.unwrap_or_default()))
                .collect(),
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
            owner: self.owner,
            shared: self.shared,
            attributes: self.attributes.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn tree(number: u8) -> TreeId {
        format!("{number:064x}").parse().unwrap()
    }

    /// As pieces of files are asked for, and entries by some hundred: by their paths, each time.
    #[test]
    fn a_directory_of_very_many_entries_is_read_once_with_those_above_it() {
        let directories = Directories::new(tree(0));
        let read = RefCell::new(Vec::new());
        let look = |id: TreeId, path: &SnapshotPath| {
            read.borrow_mut().push(path.to_string());
            Ok(match id {
                id if id == tree(0) => Directory::of_names(&["a"], Some(tree(1)), 1),
                id if id == tree(1) => Directory::of_names(&["large"], Some(tree(2)), 1),
                _ => Directory::of_names(&["one", "two"], None, 2 * WEIGHT_AT_MOST),
            })
        };
        for _ in 0..100 {
            for file in ["/a/large/one", "/a/large/two"] {
                assert!(directories.find(&file.into(), look).unwrap().is_some());
            }
            assert!(directories.at(&"/a/large".into(), look).unwrap().is_some());
        }
        assert_eq!(read.into_inner().len(), 3, "each of them once");
    }

    #[test]
    fn what_was_not_used_for_longest_goes() {
        let mut kept = Kept::default();
        let put = |kept: &mut Kept, number: u8, weight: usize| {
            let directory = Arc::new(Directory::of_names(&[], None, weight));
            kept.put(tree(number), &directory);
        };
        for number in 1..=3 {
            put(&mut kept, number, WEIGHT_AT_MOST / 2);
        }
        assert!(kept.get(&tree(1)).is_some());
        put(&mut kept, 4, WEIGHT_AT_MOST / 2);
        assert!(kept.get(&tree(2)).is_none());
        // Two that are too large are not kept both.
        for number in 5..=6 {
            put(&mut kept, number, 2 * WEIGHT_AT_MOST);
        }
        assert!(kept.get(&tree(5)).is_none() && kept.get(&tree(6)).is_some());
        assert!(kept.weight <= 3 * WEIGHT_AT_MOST);
        put(&mut kept, 7, WEIGHT_AT_MOST);
        put(&mut kept, 8, WEIGHT_AT_MOST);
        let largest = kept.directories.values().map(|(kept, _)| kept.weight).max();
        assert_eq!(Some(kept.largest), largest);
    }
}
