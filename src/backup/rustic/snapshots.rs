//! Snapshots as the port has them.

use std::{fs, io, path::Path};

use jiff::Timestamp;
use rustic_core::{FileType, Open, Repository, RusticError, repofile::SnapshotFile};

use super::{
    error::{disk_error, other, other_io},
    gate::Operation,
};
use crate::backup::repository::{RepositoryError, Result, Snapshot, SnapshotId};

pub(super) fn id(id: &rustic_core::repofile::SnapshotId) -> SnapshotId {
    SnapshotId(id.to_hex().to_string())
}

pub(super) fn parse(id: &SnapshotId) -> Result<rustic_core::repofile::SnapshotId> {
    let parsed = id.0.parse::<rustic_core::Id>();
    parsed
        .map(Into::into)
        .map_err(|_| other(format!("{:?} is no id of a snapshot", id.0)))
}

/// Every snapshot, oldest first.
pub(super) fn all<S: Open>(
    repository: &Repository<S>,
    operation: &Operation,
) -> Result<Vec<Snapshot>> {
    let files = listed(repository, operation)?;
    let mut snapshots: Vec<_> = files.iter().map(snapshot).collect();
    snapshots.sort_by(|one, other| (one.time, &one.id).cmp(&(other.time, &other.id)));
    Ok(snapshots)
}

/// When the file of each was written.
pub(super) fn written(place: &Path) -> Result<Vec<(SnapshotId, Timestamp)>> {
    let folder = place.join(FileType::Snapshot.dirname());
    let failed = |error| other_io("look at the snapshots of", place, error);
    let mut written = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let at = match entry.metadata().and_then(|file| file.modified()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            at => at.map_err(failed)?,
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let at = Timestamp::try_from(at).map_err(|error| failed(io::Error::other(error)))?;
        written.push((SnapshotId(name), at));
    }
    Ok(written)
}

/// Every snapshot as the library has it. It ends its list early where a thread of it does.
pub(super) fn listed<S: Open>(
    repository: &Repository<S>,
    operation: &Operation,
) -> Result<Vec<SnapshotFile>> {
    let failed = |error: Box<RusticError>| operation.explain(&error);
    let there = repository
        .list::<rustic_core::repofile::SnapshotId>()
        .map_err(failed)?
        .count();
    let files = repository.get_all_snapshots().map_err(failed)?;
    match files.len() < there {
        true => Err(other(format!(
            "of {there} snapshots {} could be read",
            files.len()
        ))),
        false => Ok(files),
    }
}

pub(super) fn find<S: Open>(
    repository: &Repository<S>,
    wanted: &SnapshotId,
    operation: &Operation,
) -> Result<SnapshotFile> {
    let parsed = parse(wanted)?;
    repository.get_file(&parsed).map_err(|error| {
        let disk = disk_error(&error).map(io::Error::kind);
        match disk {
            // The repository is there: someone has taken this out of it.
            Some(io::ErrorKind::NotFound) => RepositoryError::Damaged {
                what: format!("there is no snapshot {}", wanted.0),
            },
            None => RepositoryError::Damaged {
                what: format!("snapshot {}", wanted.0),
            },
            Some(_) => operation.explain(&error),
        }
    })
}

fn snapshot(file: &SnapshotFile) -> Snapshot {
    Snapshot {
        id: id(&file.id),
        time: file.time.timestamp(),
        tags: file.tags.iter().cloned().collect(),
        hostname: file.hostname.clone(),
    }
}
