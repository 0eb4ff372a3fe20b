//! A lock of ours in a repository, from before an operation until after it: written, looked at again after a moment,
//! renewed, and given up where another is alone there. By it restic keeps away from what we do, and we from it.

#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError, Weak,
        atomic::Ordering,
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    Rustic,
    error::{is_read_only, other},
    gate::{Operation, lock},
    locks,
    place::{Held, Right, hold},
    quiet::lower_priority,
};
use crate::{
    backup::repository::{RepositoryError, Result},
    clock::{Stopwatch, wall_now},
};

/// How long the end of a lock is waited for, which a disk may hold up.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// How a lock is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// After it has been written, it is looked whether another has written one at the same time.
    pub(super) settles_in: Duration,
    /// It is written anew so often.
    pub(super) renewed_every: Duration,
    /// Not renewed for so long, it is as good as none: others take it for a dead process's soon.
    pub(super) lost_after: Duration,
}

impl Default for Pace {
    /// restic's own.
    fn default() -> Self {
        Self {
            settles_in: Duration::from_millis(200),
            renewed_every: Duration::from_secs(5 * 60),
            lost_after: Duration::from_secs(22 * 60),
        }
    }
}

/// The right to do something in a repository: among the processes of this host, and among all who use it.
#[derive(Debug)]
pub(super) struct Entered {
    /// Given up before the other.
    holding: Option<Arc<Holding>>,
    _held: Held,
}

/// A lock that is in the repository for as long as this lives.
#[derive(Debug)]
pub(super) struct Holding {
    shared: Arc<Shared>,
    /// Told when its thread has removed it.
    ended: Mutex<Receiver<()>>,
}

#[derive(Debug)]
struct Shared {
    rustic: Rustic,
    right: Right,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Where it is at present.
    path: PathBuf,
    renewed: (Stopwatch, Timestamp),
    /// Whether it was looked at again.
    settled: bool,
    /// Whoever held it has gone.
    over: bool,
    /// Why it is worth nothing any more.
    lost: Option<Lost>,
}

#[derive(Clone, Debug)]
enum Lost {
    /// Another is alone there.
    GivenWay(String),
    NotRenewed(String),
}

impl Rustic {
    /// Takes the right to do something, for an operation that ends with its lock. A repository that cannot be written is
    /// read without one.
    pub(super) fn enter(&self, right: Right, operation: &Operation) -> Result<Entered> {
        let cancel = operation.cancel();
        if cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        let held = hold(&self.place, right, cancel)?;
        if let Some(warden) = &self.warden {
            let _ = operation.warden.set(Arc::clone(warden));
            return Ok(Entered {
                holding: None,
                _held: held,
            });
        }
        let holding = match right {
            Right::Shared => self.share()?,
            Right::Exclusive => Some(Arc::new(self.take(right, Some(cancel))?)),
        };
        if let Some(holding) = &holding {
            operation.holds(holding);
        }
        Ok(Entered {
            holding,
            _held: held,
        })
    }

    /// Takes the lock in the repository for what another process does, which takes the right among the processes of this
    /// host itself: so that goes with the one that works.
    pub(super) fn admit(
        &self,
        right: Right,
        operation: &Operation,
    ) -> Result<Option<Arc<Holding>>> {
        Ok(self.enter(right, operation)?.holding)
    }

    /// The lock that all of this process share who read or store; none where none can be written.
    pub(super) fn share(&self) -> Result<Option<Arc<Holding>>> {
        let mut shared = lock(&self.sharing);
        if let Some(there) = shared.upgrade().filter(|there| there.trouble().is_none()) {
            return Ok(Some(there));
        }
        match self.take(Right::Shared, None) {
            Ok(taken) => {
                let taken = Arc::new(taken);
                *shared = Arc::downgrade(&taken);
                Ok(Some(taken))
            }
            Err(error) if cannot_be_written(&error) => {
                if !self.told_read_only.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "{} cannot be written, so that it is read without a lock: see that nobody prunes it meanwhile",
                        self.place.display()
                    );
                }
                *shared = Weak::new();
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a lock. Who removes waits until it has settled; who adds and reads is stopped where it does not.
    fn take(&self, right: Right, wait: Option<&CancellationToken>) -> Result<Holding> {
        self.clear_the_way(right)?;
        let path = locks::write(&self.place, &self.key, right)?;
        let shared = Arc::new(Shared {
            rustic: self.clone(),
            right,
            state: Mutex::new(State {
                path: path.clone(),
                renewed: (Stopwatch::start(), wall_now()),
                settled: false,
                over: false,
                lost: None,
            }),
            changed: Condvar::new(),
        });
        let (end, ended) = mpsc::sync_channel(1);
        let kept = Arc::clone(&shared);
        let started = thread::Builder::new()
            .name("backup-lock".to_owned())
            .spawn(move || kept.keep(end));
        if let Err(error) = started {
            locks::remove(&path);
            return Err(other(format!("could not start a thread: {error}")));
        }
        let holding = Holding {
            shared,
            ended: Mutex::new(ended),
        };
        if let Some(cancel) = wait {
            holding.settle(cancel)?;
        }
        Ok(holding)
    }
}

impl Holding {
    /// Why it is worth nothing any more, where it is not.
    pub(super) fn trouble(&self) -> Option<RepositoryError> {
        let lost = self.shared.lost()?;
        let place = self.shared.rustic.place.display().to_string();
        Some(match lost {
            Lost::GivenWay(by) => RepositoryError::Locked { place, by },
            Lost::NotRenewed(why) => other(format!("the lock in {place} is lost: {why}")),
        })
    }

    /// Waits until it is known that it holds.
    ///
    /// # Errors
    /// Where it does not, or it is to stop.
    pub(super) fn settle(&self, cancel: &CancellationToken) -> Result<()> {
        let mut state = lock(&self.shared.state);
        while !state.settled && state.lost.is_none() {
            if cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            state = self.shared.wait(state, Duration::from_millis(20));
        }
        drop(state);
        self.trouble().map_or(Ok(()), Err)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        lock(&self.shared.state).over = true;
        self.shared.changed.notify_all();
        // Whoever comes next should not meet it; a disk that hangs holds up nobody for long.
        let _ = lock(&self.ended).recv_timeout(ENDS_WITHIN);
    }
}

impl Shared {
    fn keep(&self, end: SyncSender<()>) {
        lower_priority();
        self.settle();
        while self.pause(self.rustic.pace.renewed_every) {
            self.renew();
        }
        let path = lock(&self.state).path.clone();
        locks::remove(&path);
        // Nobody may be waiting any more.
        let _ = end.send(());
    }

    /// Looks again, after a moment.
    fn settle(&self) {
        if self.pause(self.rustic.pace.settles_in) {
            self.look_again();
        }
    }

    fn look_again(&self) {
        let alone = self.rustic.expect_no_lock(self.right);
        let mut state = lock(&self.state);
        match alone {
            Ok(()) => state.settled = true,
            Err(error) => {
                let by = match error {
                    RepositoryError::Locked { by, .. } => Lost::GivenWay(by),
                    error => Lost::NotRenewed(error.to_string()),
                };
                state.lost = Some(by);
                locks::remove(&state.path);
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for so long; says whether it has, and not that it is over.
    fn pause(&self, span: Duration) -> bool {
        let since = Stopwatch::start();
        let mut state = lock(&self.state);
        loop {
            if state.over {
                return false;
            }
            let left = span.saturating_sub(since.elapsed());
            if left.is_zero() {
                return true;
            }
            state = self.wait(state, left);
        }
    }

    /// Writes a new one, and removes the old. What fails is tried again the next time.
    fn renew(&self) {
        if self.lost().is_some() {
            return;
        }
        let old = lock(&self.state).path.clone();
        if let Ok(false) = fs::exists(&old) {
            let why = "another has removed it".to_owned();
            lock(&self.state).lost = Some(Lost::NotRenewed(why));
            return;
        }
        match locks::write(&self.rustic.place, &self.rustic.key, self.right) {
            Ok(path) => self.replace(&old, &path),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not renew the lock in {}",
                self.rustic.place.display()
            ),
        }
    }

    /// Goes on with a new one. Where writing that has taken so long that others may have passed over the old one, or have
    /// removed it, it comes too late.
    fn replace(&self, old: &Path, new: &Path) {
        let is_removed = matches!(fs::exists(old), Ok(false));
        let mut state = lock(&self.state);
        if is_removed && state.lost.is_none() {
            let why = "another has removed it while it was renewed".to_owned();
            state.lost = Some(Lost::NotRenewed(why));
        }
        let is_lost = self.lost_by(&mut state).is_some();
        if !is_lost {
            new.clone_into(&mut state.path);
            state.renewed = (Stopwatch::start(), wall_now());
        }
        drop(state);
        match is_lost {
            true => locks::remove(new),
            false => locks::remove(old),
        }
    }

    /// Why it is worth nothing any more. Once it was not renewed for too long, also by the clock of a machine that has
    /// slept meanwhile, renewing it mends nothing: others may have removed what relied on it.
    fn lost(&self) -> Option<Lost> {
        self.lost_by(&mut lock(&self.state))
    }

    fn lost_by(&self, state: &mut State) -> Option<Lost> {
        if state.lost.is_none() {
            let (watch, at) = &state.renewed;
            let slept = wall_now().duration_since(*at);
            let lost_after = self.rustic.pace.lost_after;
            let for_long = lost_after <= watch.elapsed()
                || (slept.is_positive() && lost_after <= slept.unsigned_abs());
            if for_long {
                let why = format!(
                    "it could not be renewed for {} minutes",
                    lost_after.as_secs() / 60
                );
                state.lost = Some(Lost::NotRenewed(why));
            }
        }
        state.lost.clone()
    }

    fn wait<'a>(
        &self,
        state: std::sync::MutexGuard<'a, State>,
        at_most: Duration,
    ) -> std::sync::MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, at_most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// That a lock cannot be written where all else can be read.
fn cannot_be_written(error: &RepositoryError) -> bool {
    let RepositoryError::Other { source, .. } = error else {
        return false;
    };
    let source = source
        .as_ref()
        .and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(is_read_only)
}
