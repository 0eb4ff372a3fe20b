//! Children of this process, and those it did not start.
//!
//! The first process of a container is given every orphan in it, and has to take their ends, else they stay as zombies.
//! Who takes an end that another waits for robs it of its answer: so each child that is started is noted while it
//! lives.

use std::{
    collections::BTreeSet,
    io,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use nix::{
    sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    unistd::{Pid, getpid},
};

/// Ends taken at a time.
const BATCH: usize = 1024;

static OURS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
/// Held for reading between a child's start and its note.
static STARTING: RwLock<()> = RwLock::new(());

/// A note that a child is ours, and that somebody waits for it; held until its end was taken.
#[derive(Debug)]
pub struct Ours(i32);

impl Drop for Ours {
    fn drop(&mut self) {
        ours().remove(&self.0);
    }
}

/// Starts a child, and notes it as ours. `id` says its number.
///
/// # Errors
/// Those of `start`.
pub fn spawn<Child>(
    start: impl FnOnce() -> io::Result<Child>,
    id: impl FnOnce(&Child) -> Option<u32>,
) -> io::Result<(Child, Ours)> {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let child = start()?;
    let id = id(&child).map_or(0, u32::cast_signed);
    ours().insert(id);
    Ok((child, Ours(id)))
}

/// Whether orphans become children of this process.
pub fn adopts() -> bool {
    getpid() == Pid::from_raw(1) || nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

/// Takes the ends of children that this process did not start; says how many those were. One of ours that has ended
/// and was not asked yet hides those behind it until the next time.
pub fn reap_strangers() -> usize {
    let _nobody_starts = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    let ours = ours();
    let mut taken = 0;
    while taken < BATCH {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let child = match waitid(Id::All, look) {
            Ok(WaitStatus::Exited(child, _) | WaitStatus::Signaled(child, ..)) => child,
            _ => break,
        };
        if ours.contains(&child.as_raw()) || waitpid(child, Some(WaitPidFlag::WNOHANG)).is_err() {
            break;
        }
        taken += 1;
    }
    taken
}

fn ours() -> MutexGuard<'static, BTreeSet<i32>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}
