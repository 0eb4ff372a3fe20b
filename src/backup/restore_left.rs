//! What restores have left whose process was killed and whose run has ended: decrypted files under another name.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, flock, openat, statat},
    io::Errno,
};

use super::{
    Backups,
    restore_files::{DIRECTORY, remove_in},
    restore_place::{names_of_left, places_of_left},
    restore_plan::RestorePlan,
    staging::Swept,
    work::{Job, blocking},
};
use crate::domain::RunId;

/// Fate of something that may have been left.
enum Left {
    None,
    Gone,
    /// Somebody is at it.
    InUse,
}

impl Backups {
    /// Removes what restores have left whose process was killed and whose run has ended.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub(super) async fn sweep_restores(&self, job: &Job) -> anyhow::Result<Swept> {
        let noted: Vec<(String, RestorePlan)> = self.store().restore_plans_of_runs().await?;
        // Asked after: whoever has noted one until then was at it, and is still, or has ended.
        let alive = self.store().runs_under_way().await?;
        let roots = self.settings().config.restore_roots.clone();
        let mut swept = Swept::default();
        for (key, plan) in noted {
            let run = key.strip_prefix("run:").and_then(|run| run.parse().ok());
            let Some(run) = run.map(RunId) else { continue };
            if alive.contains(&run) || run == job.run() {
                continue;
            }
            // Its next attempt puts the rest of it in place.
            if plan.placing.is_some() && self.will_go_on(run).await? {
                continue;
            }
            let (roots, dry_run) = (roots.clone(), job.dry_run());
            let directory = plan.directory.clone();
            let removed = blocking("sweep", move || {
                remove_left(&roots, &directory, run, dry_run)
            });
            let of = format!("what a restore into {} has left", plan.directory.display());
            match removed.await? {
                Ok(Left::None) => {}
                Ok(Left::Gone) => {
                    job.log(format!("{of} goes: its run has ended"));
                    swept.count += 1;
                }
                Ok(Left::InUse) => job.log(format!("{of} stays: somebody is at it still")),
                Err(error) => {
                    let told = format!("{of} could not be removed: {error:#}");
                    job.log(&told);
                    swept.failed.push(told);
                }
            }
        }
        Ok(swept)
    }

    /// Whether a run that is not under way has more attempts to come.
    async fn will_go_on(&self, run: RunId) -> anyhow::Result<bool> {
        match self.store().run(run).await {
            Ok(run) => Ok(run.finished_at.is_none()),
            Err(crate::error::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn remove_left(roots: &[PathBuf], directory: &Path, run: RunId, dry_run: bool) -> io::Result<Left> {
    let mut left = Left::None;
    for above in places_of_left(roots, directory) {
        for name in names_of_left(directory, run) {
            match statat(&above, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
                Ok(_) | Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            }
            // Of an instance that shares the disk and not the database, that alone tells.
            if is_in_use(&above, &name) {
                return Ok(Left::InUse);
            }
            left = Left::Gone;
            if !dry_run {
                remove_in(&above, &name)?;
            }
        }
    }
    Ok(left)
}

fn is_in_use(above: &OwnedFd, name: &str) -> bool {
    let Ok(opened) = openat(above, name, DIRECTORY, Mode::empty()) else {
        return false;
    };
    let locked = flock(&opened, FlockOperation::NonBlockingLockExclusive);
    locked == Err(Errno::WOULDBLOCK)
}
