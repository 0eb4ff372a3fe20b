//! What a repository holds, and what the database says that it holds, put together: points that no row speaks of, as after
//! a kill between both or where the database is older than they are, and rows of points that are not there any more.

use std::{collections::HashSet, path::Path, sync::Arc};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    Backups,
    found::{Found as Look, of_names},
    leftovers::is_ours_among,
    manifests::manifest_of,
    places::Place,
    read_back::{self, ReadBack},
    repository::{Progress, Repository, Snapshot, SnapshotId},
    standing::{Found, Standing, found_in},
    verdicts::named_in_manifest,
    work::{Job, is_damage, is_stopped},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{
        Finding, Level, PointState, PolicyKind,
        manifest::FileError,
        point::{NOT_FOUND_AT_RESTORE, RestorePoint},
        verdict::Sound,
    },
    error::Error,
};

/// Points that were adopted and are read back by one run.
const READ_AT_ONCE: usize = 10;
/// Runs under way whose points are left to them.
const RUNS: usize = 10_000;
/// Where no policy of archives is left, whose copies they are.
const ARCHIVES: &str = "monthly-archive";

/// The id of the row of a copy: whoever writes it writes the same.
pub(super) fn copy_id(policy: &str, manifest: &SnapshotId) -> Uuid {
    let hash = Sha256::digest(format!("{policy} archived {}", manifest.0));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl Backups {
    /// Takes up points that the repository holds and no row speaks of, follows what it says of those that are known, and
    /// notes those of which it holds nothing any more. Says what was found.
    ///
    /// # Errors
    /// What stands in the way.
    pub(super) async fn adopt(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        place: Place,
    ) -> anyhow::Result<Vec<String>> {
        // Before the list of what is there: what is written down meanwhile is in that as well.
        let mut rows = self.store().points_there().await?;
        rows.retain(|row| Place::of(row.kind) == Some(place));
        let under_way = self.store().runs_unfinished(RUNS).await?;
        let under_way: HashSet<String> = under_way.iter().map(|run| run.id.to_string()).collect();
        let of = repository.clone();
        let snapshots = job
            .step("snapshots", 0, move |_| Ok(of.snapshots()?))
            .await?;
        let all = found_in(&snapshots);
        let (mut said, moved) = self.miss(job, &rows, &snapshots, &all).await?;
        let cluster = self.settings().cluster.clone();
        for found in &all {
            if let Some(row) = moved.iter().find(|row| named_in_manifest(row) == found.id) {
                // What stands beside it holds whatever its ids are.
                if is_of(row, found) {
                    said.extend(self.follow(job, repository, row, found).await?);
                }
                continue;
            }
            let of_run = snapshots
                .iter()
                .find(|one| one.id == *found.manifest())
                .filter(|one| is_ours_among(one, &snapshots, &cluster));
            let Some(manifest) = of_run else { continue };
            let is_awaited = manifest
                .word("run")
                .is_some_and(|run| under_way.contains(run));
            if place == Place::Primary && is_awaited {
                continue;
            }
            let row = rows.iter().find(|row| is_of(row, found));
            said.extend(match row {
                Some(row) => self.follow(job, repository, row, found).await?,
                None => self.take_up(job, repository, place, found).await?,
            });
        }
        Ok(said)
    }

    /// Rows whose snapshots are not there: none of them can be restored, but for those that are there under other ids, as
    /// in a copy. Answers the rows of these, as they are now.
    async fn miss(
        &self,
        job: &Job,
        rows: &[RestorePoint],
        snapshots: &[Snapshot],
        all: &[Found],
    ) -> anyhow::Result<(Vec<String>, Vec<RestorePoint>)> {
        let there: HashSet<&str> = snapshots.iter().map(|one| one.id.0.as_str()).collect();
        let (mut said, mut moved) = (Vec::new(), Vec::new());
        for row in rows {
            let both = [row.snapshot.as_str(), row.manifest_snapshot.as_str()];
            if row.damage.is_some() || both.iter().all(|id| there.contains(id)) {
                continue;
            }
            let stays = |found: &&Found| {
                found.standing != Standing::Unverified
                    && named_in_manifest(row) == found.id
                    && !rows.iter().any(|other| is_of(other, found))
            };
            if let Some(found) = all.iter().find(stays)
                && let Some((data, manifest)) = found.ids()
            {
                let mut tx = job.begin().await?;
                let mut point = tx.point_locked(row.id).await?;
                data.clone_into(&mut point.snapshot);
                manifest.clone_into(&mut point.manifest_snapshot);
                // It was read elsewhere, and not here.
                point.verified_at = None;
                point.drilled_at = None;
                tx.point_put(&point).await?;
                tx.commit().await?;
                moved.push(point);
                said.push(format!(
                    "{} is in the repository by other ids, and counts once it was read",
                    row.resource_name()
                ));
                continue;
            }
            let message = format!(
                "{} is not in the repository any more: its snapshots were removed by another program, or this is another \
                 repository",
                row.resource_name()
            );
            let watch = Stopwatch::start();
            let look = Look::broken(Level::Read, message.clone());
            let now = self.clock().now();
            // Nothing is there for a verdict to stand beside.
            let mark = |point: &mut RestorePoint| point.found_damaged(now, &message);
            self.note(job, row.id, &watch, &look, mark).await?;
            job.log(&message);
            said.push(message);
        }
        Ok((said, moved))
    }

    /// What the repository says of a point that the database does not know, as where that is older.
    async fn follow(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        row: &RestorePoint,
        found: &Found,
    ) -> anyhow::Result<Option<String>> {
        let says_more = match found.standing {
            Standing::Found(Sound::Damaged, _) => row.damage.is_none(),
            Standing::Found(Sound::Partial, names) => {
                0 < names && row.state == PointState::Complete
            }
            Standing::Found(Sound::Verified, _) | Standing::Unverified | Standing::Unknown => false,
        };
        if !says_more && (row.accepted.is_some() || !found.is_accepted()) {
            return Ok(None);
        }
        let (of, what, beside) = (repository.clone(), found.clone(), self.beside());
        let read = job.step("verdict", 0, move |_| what.read(&*of, Some(&beside)));
        let said = match read.await {
            Ok((_, said)) => said,
            Err(error) if is_stopped(&error) => return Err(error),
            Err(error) => {
                let why = format!(
                    "{} is {}, as its repository says; what that is cannot be read: {error:#}",
                    row.resource_name(),
                    found.standing
                );
                job.log(&why);
                let is_told = matches!(found.standing, Standing::Found(Sound::Damaged, _));
                // A manifest that is lost may be the very thing that it tells.
                if row.damage.is_none() && (is_told || is_damage(&error)) {
                    let (watch, now) = (Stopwatch::start(), self.clock().now());
                    let look = Look::broken(Level::Read, why.clone());
                    let mark = |point: &mut RestorePoint| point.found_damaged(now, &why);
                    self.note(job, row.id, &watch, &look, mark).await?;
                }
                return Ok(Some(why));
            }
        };
        let mut tx = job.begin().await?;
        let mut point = tx.point_locked(row.id).await?;
        let before = point.clone();
        point.follow(&said);
        if point == before {
            return Ok(None);
        }
        tx.point_put(&point).await?;
        tx.commit().await?;
        Ok(Some(format!(
            "{} is {}, as its repository says",
            row.resource_name(),
            found.standing
        )))
    }

    /// Writes down a point that no row speaks of.
    async fn take_up(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        place: Place,
        found: &Found,
    ) -> anyhow::Result<Option<String>> {
        // What a failed run has left is no point, and goes by the next cleanup but one.
        if found.standing == Standing::Unverified {
            return Ok(None);
        }
        let removed = self.store().points_removed().await?;
        let is_it = |row: &&RestorePoint| {
            let same = place == Place::Primary && row.id == found.id;
            Place::of(row.kind) == Some(place) && (same || is_of(row, found))
        };
        // What was removed is left to cleanup.
        if removed.iter().filter(is_it).any(is_gone) {
            return Ok(None);
        }
        // It was thought to be gone; who has kept it is asked again.
        let earlier = removed.iter().find(is_it);
        let policy = match earlier {
            Some(earlier) => earlier.policy.clone(),
            None => self.policy_of_archives().await?,
        };
        let id = match (place, earlier) {
            (Place::Primary, _) => found.id,
            (Place::Archive, Some(earlier)) => earlier.id,
            (Place::Archive, None) => copy_id(&policy, found.manifest()),
        };
        let (of, what, beside) = (repository.clone(), found.clone(), self.beside());
        let read = job.step("manifest", 0, move |_| what.read(&*of, Some(&beside)));
        let (stored, mut point) = match read.await {
            Ok(read) => read,
            Err(error) if is_stopped(&error) => return Err(error),
            Err(error) => {
                let why =
                    format!("what the repository holds of {id} cannot be taken up: {error:#}");
                job.log(&why);
                return Ok(Some(why));
            }
        };
        if stored.manifest.cluster != self.settings().cluster {
            return Ok(None);
        }
        point.run.clear();
        point.id = id;
        if place == Place::Archive {
            point.kind = PolicyKind::Archive;
            point.source_point = Some(found.id);
            point.policy = policy;
        }
        let mut tx = job.begin().await?;
        match tx.point_locked(id).await {
            Err(Error::NotFound { .. }) => {}
            Ok(known) if known.removed_at.is_some() && !is_gone(&known) => point.pin = known.pin,
            // Somebody else was quicker.
            Ok(_) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        tx.point_put(&point).await?;
        tx.commit().await?;
        let said = format!(
            "{} was found in the repository, and counts once it was read",
            point.resource_name()
        );
        job.log(&said);
        Ok(Some(said))
    }

    async fn policy_of_archives(&self) -> anyhow::Result<String> {
        let policies = self.store().policies().await?;
        let own = policies
            .into_iter()
            .find(|policy| policy.kind == PolicyKind::Archive);
        Ok(own.map_or_else(|| ARCHIVES.to_owned(), |policy| policy.id.to_string()))
    }

    /// Reads back points that nobody has read since they were found in the repository, the newest first.
    ///
    /// # Errors
    /// What stands in the way.
    pub(super) async fn read_found(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        place: Place,
    ) -> anyhow::Result<Vec<String>> {
        let is_damage_known = self.is_damage_known_at(place).await?;
        let mut rows = self.store().points_there().await?;
        rows.retain(|row| {
            Place::of(row.kind) == Some(place) && row.verified_at.is_none() && row.damage.is_none()
        });
        let mut said = Vec::new();
        for row in rows.iter().take(READ_AT_ONCE) {
            let look = match is_damage_known {
                true => self.read_all_of(job, repository, row).await?,
                false => self.read_manifest_and_dumps(job, repository, row).await?,
            };
            said.push(look.message);
        }
        Ok(said)
    }

    async fn read_manifest_and_dumps(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        row: &RestorePoint,
    ) -> anyhow::Result<Look> {
        let watch = Stopwatch::start();
        let (of, wanted, beside) = (repository.clone(), row.clone(), self.beside());
        let dumps = row.dump_bytes.max(0).unsigned_abs();
        let read = job
            .step("read-back", dumps, move |hand| {
                read_again(&*of, &wanted, &beside, hand)
            })
            .await;
        let names = match read {
            Ok(ReadBack::Same) => Vec::new(),
            Ok(ReadBack::Differs(what)) => vec![of_all(what)],
            Err(error) if is_damage(&error) => vec![of_all(format!("{error:#}"))],
            Err(error) => return Err(error),
        };
        let done = Progress {
            files: 2,
            bytes: dumps,
        };
        let what = format!("manifest and dumps of {}", row.resource_name());
        let look = of_names(job, Level::Read, names, done, &what);
        let now = self.clock().now();
        let mark = |point: &mut RestorePoint| match look.finding {
            Finding::Passed => point.found_whole_in_part(now),
            Finding::Failed | Finding::NotPossible => point.found_damaged(now, &look.message),
        };
        self.witness(job, Some(row.id), &watch, &look, mark).await?;
        Ok(look)
    }
}

fn read_again(
    repository: &dyn Repository,
    row: &RestorePoint,
    beside: &Path,
    hand: &super::repository::Hand,
) -> anyhow::Result<ReadBack> {
    let manifest = manifest_of(repository, row, beside)?.manifest;
    read_back::read_back(repository, row, &manifest, beside, hand)
}

/// Whether it was removed, and not only missing where a restore has looked.
fn is_gone(row: &RestorePoint) -> bool {
    row.removed_at.is_some() && row.remove_reason != NOT_FOUND_AT_RESTORE
}

/// Whether a row speaks of what was found: by its manifest, as a copy has another id than its original.
fn is_of(row: &RestorePoint, found: &Found) -> bool {
    row.manifest_snapshot == found.manifest().0
}

fn of_all(message: String) -> FileError {
    FileError {
        path: "/".into(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_one_id_whoever_finds_it() {
        let id = |byte: &str| copy_id("monthly", &SnapshotId(byte.repeat(32)));
        assert_eq!(id("0a"), id("0a"));
        assert_ne!(id("0a"), id("0b"));
    }
}
