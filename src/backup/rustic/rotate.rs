//! Another password for a repository: a key is added for it, and the one of the old password goes. The master key, and
//! with it all that is stored, stays what it is.

use std::path::Path;

use rustic_core::{Credentials, KeyOptions, OpenStatus, repofile::KeyId};
use tokio_util::sync::CancellationToken;

use super::{
    Rustic,
    error::disk_error,
    gate::{Gate, Operation},
    place::{Right, expect_repository},
    session,
};
use crate::backup::repository::{RepositoryError, Result};

/// What a rotation has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Keys that open the repository besides the new password's: of people, or of other programs.
    pub others: usize,
}

type Opened = rustic_core::Repository<OpenStatus>;

impl Rustic {
    /// Gives the repository at `place` another password. `switch` makes the new one that which is in force, once it
    /// opens the repository and before the old one does no longer; where it fails, both open it.
    ///
    /// # Errors
    /// [`RepositoryError::WrongPassword`] for the old one; [`RepositoryError::Locked`] while somebody is at work there.
    pub fn rotate(
        place: &Path,
        old: &str,
        new: &str,
        switch: impl FnOnce() -> Result<()>,
    ) -> Result<Rotated> {
        expect_repository(place)?;
        let operation = Operation::new(place, &CancellationToken::new());
        let (opened, gate) = open(place, old, &operation)?;
        let rustic = Self::with_key(place, opened.key());
        let _entered = rustic.enter(Right::Exclusive, &operation)?;
        let old_key = *opened.key_id();
        // An attempt before this one may have ended in between.
        let renewed = match open(place, new, &operation) {
            Err(RepositoryError::WrongPassword { .. }) => {
                let options = KeyOptions::default()
                    .username("watchbell".to_owned())
                    .with_created(true);
                opened
                    .add_key(new, &options)
                    .and_then(|_| gate.sync())
                    .map_err(|error| operation.explain(&error))?;
                open(place, new, &operation)?.0
            }
            renewed => renewed?.0,
        };
        switch()?;
        if let Some(old_key) = old_key.filter(|old| Some(*old) != *renewed.key_id()) {
            renewed
                .delete_key(&old_key)
                .map_err(|error| operation.explain(&error))?;
        }
        let keys = renewed
            .list::<KeyId>()
            .map_err(|error| operation.explain(&error))?;
        Ok(Rotated {
            others: keys.count().saturating_sub(1),
        })
    }
}

fn open(
    place: &Path,
    password: &str,
    operation: &std::sync::Arc<Operation>,
) -> Result<(Opened, Gate)> {
    let (closed, gate) = session::closed(place, operation)?;
    let opened = closed.open(&Credentials::Password(password.to_owned()));
    let opened = opened.map_err(|error| {
        if error.is_incorrect_password() && disk_error(&error).is_none() {
            return RepositoryError::WrongPassword {
                place: place.display().to_string(),
            };
        }
        operation.explain(&error)
    })?;
    Ok((opened, gate))
}
