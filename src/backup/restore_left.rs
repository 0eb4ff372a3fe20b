//! What restores have left whose process was killed and whose run has ended: decrypted files under another name, or in
//! place in part.
//!
//! Where they lie may hang, or not be there, such as a disk in a drawer: each is asked for by itself and has its time, and
//! what does not answer is looked for again.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, flock, openat, statat},
    io::Errno,
};

use super::{
    Backups,
    child::Stopped,
    removing::{DIRECTORY, remove_in},
    restore_place::names_of_left,
    restore_plan::RestorePlan,
    restore_put::{Identity, Placing},
    rustic::lower_priority,
    staging::Swept,
    work::{Job, asked},
};
use crate::{
    domain::{RunId, RunState},
    host::{self, Question},
};

mod places;

pub(super) use places::Places;

/// How long it is waited for the removal of what one has left: there may be much of it.
const REMOVED_WITHIN: Duration = Duration::from_secs(600);
/// How long it is told that a part lies in place. Whoever leaves it there that long means to.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Fate of something that may have been left.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    None,
    /// It is removed, or would be.
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
#[derive(Debug)]
struct Look {
    left: Left,
    /// Names of what lies in place, of a restore that did not succeed.
    in_place: Vec<String>,
    /// Whether the configuration has no root any more that it lies below.
    is_outside: bool,
    /// Whether what it lay in is not there, as where a disk is not mounted.
    is_away: bool,
}

impl Backups {
    /// Removes what restores have left whose process was killed and whose run has ended, and names what of them lies in
    /// place. `into`: of those into this directory alone.
    ///
    /// # Errors
    /// Where the database does not answer, and where the run was asked to stop.
    pub(super) async fn sweep_restores(
        &self,
        job: &Job,
        into: Option<&Path>,
    ) -> anyhow::Result<Swept> {
        let now = self.clock().now();
        let noted: Vec<(String, bool, RestorePlan)> =
            self.store().restore_plans_of_runs(now).await?;
        let mut swept = Swept::default();
        let (mut done, mut changed) = (Vec::new(), Vec::new());
        for (key, is_over, mut plan) in noted {
            let run = key.strip_prefix("run:").and_then(|run| run.parse().ok());
            let Some(run) = run.map(RunId) else { continue };
            let is_other = into.is_some_and(|into| into != plan.directory);
            if is_other || run == job.run() || self.is_at_it(run).await? {
                continue;
            }
            let ended = match (self.how_ended(run).await?, plan.is_settled()) {
                // Whatever of that its history still knows.
                (Ended::Otherwise, true) => Ended::Succeeded,
                (ended, _) => ended,
            };
            // Its next attempt puts the rest of it in place.
            if plan.placing.is_some() && ended == Ended::Not {
                continue;
            }
            let before = plan.clone();
            let stays = match self.look_for_left(job, &plan, run, ended).await? {
                Ok(look) => tell_look(job, &mut plan, look, ended, now, &mut swept),
                Err(error) => {
                    let directory = plan.directory.display();
                    let told = format!("what a restore into {directory} has left: {error:#}");
                    job.log(&told);
                    // One that succeeded has seen to it itself, and whose its directory is by now is nobody's business.
                    let is_failure = ended != Ended::Succeeded;
                    swept.failed.extend(is_failure.then_some(told));
                    is_failure
                }
            };
            match is_over && !stays && ended != Ended::Not {
                true => done.push(key),
                false if plan != before => changed.push((key, plan)),
                false => {}
            }
        }
        let is_noted = done.is_empty() && changed.is_empty();
        if !job.dry_run() && !is_noted {
            let mut tx = job.begin().await?;
            for key in done {
                tx.restore_plan_forget(&key).await?;
            }
            for (key, plan) in changed {
                tx.restore_plan_note(&key, &plan).await?;
            }
            tx.commit().await?;
        }
        Ok(swept)
    }

    /// Looks for what one has left, and removes it. An error within says why that could not be done.
    async fn look_for_left(
        &self,
        job: &Job,
        plan: &RestorePlan,
        run: RunId,
        ended: Ended,
    ) -> anyhow::Result<anyhow::Result<Look>> {
        let roots = self.settings().config.restore_roots.clone();
        let placing = plan.placing.as_ref().filter(|_| ended == Ended::Otherwise);
        let placing = placing.map(|placed| placed.placing.clone());
        let (of, held_in) = (roots.clone(), plan.held_in.clone());
        let asking = asked(&plan.directory, "looking into", move |directory| {
            look(&of, directory, run, placing.as_ref(), &held_in)
        });
        let looked = job.cancel().run_until_cancelled(asking).await;
        let look = match looked.ok_or(Stopped)? {
            Ok(Ok(look)) => look,
            Ok(Err(error)) => return Ok(Err(error)),
            Err(unanswered) => return Ok(Err(unanswered.into())),
        };
        // Another attempt may have begun meanwhile.
        if look.left != Left::Gone || job.dry_run() || self.is_at_it(run).await? {
            return Ok(Ok(look));
        }
        let directory = plan.directory.clone();
        let what = format!("removing it in or beside {}", directory.display());
        let question = Question::of_file(&directory, what).within(REMOVED_WITHIN);
        let asking = host::ask(question, move || {
            lower_priority();
            let places = Places::of(&roots, &directory)?;
            remove_left(&places, &directory, run, false)
        });
        let removed = job.cancel().run_until_cancelled(asking).await;
        Ok(match removed.ok_or(Stopped)? {
            Ok(Ok(left)) => Ok(Look { left, ..look }),
            Ok(Err(error)) => Err(error.context("it could not be removed")),
            Err(unanswered) => Err(unanswered.into()),
        })
    }

    async fn is_at_it(&self, run: RunId) -> anyhow::Result<bool> {
        Ok(self.store().runs_under_way().await?.contains(&run))
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

impl RestorePlan {
    /// Whether all that it was to put in place was, and that is known.
    fn is_settled(&self) -> bool {
        self.placing.as_ref().is_some_and(|placed| placed.settled)
    }

    /// Notes that: what becomes of it from then on is its owner's.
    pub(super) fn settle(&mut self) {
        if let Some(placed) = &mut self.placing {
            placed.settled = true;
        }
        // Out of the one that was there all along it was moved.
        if self.held_in.len() == 1 {
            self.held_in.clear();
        }
    }
}

/// Tells what was found; whether it is to be looked for again.
fn tell_look(
    job: &Job,
    plan: &mut RestorePlan,
    look: Look,
    ended: Ended,
    now: Timestamp,
    swept: &mut Swept,
) -> bool {
    let mut stays = tell_left(job, plan, &look.left, swept);
    if look.is_away && ended != Ended::Succeeded {
        job.log(format!(
            "what a restore into {} may have left is looked for again: what it lay in is not there, as where a disk is not \
             mounted",
            plan.directory.display()
        ));
        stays = true;
    }
    if ended == Ended::Otherwise {
        stays |= tell_in_place(job, plan, &look, now, swept);
    }
    stays
}

/// Tells what has become of what was left; whether it is to be looked for again.
fn tell_left(job: &Job, plan: &RestorePlan, left: &Left, swept: &mut Swept) -> bool {
    let of = format!("what a restore into {} has left", plan.directory.display());
    match left {
        Left::None => false,
        Left::Gone => {
            job.log(format!("{of} goes: its run has ended"));
            swept.count += 1;
            false
        }
        Left::InUse => {
            job.log(format!("{of} stays: somebody is at it still"));
            true
        }
        Left::Outside(path) => {
            let path = path.display();
            let told = format!(
                "{of} lies at {path}, decrypted, below none of the restore roots of the configuration any more: remove it, or name its root again"
            );
            job.log(&told);
            swept.failed.push(told);
            true
        }
    }
}

/// Tells what lies in place of a restore that did not succeed; whether that is to be looked for again.
fn tell_in_place(
    job: &Job,
    plan: &mut RestorePlan,
    look: &Look,
    now: Timestamp,
    swept: &mut Swept,
) -> bool {
    let directory = plan.directory.display();
    let Some(placed) = &mut plan.placing else {
        return false;
    };
    let (names, count) = (&look.in_place, placed.placing.count());
    let Some(first) = names.first() else {
        return false;
    };
    if names.len() == count {
        job.log(format!(
            "all that a restore was to put into {directory} lies there, though its run did not succeed"
        ));
        placed.settled = true;
        return false;
    }
    // One that was noted by a clock that was ahead is noted anew.
    let since = placed.told_since.filter(|since| *since <= now);
    let since = since.unwrap_or(now);
    placed.told_since = Some(since);
    let outside = match look.is_outside {
        true => ", below none of the restore roots of the configuration any more",
        false => "",
    };
    let mut told = format!(
        "part of what a restore was to put into {directory} lies there, decrypted{outside}, and its run has ended: {} of {count} entries, such as {first}",
        names.len()
    );
    if TOLD_FOR <= now.duration_since(since) {
        told.push_str("; that was told for 30 days, and is not any more");
        job.log(&told);
        placed.settled = true;
        return false;
    }
    told.push_str("; remove them, and restore anew, or move them elsewhere to keep them");
    job.log(&told);
    swept.failed.push(told);
    true
}

fn look(
    roots: &[PathBuf],
    directory: &Path,
    run: RunId,
    placing: Option<&Placing>,
    held_in: &[Identity],
) -> anyhow::Result<Look> {
    let places = Places::of(roots, directory)?;
    let in_place = placing.map(|placing| places.names(placing)).transpose()?;
    Ok(Look {
        left: remove_left(&places, directory, run, true)?,
        in_place: in_place.unwrap_or_default(),
        is_outside: places.is_outside,
        is_away: places.lack_one_of(held_in)?,
    })
}

/// Removes it, or only looks where that is so; what lies where the configuration has no root any more is only looked for.
fn remove_left(
    places: &Places,
    directory: &Path,
    run: RunId,
    dry_run: bool,
) -> anyhow::Result<Left> {
    let mut left = Left::None;
    for (above, path) in places.all(directory) {
        for name in names_of_left(directory, run) {
            match statat(above, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
                Ok(_) | Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            }
            if places.is_outside {
                return Ok(Left::Outside(path.join(name)));
            }
            // Of an instance that shares the disk and not the database, that alone tells.
            if is_in_use(above, &name) {
                return Ok(Left::InUse);
            }
            left = Left::Gone;
            if !dry_run {
                remove_in(above, &name)?;
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

#[cfg(test)]
mod tests;
