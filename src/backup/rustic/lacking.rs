//! Which snapshots refer to what cannot be had: packs that are gone, and pieces that do not come back.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    os::unix::ffi::OsStrExt as _,
    sync::Arc,
};

use rustic_core::{
    BlobId, DataId, Id, IndexedFullStatus, Repository, TreeId,
    repofile::{BlobType, NodeType},
};

use super::{Rustic, gate::Operation, session, snapshots};
use crate::{
    backup::repository::{Lacking, RepositoryError, Result},
    domain::backup::{
        manifest::{FileError, SnapshotPath},
        verdict::Names,
    },
};

/// Names that are kept of one snapshot, and of all: others are counted.
const NAMED: usize = 20_000;
const NAMED_OF_ALL: usize = 200_000;
/// Bytes of all names as lines have them, which is how they come from the process that looks.
const BYTES_OF_ALL: usize = 10 << 20;

/// Packs that something is wrong with.
#[derive(Default)]
pub(super) struct Spoiled {
    /// They are not there.
    pub(super) gone: BTreeSet<Id>,
    /// They are there, and not what was written: what of them still comes back is tried.
    pub(super) doubted: BTreeSet<Id>,
}

/// What is lost, and by which snapshots.
pub(super) struct Losses {
    pub(super) of: Vec<Lacking>,
    /// Pieces that no index knows, and packs of lists of directories that do not come back.
    pub(super) pieces: BTreeSet<Id>,
}

/// Looks through every snapshot.
pub(super) fn lacking(
    rustic: &Rustic,
    spoiled: &Spoiled,
    operation: &Arc<Operation>,
) -> Result<Losses> {
    let opened = session::open(&rustic.place, &rustic.key, operation)?;
    let files = opened
        .get_all_snapshots()
        .map_err(|error| operation.explain(&error))?;
    let repository = opened
        .to_indexed()
        .map_err(|error| operation.explain(&error))?;
    let mut look = Look {
        repository: &repository,
        spoiled,
        operation,
        whole: HashSet::new(),
        tried: HashMap::new(),
        pieces: BTreeSet::new(),
        named: Vec::new(),
        more: 0,
        room: NAMED_OF_ALL,
        bytes: BYTES_OF_ALL,
    };
    let mut of = Vec::new();
    for file in files {
        let root = SnapshotPath(Vec::new());
        if look.is_whole(file.tree, &root)? {
            continue;
        }
        look.room -= look.named.len();
        let named = std::mem::take(&mut look.named);
        of.push(Lacking {
            snapshot: snapshots::id(&file.id),
            names: Names::new(named, std::mem::take(&mut look.more)),
        });
    }
    Ok(Losses {
        of,
        pieces: look.pieces,
    })
}

struct Look<'a> {
    repository: &'a Repository<IndexedFullStatus>,
    spoiled: &'a Spoiled,
    operation: &'a Operation,
    /// Directories of which nothing is lost: snapshots share most.
    whole: HashSet<TreeId>,
    /// Pieces of packs that are there and damaged, and whether each comes back.
    tried: HashMap<BlobId, bool>,
    pieces: BTreeSet<Id>,
    /// What is lost of the snapshot that is looked through.
    named: Vec<FileError>,
    more: u64,
    room: usize,
    bytes: usize,
}

impl Look<'_> {
    /// Whether all of a directory is there.
    fn is_whole(&mut self, tree: TreeId, path: &SnapshotPath) -> Result<bool> {
        if self.whole.contains(&tree) {
            return Ok(true);
        }
        if self.operation.cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        let nodes = match self.repository.get_tree(&tree) {
            Ok(read) => read.nodes,
            Err(error) => {
                let shown = match path.as_bytes().is_empty() {
                    true => "/".into(),
                    false => path.clone(),
                };
                let what = shown.to_string();
                match self.operation.explain_part(&what, &error) {
                    RepositoryError::Damaged { what } => {
                        // What no index knows falls into the part that its own id is of.
                        let entry = self.repository.get_index_entry(&tree);
                        self.pieces.insert(entry.map_or(*tree, |entry| *entry.pack));
                        self.name(shown, format!("{what}; and all that is in it"));
                        return Ok(false);
                    }
                    error => return Err(error),
                }
            }
        };
        let mut whole = true;
        for node in nodes {
            let path = path.join(node.name().as_bytes());
            if let Some(below) = node.subtree {
                whole &= self.is_whole(below, &path)?;
            }
            if !matches!(node.node_type, NodeType::File) {
                continue;
            }
            let mut lost = 0_u64;
            for piece in node.content.iter().flatten() {
                lost += u64::from(!self.has(piece, &path)?);
            }
            if 0 < lost {
                let message = format!("{path}: {lost} pieces of it are gone or damaged");
                self.name(path, message);
                whole = false;
            }
        }
        if whole {
            self.whole.insert(tree);
        }
        Ok(whole)
    }

    /// Whether a piece of a file is there.
    fn has(&mut self, piece: &DataId, path: &SnapshotPath) -> Result<bool> {
        let Ok(entry) = self.repository.get_index_entry(piece) else {
            self.pieces.insert(**piece);
            return Ok(false);
        };
        if self.spoiled.gone.contains(&*entry.pack) {
            return Ok(false);
        }
        if !self.spoiled.doubted.contains(&*entry.pack) {
            return Ok(true);
        }
        let blob = BlobId::from(**piece);
        if let Some(known) = self.tried.get(&blob) {
            return Ok(*known);
        }
        let comes_back = match self.repository.get_blob_cached(&blob, BlobType::Data) {
            Ok(_) => true,
            Err(error) => match self.operation.explain_part(&path.to_string(), &error) {
                RepositoryError::Damaged { .. } => false,
                error => return Err(error),
            },
        };
        self.tried.insert(blob, comes_back);
        Ok(comes_back)
    }

    fn name(&mut self, path: SnapshotPath, message: String) {
        let error = FileError { path, message };
        let bytes = serde_json::to_vec(&error).map_or(usize::MAX, |line| line.len() + 1);
        match self.named.len() < NAMED.min(self.room) && bytes <= self.bytes {
            true => {
                self.bytes -= bytes;
                self.named.push(error);
            }
            false => self.more += 1,
        }
    }
}
