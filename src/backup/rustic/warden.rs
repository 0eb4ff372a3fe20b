//! The one who decides what an operation may do: who holds its lock here, or the process that has started this one.

use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

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

    /// Another that ends with the same lock, whoever holds that, and is not stopped with this one.
    pub(super) fn beside(&self) -> Arc<Self> {
        let other = Self::new(&self.place, &CancellationToken::new());
        if let Some(holding) = self.holding.get() {
            let _ = other.holding.set(Weak::clone(holding));
        }
        if let Some(warden) = self.warden.get() {
            let _ = other.warden.set(Arc::clone(warden));
        }
        other
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

    /// That it is not to stop, and that its lock holds: what is read without one may be of what another removes.
    pub(super) fn expect_to_go_on(&self) -> Result<()> {
        if self.cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        self.lock_trouble().map_or(Ok(()), Err)
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// One whose lock is lost.
    struct Lost;

    impl Warden for Lost {
        fn trouble(&self) -> Option<RepositoryError> {
            Some(RepositoryError::Locked {
                place: "/repository".to_owned(),
                by: "another".to_owned(),
            })
        }

        fn settle(&self) -> Result<()> {
            self.trouble().map_or(Ok(()), Err)
        }

        fn commit(&self) -> Result<()> {
            self.settle()
        }
    }

    #[test]
    fn what_is_read_beside_an_operation_ends_with_its_lock_alone() {
        let cancel = CancellationToken::new();
        let operation = Operation::new(Path::new("/repository"), &cancel);
        assert!(operation.beside().expect_to_go_on().is_ok());
        let warden: Arc<dyn Warden> = Arc::new(Lost);
        assert!(operation.warden.set(warden).is_ok());
        cancel.cancel();
        let beside = operation.beside();
        assert!(!beside.cancelled());
        let why = beside.expect_to_go_on();
        assert!(matches!(why, Err(RepositoryError::Locked { .. })));
    }
}
