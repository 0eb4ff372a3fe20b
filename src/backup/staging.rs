//! Where dumps and manifests lie until they are in the repository: a directory of the run, which goes with it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use uuid::Uuid;

use super::{
    removing::remove_tree,
    work::{blocking, make_folder, remove_beside},
};
use crate::domain::RunId;

/// Ends the name of a directory of a run that holds a password for as long as a program needs it.
pub(super) const PASSWORD: &str = "-pass";

/// A run's directory; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Staging {
    path: PathBuf,
}

impl Staging {
    /// Makes it, anew where an earlier attempt has left one. Blocks.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(super) fn make(root: &Path, run: RunId) -> anyhow::Result<Self> {
        Self::clear(root, run)?;
        let path = root.join(run.to_string());
        make_folder(&path)
            .with_context(|| format!("could not make the staging directory {}", path.display()))?;
        Ok(Self { path })
    }

    /// Removes what an earlier attempt of the run has left: one whose process was killed. Blocks.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub(super) fn clear(root: &Path, run: RunId) -> anyhow::Result<()> {
        let path = root.join(run.to_string());
        remove_tree(&path)
            .with_context(|| format!("could not clear the staging directory {}", path.display()))
    }

    /// Removes it. Where it is dropped instead, that is done beside.
    pub(super) async fn remove(mut self) {
        let path = std::mem::take(&mut self.path);
        let removed = blocking("unstage", move || remove_tree(&path)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "could not remove a staging directory; a cleanup will");
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // An empty one is removed already.
        if !self.path.as_os_str().is_empty() {
            let path = std::mem::take(&mut self.path);
            let shown = path.display().to_string();
            remove_beside(shown, move || remove_tree(&path));
        }
    }
}

/// Result of a sweep.
#[derive(Debug, Default)]
pub(super) struct Swept {
    pub(super) count: u64,
    /// What could not be removed, and why.
    pub(super) failed: Vec<String>,
}

/// Removes what runs that were killed have left, once it is older than that. `alive`: runs that are under way.
///
/// # Errors
/// Where the directory cannot be read.
pub(super) fn sweep(
    root: &Path,
    older: Duration,
    alive: &[RunId],
    dry_run: bool,
) -> anyhow::Result<Swept> {
    let mut swept = Swept::default();
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(swept),
        entries => entries.with_context(|| format!("could not read {}", root.display()))?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        let name = name.strip_suffix(PASSWORD).unwrap_or(name);
        let Ok(run) = name.parse::<Uuid>() else {
            continue;
        };
        if alive.contains(&RunId(run)) {
            continue;
        }
        match sweep_one(&entry, older, dry_run) {
            Ok(false) => {}
            Ok(true) => swept.count += 1,
            // Its run removes it at the same time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => swept.failed.push(format!(
                "{} could not be removed: {error}",
                entry.path().display()
            )),
        }
    }
    Ok(swept)
}

fn sweep_one(entry: &fs::DirEntry, older: Duration, dry_run: bool) -> io::Result<bool> {
    let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
    if age < older {
        return Ok(false);
    }
    if !dry_run {
        remove_tree(&entry.path())?;
    }
    Ok(true)
}
