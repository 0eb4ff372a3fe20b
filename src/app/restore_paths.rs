//! Single files of a restore point, without an instance and its server: people need one file far more often than a
//! machine.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};

use super::{
    Ports,
    candidates::of_cluster,
    restore::{Account, Wish, choose, open_offline},
};
use crate::{
    backup::repository::Progress,
    domain::backup::{
        manifest::{FileError, Manifest, SnapshotPath},
        point::MISSING_SHOWN,
    },
};

/// Restores what begins with one of the wish's paths into a new directory, and nothing else.
///
/// # Errors
/// What stands in the way; [`Account::lacks`] says what is not as it was.
pub async fn restore_paths(
    ports: &Ports,
    wish: &Wish,
    into: &Path,
    told: Arc<dyn Fn(Progress) + Send + Sync>,
) -> anyhow::Result<Account> {
    let paths: Option<Vec<SnapshotPath>> = wish
        .paths
        .iter()
        .map(|path| SnapshotPath::from_absolute(path))
        .collect();
    let paths = paths.context(
        "--path: expected the beginning of a path in the restore point, such as /sources/www/srv/index.html",
    )?;
    let offline = open_offline(wish, ports, Some(into)).await?;
    let found = of_cluster(offline.points().await?, wish.cluster.as_deref())?;
    let mut remarks = Vec::new();
    let (chosen, stored, _) = choose(&offline, &found, wish, &mut remarks).await?;
    if stored.count(&paths)?.files == 0 {
        bail!(
            "no file of restore point {} begins with {}",
            chosen.id,
            wish.paths.join(" or ")
        );
    }
    let stored = Arc::new(stored);
    let manifest = &stored.manifest;
    let missing = tell_missing(manifest, &paths, &mut remarks);
    let restored = offline.restore(stored.clone(), paths, into, told).await?;
    Ok(Account {
        point: chosen.id.to_string(),
        frozen_at: manifest.frozen_at.to_string(),
        files: restored.files,
        bytes: restored.bytes,
        lacks: restored.lines().collect(),
        lacking: restored.lacking() + missing,
        remarks,
        ..Account::default()
    })
}

/// What was never in the point; says how much that is.
pub(super) fn tell_missing(
    manifest: &Manifest,
    paths: &[SnapshotPath],
    remarks: &mut Vec<String>,
) -> u64 {
    let wanted = |error: &&FileError| error.path.begins_with_any(paths);
    let missing: Vec<&FileError> = manifest.errors.iter().filter(wanted).collect();
    let named = missing.iter().take(MISSING_SHOWN);
    remarks.extend(named.map(|error| {
        format!(
            "never in the restore point: {}: {}",
            error.path, error.message
        )
    }));
    missing.len() as u64
}
