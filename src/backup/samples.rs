//! Which files a drill restores: every dump, and of the others the newest, the oldest, the largest, and some that differ
//! from drill to drill.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::backup::manifest::{FileRecord, Manifest};

/// Files besides dumps, and their bytes.
const SAMPLES: usize = 24;
const SAMPLE_BYTES: u64 = 1 << 30;

/// The files to restore, each once. Which are drawn depends on the point alone, so a drill can be repeated.
pub(super) fn samples(manifest: &Manifest, seed: Uuid) -> Vec<&FileRecord> {
    let is_dump = |file: &&FileRecord| {
        manifest.sources.iter().any(|source| {
            source
                .dump
                .as_ref()
                .is_some_and(|dump| dump.path == file.path)
        })
    };
    let (dumps, others): (Vec<&FileRecord>, Vec<&FileRecord>) =
        manifest.files.iter().partition(is_dump);
    let mut chosen = dumps;
    let newest = others.iter().max_by_key(|file| file.mtime);
    let oldest = others.iter().min_by_key(|file| file.mtime);
    let largest = others.iter().max_by_key(|file| file.size);
    let mut bytes = 0;
    let mut drawn: Vec<(Vec<u8>, &FileRecord)> = others
        .iter()
        .map(|file| (rank(seed, file), *file))
        .collect();
    let count = SAMPLES.min(drawn.len());
    if 0 < count {
        drawn.select_nth_unstable_by(count - 1, |one, other| one.0.cmp(&other.0));
    }
    let drawn = drawn.into_iter().take(count).map(|(_, file)| file);
    let named = [newest, oldest, largest].into_iter().flatten().copied();
    for (index, file) in named.chain(drawn).enumerate() {
        let twice = chosen.iter().any(|known| std::ptr::eq(*known, file));
        // The named ones are taken whatever they weigh.
        if twice || (3 <= index && SAMPLE_BYTES < bytes + file.size) {
            continue;
        }
        bytes += file.size;
        chosen.push(file);
    }
    chosen
}

fn rank(seed: Uuid, file: &FileRecord) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(seed.as_bytes());
    hash.update(file.path.as_bytes());
    hash.finalize().iter().take(8).copied().collect()
}
