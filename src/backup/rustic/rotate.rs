//! Another password for a repository: a key is added for it, and the one of the old password goes. The master key, and
//! with it all that is stored, stays what it is.
//!
//! A key that is added says in whose place it is. So one that was killed in between is known for what it is: its own key,
//! which nothing uses, or the old one, which should be gone.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use rustic_core::{Credentials, Id, KeyOptions, OpenStatus, repofile::KeyId};
use tokio_util::sync::CancellationToken;

use super::{
    Rustic,
    error::{disk_error, other, other_io},
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
    /// Keys of rotations that were broken off, which are removed.
    pub left: usize,
}

/// What becomes of keys that are in the place of the one in force, and not in force themselves. A rotation that was broken
/// off has left them, or one on another host has, where they are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newer {
    /// Nothing is done where there are such.
    Refused,
    Removed,
}

/// What the user of a key is called that is in the place of another.
const IN_PLACE_OF: &str = "watchbell, in place of ";

type Opened = rustic_core::Repository<OpenStatus>;

impl Rustic {
    /// Gives the repository at `place` another password. `switch` makes the new one that which is in force, once it
    /// opens the repository and before the old one does no longer; where it fails, both open it.
    ///
    /// # Errors
    /// [`RepositoryError::WrongPassword`] for the old one; [`RepositoryError::Locked`] while somebody is at work there;
    /// another that names them where there are keys that are newer.
    pub fn rotate(
        place: &Path,
        old: &str,
        new: &str,
        newer: Newer,
        switch: impl FnOnce() -> Result<()>,
    ) -> Result<Rotated> {
        expect_repository(place)?;
        let operation = Operation::new(place, &CancellationToken::new());
        let (opened, gate) = open(place, old, &operation)?;
        let rustic = Self::with_key(place, opened.key());
        let _entered = rustic.enter(Right::Exclusive, &operation)?;
        let old_key = *opened.key_id();
        // An attempt before this one may have ended in between.
        let renewed = open(place, new, &operation);
        let renewed_key = renewed.as_ref().ok().and_then(|(there, _)| *there.key_id());
        // Before anything is changed.
        newer.expect_none(place, &[old_key, renewed_key])?;
        let renewed = match renewed {
            Err(RepositoryError::WrongPassword { .. }) => {
                let user = match old_key {
                    Some(key) => format!("{IN_PLACE_OF}{}", key.to_hex().as_str()),
                    None => "watchbell".to_owned(),
                };
                let options = KeyOptions::default().username(user).with_created(true);
                opened
                    .add_key(new, &options)
                    .and_then(|_| gate.sync())
                    .map_err(|error| operation.explain(&error))?;
                open(place, new, &operation)?.0
            }
            renewed => renewed?.0,
        };
        // What that attempt has left is known by the key that was in force until now.
        let left = left_over(place, &[old_key, *renewed.key_id()])?;
        switch()?;
        let old_key = old_key.filter(|old| Some(*old) != *renewed.key_id());
        // Each before the one by which it is known, should this be killed in between.
        remove(
            &renewed,
            left.iter().rev().copied().chain(old_key),
            &operation,
        )?;
        Rotated::of(place, left.len())
    }

    /// Ends a rotation that was broken off once `password` was in force: removes the key in whose place its own is, and
    /// what others have left.
    ///
    /// # Errors
    /// As [`Self::rotate`].
    pub fn end_rotation(place: &Path, password: &str, newer: Newer) -> Result<Rotated> {
        expect_repository(place)?;
        let operation = Operation::new(place, &CancellationToken::new());
        let (opened, _) = open(place, password, &operation)?;
        if left_over(place, &[*opened.key_id()])?.is_empty() {
            return Rotated::of(place, 0);
        }
        let rustic = Self::with_key(place, opened.key());
        let _entered = rustic.enter(Right::Exclusive, &operation)?;
        newer.expect_none(place, &[*opened.key_id()])?;
        let left = left_over(place, &[*opened.key_id()])?;
        remove(&opened, left.iter().rev().copied(), &operation)?;
        Rotated::of(place, left.len())
    }
}

impl Rotated {
    /// Once so many keys are removed that were left.
    fn of(place: &Path, left: usize) -> Result<Self> {
        Ok(Self {
            others: keys(place)?.len().saturating_sub(1),
            left,
        })
    }
}

fn remove(opened: &Opened, keys: impl Iterator<Item = KeyId>, operation: &Operation) -> Result<()> {
    for key in keys {
        opened
            .delete_key(&key)
            .map_err(|error| operation.explain(&error))?;
    }
    Ok(())
}

impl Newer {
    fn expect_none(self, place: &Path, in_force: &[Option<KeyId>]) -> Result<()> {
        let newer = match self {
            Self::Refused => newer_than(&keys(place)?, &known(in_force)),
            Self::Removed => Vec::new(),
        };
        if newer.is_empty() {
            return Ok(());
        }
        // As `restic key list` shows them.
        let shown = |key: &KeyId| key.to_hex().as_str().chars().take(8).collect();
        let ids: Vec<String> = newer.iter().map(shown).collect();
        Err(other(format!(
            "keys are there in the place of the one that is in force here, {} in all: {}. A rotation that was broken off has \
             left them, or one on another host, whose server opens the repository by them: then give this host the \
             password that is in force there. Nothing is changed; with --confirm they are removed",
            ids.len(),
            ids.join(", ")
        )))
    }
}

fn known(in_force: &[Option<KeyId>]) -> Vec<KeyId> {
    in_force.iter().copied().flatten().collect()
}

/// Keys that rotations have left which were broken off: those that are in the place of one in force, and never came into
/// use, and those in whose place one in force is. Whoever else has keys there keeps them.
fn left_over(place: &Path, in_force: &[Option<KeyId>]) -> Result<Vec<KeyId>> {
    let keys = keys(place)?;
    let in_force = known(in_force);
    let mut left = newer_than(&keys, &in_force);
    for key in &in_force {
        // The one before, and the one before that.
        let mut place_of = keys.get(key).copied().flatten();
        let mut gone_through = Vec::new();
        while let Some(before) = place_of
            && keys.contains_key(&before)
            && !gone_through.contains(&before)
        {
            gone_through.push(before);
            if !in_force.contains(&before) && !left.contains(&before) {
                left.push(before);
            }
            place_of = keys.get(&before).copied().flatten();
        }
    }
    Ok(left)
}

/// Keys that are in the place of one of those, and not among them.
fn newer_than(keys: &Keys, in_force: &[KeyId]) -> Vec<KeyId> {
    let newer = keys.iter().filter(|(key, place_of)| {
        place_of.is_some_and(|before| in_force.contains(&before)) && !in_force.contains(key)
    });
    newer.map(|(key, _)| *key).collect()
}

/// Every key, and in whose place it is where it says so. One that cannot be read says nothing.
type Keys = BTreeMap<KeyId, Option<KeyId>>;

fn keys(place: &Path) -> Result<Keys> {
    let folder = place.join("keys");
    let failed = |error| other_io("list", &folder, error);
    let mut keys = BTreeMap::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(id) = id_of(&entry.file_name().to_string_lossy()) else {
            continue;
        };
        let text = fs::read(entry.path()).unwrap_or_default();
        let key: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        let user = key["username"].as_str().unwrap_or_default();
        keys.insert(id, user.strip_prefix(IN_PLACE_OF).and_then(id_of));
    }
    Ok(keys)
}

fn id_of(name: &str) -> Option<KeyId> {
    match name.len() {
        64 => name.parse::<Id>().ok().map(KeyId::from),
        _ => None,
    }
}

fn open(place: &Path, password: &str, operation: &Arc<Operation>) -> Result<(Opened, Gate)> {
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
