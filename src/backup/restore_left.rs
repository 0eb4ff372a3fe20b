//! What restores have left whose process was killed and whose run has ended: decrypted files under another name, or in
//! place in part.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, flock, openat, statat},
    io::Errno,
};

use super::{
    Backups,
    removing::{DIRECTORY, remove_in},
    restore_place::{is_not_there, names_in_place, names_of_left, places_of_left, root_of},
    restore_plan::RestorePlan,
    restore_put::Placing,
    staging::Swept,
    work::{Job, blocking},
};
use crate::domain::{RunId, RunState};

/// Fate of something that may have been left.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    None,
    Gone,
    /// Somebody is at it.
    InUse,
    /// It lies where the configuration has no root any more, and is not touched there.
    Outside(PathBuf),
}

/// What has become of the run of a restore.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// More attempts are to come.
    Not,
    Succeeded,
    Otherwise,
}

/// What a look at one restore has found.
struct Look {
    left: anyhow::Result<Left>,
    /// Names of what lies in place, of a restore that did not succeed.
    in_place: anyhow::Result<Vec<String>>,
}

impl Backups {
    /// Removes what restores have left whose process was killed and whose run has ended, and names what of them lies in
    /// place.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub(super) async fn sweep_restores(&self, job: &Job) -> anyhow::Result<Swept> {
        let now = self.clock().now();
        let noted: Vec<(String, bool, RestorePlan)> =
            self.store().restore_plans_of_runs(now).await?;
        // Asked after: whoever has noted one until then was at it, and is still, or has ended.
        let alive = self.store().runs_under_way().await?;
        let roots = self.settings().config.restore_roots.clone();
        let mut swept = Swept::default();
        let mut done = Vec::new();
        for (key, is_over, plan) in noted {
            let run = key.strip_prefix("run:").and_then(|run| run.parse().ok());
            let Some(run) = run.map(RunId) else { continue };
            if alive.contains(&run) || run == job.run() {
                continue;
            }
            let ended = self.how_ended(run).await?;
            // Its next attempt puts the rest of it in place.
            if plan.placing.is_some() && ended == Ended::Not {
                continue;
            }
            let (roots, dry_run) = (roots.clone(), job.dry_run());
            let directory = plan.directory.clone();
            let placing = plan.placing.as_ref().filter(|_| ended == Ended::Otherwise);
            let placing = placing.map(|placed| placed.placing.clone());
            let of_it = placing.clone();
            let looked = blocking("sweep", move || Look {
                left: remove_left(&roots, &directory, run, dry_run),
                in_place: match of_it {
                    Some(placing) => names_in_place(&roots, &directory, &placing),
                    None => Ok(Vec::new()),
                },
            });
            let Look { left, in_place } = looked.await?;
            let mut stays = tell_left(job, &plan, left, ended, &mut swept);
            if let Some(placing) = placing {
                stays |= tell_in_place(job, &plan, &placing, in_place, &mut swept);
            }
            if is_over && !stays && ended != Ended::Not {
                done.push(key);
            }
        }
        if !done.is_empty() && !job.dry_run() {
            let mut tx = job.begin().await?;
            for key in done {
                tx.restore_plan_forget(&key).await?;
            }
            tx.commit().await?;
        }
        Ok(swept)
    }

    async fn how_ended(&self, run: RunId) -> anyhow::Result<Ended> {
        match self.store().run(run).await {
            Ok(run) if run.finished_at.is_none() => Ok(Ended::Not),
            Ok(run) if run.state == RunState::Succeeded => Ok(Ended::Succeeded),
            Ok(_) | Err(crate::error::Error::NotFound { .. }) => Ok(Ended::Otherwise),
            Err(error) => Err(error.into()),
        }
    }
}

/// Tells what has become of what was left; whether it is to be looked for again.
fn tell_left(
    job: &Job,
    plan: &RestorePlan,
    left: anyhow::Result<Left>,
    ended: Ended,
    swept: &mut Swept,
) -> bool {
    let of = format!("what a restore into {} has left", plan.directory.display());
    let (told, is_failure) = match left {
        Ok(Left::None) => return false,
        Ok(Left::Gone) => {
            job.log(format!("{of} goes: its run has ended"));
            swept.count += 1;
            return false;
        }
        Ok(Left::InUse) => {
            job.log(format!("{of} stays: somebody is at it still"));
            return true;
        }
        Ok(Left::Outside(path)) => {
            let path = path.display();
            let told = format!(
                "{of} lies at {path}, decrypted, below none of the restore roots of the configuration any more: remove it, or name its root again"
            );
            (told, true)
        }
        // One that succeeded has seen to it itself, and whose its directory is by now is nobody's business.
        Err(error) => (
            format!("{of} could not be removed: {error:#}"),
            ended != Ended::Succeeded,
        ),
    };
    job.log(&told);
    if is_failure {
        swept.failed.push(told);
    }
    is_failure
}

/// Tells what lies in place of a restore that did not succeed; whether that is to be looked for again.
fn tell_in_place(
    job: &Job,
    plan: &RestorePlan,
    placing: &Placing,
    in_place: anyhow::Result<Vec<String>>,
    swept: &mut Swept,
) -> bool {
    let directory = plan.directory.display();
    let told = match in_place {
        Ok(names) if names.is_empty() => return false,
        Ok(names) if names.len() == placing.count() => {
            job.log(format!(
                "all that a restore was to put into {directory} lies there, though its run did not succeed"
            ));
            return false;
        }
        Ok(names) => format!(
            "part of what a restore was to put into {directory} lies there, decrypted, and its run has ended: {} of {} entries, such as {}; remove them, and restore anew",
            names.len(),
            placing.count(),
            names[0]
        ),
        Err(error) => {
            format!("what a restore has put into {directory} could not be looked at: {error:#}")
        }
    };
    job.log(&told);
    swept.failed.push(told);
    true
}

fn remove_left(
    roots: &[PathBuf],
    directory: &Path,
    run: RunId,
    dry_run: bool,
) -> anyhow::Result<Left> {
    if root_of(roots, directory).is_none() {
        return left_outside(directory, run);
    }
    let mut left = Left::None;
    for above in places_of_left(roots, directory)? {
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

/// What lies where the configuration has no root any more: it is looked for, and nothing is done to it.
fn left_outside(directory: &Path, run: RunId) -> anyhow::Result<Left> {
    for place in directory.parent().into_iter().chain([directory]) {
        for name in names_of_left(directory, run) {
            let path = place.join(name);
            match path.symlink_metadata() {
                Ok(there) if there.is_dir() => return Ok(Left::Outside(path)),
                Ok(_) => {}
                Err(error) if is_not_there(&error) => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("could not look for {}", path.display()));
                }
            }
        }
    }
    Ok(Left::None)
}

fn is_in_use(above: &OwnedFd, name: &str) -> bool {
    let Ok(opened) = openat(above, name, DIRECTORY, Mode::empty()) else {
        return false;
    };
    let locked = flock(&opened, FlockOperation::NonBlockingLockExclusive);
    locked == Err(Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_lies_below_no_root_any_more_is_told_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (root, run) = (folder.path().join("restores"), RunId(Uuid::now_v7()));
        let directory = root.join("below/new");
        let [_, name] = names_of_left(&directory, run);
        let left = root.join("below").join(name);
        let look = |roots: &[PathBuf]| remove_left(roots, &directory, run, false).unwrap();
        assert_eq!(look(&[]), Left::None);
        fs::create_dir_all(&left).unwrap();
        let others = [folder.path().join("others")];
        assert_eq!(look(&others), Left::Outside(left.clone()));
        assert!(left.exists());
        assert_eq!(look(&[root]), Left::Gone);
        assert!(!left.exists());
        assert_eq!(look(&others), Left::None);
    }

    #[test]
    fn where_it_cannot_be_looked_for_is_no_place_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let (roots, run) = ([folder.path().to_owned()], RunId(Uuid::now_v7()));
        let look = |path: &str| remove_left(&roots, &folder.path().join(path), run, false);
        fs::write(folder.path().join("file"), "").unwrap();
        for gone in ["nowhere/new", "file/new", "new"] {
            assert_eq!(look(gone).unwrap(), Left::None, "{gone}");
        }
        // No directory is called so, and the kernel does not say that it is not there.
        look(&format!("{}/new", "n".repeat(300))).unwrap_err();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
        look("link/new").unwrap_err();
    }
}
