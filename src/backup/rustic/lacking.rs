//! Search for the snapshots that refer to what cannot be had: packs that are gone, and pieces that do not come back.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    os::unix::ffi::OsStrExt as _,
    sync::Arc,
};

use rustic_core::{
    BlobId, DataId, Id, IndexedFullStatus, Open, Repository, TreeId,
    repofile::{BlobType, NodeType, SnapshotFile, SnapshotId},
};

use super::{Rustic, error::guarded, gate::Operation, session, snapshots};
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
    /// Pieces that no index knows, packs of lists of directories that do not come back, and snapshots that cannot be read.
    pub(super) pieces: BTreeSet<Id>,
}

/// Snapshots that can be read, and those that cannot, with what is wrong with each.
type Readable = (Vec<SnapshotFile>, Vec<(SnapshotId, String)>);

/// Reads every snapshot. One that cannot be read keeps nobody from looking through the others.
pub(super) fn readable<S: Open>(
    repository: &Repository<S>,
    operation: &Operation,
) -> Result<Readable> {
    let ids: Vec<SnapshotId> = repository
        .list::<SnapshotId>()
        .map_err(|error| operation.explain(&error))?
        .collect();
    // The library gives all up for one, or ends its list early.
    if let Ok(files) = repository.get_all_snapshots()
        && ids.len() <= files.len()
    {
        return Ok((files, Vec::new()));
    }
    let (mut files, mut unread) = (Vec::new(), Vec::new());
    for id in ids {
        operation.expect_to_go_on()?;
        let what = format!("snapshot {}", id.to_hex().as_str());
        let read = guarded(&what, || {
            let read = repository.get_file::<SnapshotFile>(&id);
            read.map_err(|error| operation.explain_part(&what, &error))
        });
        match read {
            Ok(mut file) => {
                file.id = id;
                files.push(file);
            }
            Err(RepositoryError::Damaged { what }) => unread.push((id, what)),
            Err(error) => return Err(error),
        }
    }
    // Whoever looks again is to know it again.
    unread.sort();
    Ok((files, unread))
}

/// Looks through every snapshot.
pub(super) fn lacking(
    rustic: &Rustic,
    spoiled: &Spoiled,
    operation: &Arc<Operation>,
) -> Result<Losses> {
    let opened = session::open(&rustic.place, &rustic.key, operation)?;
    let (files, unread) = readable(&opened, operation)?;
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
        of.push(look.lacking(&file.id));
    }
    for (id, what) in unread {
        look.pieces.insert(*id);
        look.name("/".into(), what);
        of.push(look.lacking(&id));
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
    /// What was named since the last, as that of a snapshot.
    fn lacking(&mut self, id: &SnapshotId) -> Lacking {
        self.room -= self.named.len();
        let named = std::mem::take(&mut self.named);
        Lacking {
            snapshot: snapshots::id(id),
            names: Names::new(named, std::mem::take(&mut self.more)),
        }
    }

    /// Whether all of a directory is there.
    fn is_whole(&mut self, tree: TreeId, path: &SnapshotPath) -> Result<bool> {
        if self.whole.contains(&tree) {
            return Ok(true);
        }
        if self.operation.cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        let shown: SnapshotPath = match path.as_bytes().is_empty() {
            true => "/".into(),
            false => path.clone(),
        };
        let read = guarded(&shown, || {
            let read = self.repository.get_tree(&tree);
            read.map_err(|error| self.operation.explain_part(&shown.to_string(), &error))
        });
        let nodes = match read {
            Ok(read) => read.nodes,
            Err(RepositoryError::Damaged { what }) => {
                // What no index knows falls into the part that its own id is of.
                let entry = self.repository.get_index_entry(&tree);
                self.pieces.insert(entry.map_or(*tree, |entry| *entry.pack));
                self.name(shown, format!("{what}; and all that is in it"));
                return Ok(false);
            }
            Err(error) => return Err(error),
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
        let read = guarded(path, || {
            let read = self.repository.get_blob_cached(&blob, BlobType::Data);
            read.map_err(|error| self.operation.explain_part(&path.to_string(), &error))
        });
        let comes_back = match read {
            Ok(_) => true,
            Err(RepositoryError::Damaged { .. }) => false,
            Err(error) => return Err(error),
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

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        backup::{
            repository::{Hand, Job, ReadData, Repository as _, Source},
            rustic::key,
        },
        clock::wall_now,
    };

    #[test]
    fn a_snapshot_that_cannot_be_read_keeps_nobody_from_looking_through_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("repository");
        let key = key::create(&place, "password".to_owned()).unwrap();
        let rustic = Rustic::with_key(&place, key);
        let hand = Hand {
            cancel: CancellationToken::new(),
            progress: Arc::new(|_| {}),
        };
        let mut made = Vec::new();
        for name in ["one", "other"] {
            let file = folder.path().join(name);
            fs::write(&file, name).unwrap();
            let job = Job {
                time: wall_now(),
                hostname: "office".to_owned(),
                tags: Vec::new(),
                sources: vec![Source::file(file, "/file".into())],
                parent: None,
            };
            made.push(rustic.archive(&job, &hand).unwrap().snapshot);
        }
        let unread = place.join("snapshots").join(&made[0].0);
        let mut bytes = fs::read(&unread).unwrap();
        bytes[40] ^= 1;
        fs::remove_file(&unread).unwrap();
        fs::write(&unread, bytes).unwrap();

        let checked = rustic.check(ReadData::All, &hand).unwrap();

        assert!(checked.to_its_end && 0 < checked.packs, "{checked:?}");
        assert_eq!(checked.packs_read, checked.packs, "{checked:?}");
        let named = |what: &String| what.contains(made[0].0.as_str());
        assert!(checked.damage.iter().any(named), "{checked:?}");
        let lacking = checked.lacking.iter().map(|one| one.snapshot.clone());
        assert_eq!(lacking.collect::<Vec<_>>(), made[..1]);
    }
}
