//! What an operation has read of packs: how far each, and how many bytes that is.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rustic_core::Id;
use rustix::fs::{Advice, fadvise};
use tokio_util::sync::CancellationToken;

use super::gate::lock;

/// What was read of packs.
pub(super) struct Reads {
    /// How far each was read.
    packs: Mutex<HashMap<Id, u64>>,
    bytes: AtomicU64,
    cancel: CancellationToken,
    tell: Box<dyn Fn(u64) + Send + Sync>,
}

impl Reads {
    /// One that tells how many bytes it is so far.
    pub(super) fn that_tell(
        cancel: &CancellationToken,
        tell: impl Fn(u64) + Send + Sync + 'static,
    ) -> Self {
        Self {
            packs: Mutex::default(),
            bytes: AtomicU64::new(0),
            cancel: cancel.clone(),
            tell: Box::new(tell),
        }
    }

    /// Before something of a pack is read: what is looked at for damage comes from the disk, and not from what the system
    /// remembers of it.
    pub(super) fn begin(&self, id: &Id, file: impl FnOnce() -> PathBuf) {
        if !lock(&self.packs).contains_key(id) {
            // Where that cannot be had, it is read as ever.
            let _ = forget_cached(&file());
        }
    }

    pub(super) fn add(&self, id: &Id, offset: u32, length: u32) {
        let length = u64::from(length);
        let upto = u64::from(offset) + length;
        let mut packs = lock(&self.packs);
        let furthest = packs.entry(*id).or_default();
        *furthest = upto.max(*furthest);
        drop(packs);
        let before = self.bytes.fetch_add(length, Ordering::Relaxed);
        // Who has stopped it may have left.
        if !self.cancel.is_cancelled() {
            (self.tell)(before + length);
        }
    }

    /// How far each was read, once.
    pub(super) fn take(&self) -> HashMap<Id, u64> {
        std::mem::take(&mut *lock(&self.packs))
    }
}

/// Has the system forget what it holds of a file, which is on the disk by then.
pub(super) fn forget_cached(path: &Path) -> io::Result<()> {
    let file = fs::File::open(path)?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;

    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use super::*;

    /// Whether the system holds the beginning of a file; none where it does not tell.
    fn is_cached(path: &Path) -> Option<bool> {
        let file = fs::File::open(path).unwrap();
        let mut byte = [0];
        let into = &mut [IoSliceMut::new(&mut byte)];
        match preadv2(&file, into, 0, ReadWriteFlags::NOWAIT) {
            Ok(_) => Some(true),
            Err(Errno::AGAIN) => Some(false),
            Err(_) => None,
        }
    }

    #[test]
    fn the_first_read_of_a_pack_comes_from_the_disk_and_the_next_need_not() {
        let folder = tempfile::tempdir().unwrap();
        let written = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, [7; 100_000]).unwrap();
            fs::File::open(&path).unwrap().sync_all().unwrap();
            path
        };
        let (control, pack) = (written("control"), written("pack"));
        fadvise(fs::File::open(&control).unwrap(), 0, None, Advice::DontNeed).unwrap();
        if is_cached(&pack) != Some(true) || is_cached(&control) != Some(false) {
            // As in memory alone, where nothing can be forgotten.
            return;
        }
        let reads = Reads::that_tell(&CancellationToken::new(), |_| {});
        let id = Id::default();
        reads.begin(&id, || pack.clone());
        assert_eq!(is_cached(&pack), Some(false));
        fs::read(&pack).unwrap();
        reads.add(&id, 0, 1);
        reads.begin(&id, || pack.clone());
        assert_eq!(is_cached(&pack), Some(true));
    }
}
