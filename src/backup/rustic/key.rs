//! A repository's master key, unlocked by its password in a process of its own: that takes 128 MB for a moment,
//! which a server would never give back.

use std::path::{Path, PathBuf};

use rustic_core::{ConfigOptions, Credentials, KeyOptions, repofile::MasterKey};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{
    error::{disk_error, other, words},
    gate::Operation,
    place::{Place, Right, expect_repository, foreign, hold, look, make_directory, prepare},
    session,
};
use crate::backup::{
    child::{Helpers, Stopped},
    repository::{RepositoryError, Result},
};

/// The steps' names: `watchbell helper STEP`.
pub(crate) const UNLOCK: &str = "unlock-key";
pub(crate) const CREATE: &str = "create-repository";

/// The packs of data. Several are in memory while they are written, so they are smaller than the library's own 32
/// MB, which grow besides.
const DATA_PACK_SIZE: &str = "16MiB";
const TREE_PACK_SIZE: &str = "4MiB";

#[derive(Serialize, Deserialize)]
struct Order {
    place: PathBuf,
    password: String,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Key(MasterKey),
    Missing,
    Foreign(String),
    WrongPassword,
    Full,
    Failed(String),
}

/// Has the key unlocked, or the repository created, by a helper.
pub(super) fn ask(
    step: &str,
    place: &Path,
    password: &str,
    helpers: &Helpers,
    cancel: &CancellationToken,
) -> Result<MasterKey> {
    let order = Order {
        place: place.to_owned(),
        password: password.to_owned(),
    };
    let answer = helpers.ask(step, &order, cancel).map_err(|error| {
        if error.is::<Stopped>() {
            return RepositoryError::Cancelled;
        }
        other(format!("could not open {}: {error:#}", place.display()))
    })?;
    let place = place.display().to_string();
    Err(match answer {
        Answer::Key(key) => return Ok(key),
        Answer::Missing => RepositoryError::Missing { place },
        Answer::Foreign(why) => RepositoryError::Foreign { place, why },
        Answer::WrongPassword => RepositoryError::WrongPassword { place },
        Answer::Full => RepositoryError::Full { place },
        Answer::Failed(why) => other(why),
    })
}

/// Does a step in the helper's process: none where it is not one of these.
pub(crate) fn help(step: &str, order: &[u8]) -> Option<serde_json::Result<Vec<u8>>> {
    let work = match step {
        UNLOCK => unlock,
        CREATE => create,
        _ => return None,
    };
    Some(serde_json::from_slice::<Order>(order).and_then(|order| {
        let answer = match work(&order.place, order.password) {
            Ok(key) => Answer::Key(key),
            Err(RepositoryError::Missing { .. }) => Answer::Missing,
            Err(RepositoryError::Foreign { why, .. }) => Answer::Foreign(why),
            Err(RepositoryError::WrongPassword { .. }) => Answer::WrongPassword,
            Err(RepositoryError::Full { .. }) => Answer::Full,
            Err(error) => Answer::Failed(error.to_string()),
        };
        serde_json::to_vec(&answer)
    }))
}

pub(super) fn unlock(place: &Path, password: String) -> Result<MasterKey> {
    expect_repository(place)?;
    let operation = Operation::new(place, &CancellationToken::new());
    let (closed, _) = session::closed(place, &operation)?;
    let opened = closed.open(&Credentials::Password(password));
    let repository = opened.map_err(|error| {
        if error.is_incorrect_password() {
            return RepositoryError::WrongPassword {
                place: place.display().to_string(),
            };
        }
        if disk_error(&error).is_some() {
            return operation.explain(&error);
        }
        // All there is to read was read, and was not what a repository of a version that is known has.
        foreign(place, words(&error))
    })?;
    Ok(repository.key())
}

/// Of two who create at once one does, and the other finds what it has made.
pub(super) fn create(place: &Path, password: String) -> Result<MasterKey> {
    let never = CancellationToken::new();
    if let Some(above) = place.parent() {
        make_directory(above)?;
    }
    let _held = hold(place, Right::Exclusive, &never)?;
    prepare(place)?;
    let operation = Operation::new(place, &never);
    let (closed, gate) = session::closed(place, &operation)?;
    let mut config = ConfigOptions::default()
        .set_version(2_u32)
        .set_datapack_growfactor(0_u32)
        .set_treepack_growfactor(0_u32);
    config.set_datapack_size = Some(DATA_PACK_SIZE.parse().map_err(other)?);
    config.set_treepack_size = Some(TREE_PACK_SIZE.parse().map_err(other)?);
    let created = closed.init(
        &Credentials::Password(password),
        &KeyOptions::default(),
        &config,
    );
    let repository = operation.outcome(created)?;
    operation.outcome(gate.sync())?;
    debug_assert_eq!(look(place)?, Place::Repository);
    Ok(repository.key())
}
