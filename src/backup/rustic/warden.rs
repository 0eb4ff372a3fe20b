//! Who decides what an operation may do: the lock that it holds, or the process that has started this one.

use std::sync::{Arc, Weak};

use super::{gate::Operation, holding::Holding};
use crate::backup::repository::{RepositoryError, Result};

/// Another process that holds the lock, and that is waited in.
pub(super) trait Warden: Send + Sync {
    /// Why the lock is worth nothing any more, as far as was told.
    fn trouble(&self) -> Option<RepositoryError>;

    /// Asks, and waits until it is known that the lock holds.
    ///
    /// # Errors
    /// Where it does not.
    fn settle(&self) -> Result<()>;

    /// Asks whether what is done may be seen from now on.
    ///
    /// # Errors
    /// Where nobody waits for it any more, or the lock is lost.
    fn commit(&self) -> Result<()>;
}

impl Operation {
    /// From now on it ends where this lock does.
    pub(super) fn holds(&self, holding: &Arc<Holding>) {
        let _ = self.holding.set(Arc::downgrade(holding));
    }

    /// The lock that it ends with, where that is there.
    pub(super) fn held(&self) -> Option<Arc<Holding>> {
        self.holding.get().and_then(Weak::upgrade)
    }

    /// Why its lock is worth nothing any more.
    pub(super) fn lock_trouble(&self) -> Option<RepositoryError> {
        match self.warden.get() {
            Some(warden) => warden.trouble(),
            None => self.held().and_then(|holding| holding.trouble()),
        }
    }

    /// The same, by who holds it: for what cannot be made undone.
    pub(super) fn lock_trouble_now(&self) -> Option<RepositoryError> {
        match self.warden.get() {
            Some(warden) => warden.settle().err(),
            None => self.lock_trouble(),
        }
    }

    /// Waits until it is known that its lock holds.
    ///
    /// # Errors
    /// Where it does not, or it is to stop.
    pub(super) fn settle(&self) -> Result<()> {
        match (self.warden.get(), self.held()) {
            (Some(warden), _) => warden.settle(),
            (None, Some(holding)) => holding.settle(self.cancel()),
            (None, None) => Ok(()),
        }
    }
}
