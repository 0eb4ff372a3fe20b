//! A thread without root's rights over files, so that one that may not be read cannot be.

use std::{os::unix::fs::lchown, path::Path, thread};

use nix::unistd::{Gid, Uid, geteuid, setfsgid, setfsuid};

const NOBODY: u32 = 65534;

/// Does `work` as somebody to whom all below `folder` belongs, and nothing else.
pub(super) fn as_nobody<T: Send>(folder: &Path, work: impl FnOnce() -> T + Send) -> T {
    if !geteuid().is_root() {
        return work();
    }
    give(folder);
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // It is this thread's alone, and that of those which it starts.
            setfsgid(Gid::from_raw(NOBODY));
            setfsuid(Uid::from_raw(NOBODY));
            work()
        });
        worker.join().unwrap()
    })
}

fn give(path: &Path) {
    lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}
