//! Which files a drill restores: every dump, and of the others the newest, the oldest, the largest, and some that differ
//! from drill to drill.

use std::collections::BinaryHeap;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::manifests::Stored;
use crate::domain::backup::manifest::{FileRecord, SnapshotPath};

/// Files besides dumps, and their bytes.
const SAMPLES: usize = 24;
const SAMPLE_BYTES: u64 = 1 << 30;

/// Files that are told apart by what they have most of.
#[derive(Default)]
struct Extremes {
    newest: Option<FileRecord>,
    oldest: Option<FileRecord>,
    largest: Option<FileRecord>,
}

/// A file that is drawn where few have a lower rank.
struct Drawn {
    rank: Vec<u8>,
    file: FileRecord,
}

/// Chooses the files to restore, each once. Which are drawn depends on the point alone, so a drill can be repeated.
///
/// # Errors
/// Where the manifest cannot be gone through.
pub(super) fn samples(stored: &Stored, seed: Uuid) -> anyhow::Result<Vec<FileRecord>> {
    let sources = stored.manifest.sources.iter();
    let dumps = sources.filter_map(|source| source.dump.as_ref());
    let dumps: Vec<&SnapshotPath> = dumps.map(|dump| &dump.path).collect();
    let mut chosen = Vec::new();
    let mut extremes = Extremes::default();
    let mut drawn: BinaryHeap<Drawn> = BinaryHeap::new();
    for file in stored.files()? {
        let file = file?;
        if dumps.contains(&&file.path) {
            chosen.push(file);
            continue;
        }
        extremes.look_at(&file);
        let rank = rank(seed, &file);
        if drawn.len() < SAMPLES {
            drawn.push(Drawn { rank, file });
        } else if let Some(mut last) = drawn.peek_mut()
            && rank < last.rank
        {
            *last = Drawn { rank, file };
        }
    }
    let drawn = drawn.into_sorted_vec().into_iter().map(|drawn| drawn.file);
    let mut bytes = 0;
    for (index, file) in extremes.named().chain(drawn).enumerate() {
        let twice = chosen.iter().any(|known| known.path == file.path);
        // The named ones are taken whatever they weigh.
        if twice || (3 <= index && SAMPLE_BYTES < bytes + file.size) {
            continue;
        }
        bytes += file.size;
        chosen.push(file);
    }
    Ok(chosen)
}

impl Extremes {
    fn look_at(&mut self, file: &FileRecord) {
        let keep = |of: &mut Option<FileRecord>, beats: fn(&FileRecord, &FileRecord) -> bool| {
            if of.as_ref().is_none_or(|known| beats(file, known)) {
                *of = Some(file.clone());
            }
        };
        keep(&mut self.newest, |file, known| known.mtime < file.mtime);
        keep(&mut self.oldest, |file, known| file.mtime < known.mtime);
        keep(&mut self.largest, |file, known| known.size < file.size);
    }

    fn named(self) -> impl Iterator<Item = FileRecord> {
        [self.newest, self.oldest, self.largest]
            .into_iter()
            .flatten()
    }
}

impl Ord for Drawn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (&self.rank, &self.file.path).cmp(&(&other.rank, &other.file.path))
    }
}

impl PartialOrd for Drawn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Drawn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Drawn {}

fn rank(seed: Uuid, file: &FileRecord) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(seed.as_bytes());
    hash.update(file.path.as_bytes());
    hash.finalize().iter().take(8).copied().collect()
}
