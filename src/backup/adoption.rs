//! Adoption of what a repository holds: of points that no row of the database speaks of, as after a kill between both or
//! where the database is older than they are, and what becomes of rows whose points are not there any more.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    Backups,
    found::Told,
    leftovers::ours_among,
    places::Place,
    repository::{Repository, Snapshot, SnapshotId},
    standing::{Found, Standing, found_in},
    verdicts::named_in_manifest,
    work::{Job, is_stopped},
};
use crate::{
    domain::{
        backup::{
            PointState, PolicyKind,
            point::{NOT_FOUND_AT_RESTORE, RestorePoint},
            verdict::Sound,
        },
        run::Run,
    },
    error::Error,
};

/// Runs under way whose points are left to them.
const RUNS: usize = 10_000;
/// Policy that copies are of where none of archives is left.
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
    ) -> anyhow::Result<Told> {
        // Before the list of what is there: what is written down meanwhile is in that as well.
        let rows = self.points_in(place).await?;
        let under_way = self.store().runs_unfinished(RUNS).await?;
        let is_archiving = self.is_archiving(job, &under_way).await?;
        let under_way: HashSet<String> = under_way.iter().map(|run| run.id.to_string()).collect();
        let of = repository.clone();
        let listed = job.step("snapshots", 0, move |_| {
            let snapshots = of.snapshots()?;
            let all = found_in(&snapshots);
            Ok((snapshots, all))
        });
        let (snapshots, all) = listed.await?;
        let (mut told, moved) = self.miss(job, &rows, &snapshots, &all).await?;
        let ours = ours_among(&snapshots, &self.settings().cluster);
        let ours: HashMap<&SnapshotId, &Snapshot> = ours.map(|one| (&one.id, one)).collect();
        for found in &all {
            if let Some(row) = moved.iter().find(|row| named_in_manifest(row) == found.id) {
                // What stands beside it holds whatever its ids are.
                if is_of(row, found) {
                    told.and(self.follow(job, repository, row, found).await?);
                }
                continue;
            }
            let Some(manifest) = ours.get(found.manifest()) else {
                continue;
            };
            let is_awaited = manifest
                .word("run")
                .is_some_and(|run| under_way.contains(run));
            if place == Place::Primary && is_awaited {
                continue;
            }
            let row = rows.iter().find(|row| is_of(row, found));
            told.and(match row {
                Some(row) => self.follow(job, repository, row, found).await?,
                // What a failed run has left is no point, and goes by the next cleanup but one.
                None if found.standing == Standing::Unverified
                    && (is_archiving || !self.is_bare_copy(place, found).await?) =>
                {
                    Told::default()
                }
                None => self.take_up(job, repository, place, found).await?,
            });
        }
        for line in &told.said {
            job.log(line);
        }
        Ok(told)
    }

    /// Whether another run is at making copies: what it has not marked yet is its own.
    async fn is_archiving(&self, job: &Job, under_way: &[Run]) -> anyhow::Result<bool> {
        let policies = self.store().policies().await?;
        for policy in policies
            .iter()
            .filter(|one| one.kind == PolicyKind::Archive)
        {
            let task = policy.task()?;
            if under_way
                .iter()
                .any(|run| run.task == task && run.id != job.run())
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether what bears no verdict is a copy of what was verified where it came from, as where a person has copied data
    /// and manifest and not the markers of them.
    async fn is_bare_copy(&self, place: Place, found: &Found) -> anyhow::Result<bool> {
        if place != Place::Archive || found.ids().is_none() {
            return Ok(false);
        }
        match self.store().point(found.id).await {
            Ok(original) => Ok(original.kind == PolicyKind::Full && original.verified_at.is_some()),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Rows whose snapshots are not there: none of them can be restored, but for those that are there under other ids, as
    /// in a copy. Answers the rows of these, as they are now.
    async fn miss(
        &self,
        job: &Job,
        rows: &[RestorePoint],
        snapshots: &[Snapshot],
        all: &[Found],
    ) -> anyhow::Result<(Told, Vec<RestorePoint>)> {
        let there: HashSet<&str> = snapshots.iter().map(|one| one.id.0.as_str()).collect();
        let (mut told, mut moved) = (Told::default(), Vec::new());
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
                told.said.push(format!(
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
            self.note_broken(job, row.id, &message).await?;
            told.amiss(message);
        }
        Ok((told, moved))
    }

    /// Follows what the repository says of a point and the database does not know, as where that is older.
    async fn follow(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        row: &RestorePoint,
        found: &Found,
    ) -> anyhow::Result<Told> {
        let mut told = Told::default();
        let says_more = match found.standing {
            Standing::Found(Sound::Damaged, _) => row.damage.is_none(),
            Standing::Found(Sound::Partial, names) => {
                0 < names && row.state == PointState::Complete
            }
            Standing::Found(Sound::Verified, _) | Standing::Unverified | Standing::Unknown => false,
        };
        if !says_more && (row.accepted.is_some() || !found.is_accepted()) {
            return Ok(told);
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
                if row.damage.is_none() && found.is_broken(&error) {
                    self.note_broken(job, row.id, &why).await?;
                }
                let mut tx = job.begin().await?;
                let mut point = tx.point_locked(row.id).await?;
                found.count_lacking(&mut point);
                tx.point_put(&point).await?;
                tx.commit().await?;
                told.amiss(why);
                return Ok(told);
            }
        };
        let mut tx = job.begin().await?;
        let mut point = tx.point_locked(row.id).await?;
        let before = point.clone();
        point.follow(&said);
        if point == before {
            return Ok(told);
        }
        tx.point_put(&point).await?;
        tx.commit().await?;
        told.said.push(format!(
            "{} is {}, as its repository says",
            row.resource_name(),
            found.standing
        ));
        told.is_amiss = point.damage.is_some() || point.state == PointState::Partial;
        Ok(told)
    }

    /// Writes down a point that no row speaks of.
    async fn take_up(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        place: Place,
        found: &Found,
    ) -> anyhow::Result<Told> {
        let mut told = Told::default();
        let removed = self.store().points_removed().await?;
        let is_it = |row: &&RestorePoint| {
            let same = place == Place::Primary && row.id == found.id;
            Place::of(row.kind) == Some(place) && (same || is_of(row, found))
        };
        // What was removed is left to cleanup.
        if removed.iter().filter(is_it).any(is_gone) {
            return Ok(told);
        }
        // It was thought to be gone; who has kept it is asked again.
        let earlier = removed.iter().find(is_it);
        let (id, copied_by) = match (place, earlier) {
            (Place::Primary, _) => (found.id, None),
            (Place::Archive, Some(earlier)) => (earlier.id, Some(earlier.policy.clone())),
            (Place::Archive, None) => {
                let policy = self.policy_of_archives().await?;
                (copy_id(&policy, found.manifest()), Some(policy))
            }
        };
        let (of, what, beside) = (repository.clone(), found.clone(), self.beside());
        let read = job.step("manifest", 0, move |_| what.read(&*of, Some(&beside)));
        let (stored, mut point) = match read.await {
            Ok(read) => read,
            Err(error) if is_stopped(&error) => return Err(error),
            Err(error) => {
                told.amiss(format!(
                    "what the repository holds of {id} cannot be taken up: {error:#}"
                ));
                return Ok(told);
            }
        };
        if stored.manifest.cluster != self.settings().cluster {
            return Ok(told);
        }
        point.run.clear();
        point.id = id;
        if let Some(policy) = copied_by {
            point.kind = PolicyKind::Archive;
            point.source_point = Some(found.id);
            point.policy = policy;
        }
        let mut tx = job.begin().await?;
        match tx.point_locked(id).await {
            Err(Error::NotFound { .. }) => {}
            Ok(known) if known.removed_at.is_some() && !is_gone(&known) => point.pin = known.pin,
            // Somebody else was quicker.
            Ok(_) => return Ok(told),
            Err(error) => return Err(error.into()),
        }
        tx.point_put(&point).await?;
        tx.commit().await?;
        told.said.push(format!(
            "{} was found in the repository, and counts once it was read",
            point.resource_name()
        ));
        Ok(told)
    }

    async fn policy_of_archives(&self) -> anyhow::Result<String> {
        let policies = self.store().policies().await?;
        let own = policies
            .into_iter()
            .find(|policy| policy.kind == PolicyKind::Archive);
        Ok(own.map_or_else(|| ARCHIVES.to_owned(), |policy| policy.id.to_string()))
    }
}

/// Whether it was removed, and not only missing where a restore has looked.
fn is_gone(row: &RestorePoint) -> bool {
    row.removed_at.is_some() && row.remove_reason != NOT_FOUND_AT_RESTORE
}

/// Whether a row speaks of what was found: by its manifest, as a copy has another id than its original.
fn is_of(row: &RestorePoint, found: &Found) -> bool {
    row.manifest_snapshot == found.manifest().0
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
