//! Records beside a walk: both are in the same order, so that each is gone through once, and nothing is kept of them.

use std::cmp::Ordering;

use crate::{
    backup::repository::RepositoryError,
    domain::backup::{
        manifest::{FileRecord, SnapshotPath},
        table::in_order_of_a_walk,
    },
};

/// Records that the walk has not come to yet.
#[derive(Debug)]
pub(in crate::backup) struct Beside<I> {
    records: I,
    next: Option<FileRecord>,
}

impl<I: Iterator<Item = anyhow::Result<FileRecord>>> Beside<I> {
    pub(in crate::backup) fn new(records: I) -> Self {
        Self {
            records,
            next: None,
        }
    }

    /// The record of what the walk has come to; none where there is none. `passed` hears of those before it that the walk
    /// has not met.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub(in crate::backup) fn meet(
        &mut self,
        path: &SnapshotPath,
        mut passed: impl FnMut(&FileRecord),
    ) -> Result<Option<FileRecord>, RepositoryError> {
        while let Some(record) = self.take()? {
            match in_order_of_a_walk(record.path.as_bytes(), path.as_bytes()) {
                Ordering::Less => passed(&record),
                Ordering::Equal => return Ok(Some(record)),
                Ordering::Greater => {
                    self.next = Some(record);
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Tells of those that are left, once the walk is over.
    ///
    /// # Errors
    /// As [`Self::meet`].
    pub(in crate::backup) fn rest(
        &mut self,
        mut passed: impl FnMut(&FileRecord),
    ) -> Result<(), RepositoryError> {
        while let Some(record) = self.take()? {
            passed(&record);
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<FileRecord>, RepositoryError> {
        if let Some(next) = self.next.take() {
            return Ok(Some(next));
        }
        let next = self.records.next().transpose();
        next.map_err(|error| RepositoryError::Other {
            what: format!("{error:#}"),
            source: None,
        })
    }
}
