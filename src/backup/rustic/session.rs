//! A repository as the library has it, opened for one operation.

use std::{path::Path, sync::Arc};

use rustic_backend::LocalBackend;
use rustic_core::{
    Credentials, OpenStatus, Repository, RepositoryBackends, RepositoryOptions, WriteBackend,
    repofile::MasterKey,
};

use super::{
    error::{other, translate},
    gate::{Gate, Operation},
    pieces::Pieces,
    place::expect_repository,
};
use crate::backup::repository::Result;

/// Its files, without the guards.
pub(super) fn files(place: &Path) -> Result<LocalBackend> {
    let path = place
        .to_str()
        .ok_or_else(|| other(format!("{} is not UTF-8", place.display())))?;
    LocalBackend::new(path, []).map_err(|error| translate(place, &error))
}

/// Before its key is known.
pub(super) fn closed(place: &Path, operation: &Arc<Operation>) -> Result<(Repository<()>, Gate)> {
    let files = Pieces::new(files(place)?, place);
    let gate = Gate::new(Arc::new(files), operation);
    let repository = over(Arc::new(gate.clone())).map_err(|error| translate(place, &error))?;
    Ok((repository, gate))
}

/// Opened with its key.
pub(super) fn open(
    place: &Path,
    key: &MasterKey,
    operation: &Arc<Operation>,
) -> Result<Repository<OpenStatus>> {
    expect_repository(place)?;
    let (closed, _) = closed(place, operation)?;
    closed
        .open(&Credentials::Masterkey(key.clone()))
        .map_err(|error| operation.explain(&error))
}

/// A repository over whatever serves its files. The library's cache would lie in a home directory.
pub(super) fn over(files: Arc<dyn WriteBackend>) -> rustic_core::RusticResult<Repository<()>> {
    let options = RepositoryOptions::default().no_cache(true);
    Repository::new(&options, &RepositoryBackends::new(files, None))
}
