//! What the caller of an operation hears of an error: the reason, and not what followed from it.

use rustic_core::RusticError;

use super::{
    error::{damaged, translate},
    gate::Operation,
};
use crate::backup::repository::RepositoryError;

impl Operation {
    /// Why it ends, whatever the library says: once, where it was refused.
    pub(super) fn reason(&self) -> Option<RepositoryError> {
        if self.cancelled() {
            return Some(RepositoryError::Cancelled);
        }
        self.refusal()
    }

    /// Why it was refused, or what the library says.
    pub(super) fn explain(&self, error: &RusticError) -> RepositoryError {
        self.reason()
            .unwrap_or_else(|| translate(&self.place, error))
    }

    /// What the caller hears of an error with what is stored.
    pub(super) fn explain_read(&self, error: &RusticError) -> RepositoryError {
        self.reason()
            .unwrap_or_else(|| damaged(&self.place, "what is stored", error))
    }

    /// What the caller hears of an error with one thing that is stored: damage of that, unless this is to stop or has lost
    /// its lock, which says nothing of what lies there.
    pub(super) fn explain_part(&self, what: &str, error: &RusticError) -> RepositoryError {
        if self.cancelled() {
            return RepositoryError::Cancelled;
        }
        self.lock_trouble()
            .unwrap_or_else(|| damaged(&self.place, what, error))
    }
}
