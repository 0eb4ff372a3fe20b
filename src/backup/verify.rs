//! Verifying: the structure, parts of the data in rotation, and drills. Each leaves evidence.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use anyhow::bail;
use uuid::Uuid;

use super::{
    Backups, Made,
    found::{Found, Told, brief, of_check, of_names},
    places::Place,
    read_back,
    repository::{ReadData, Repository},
    work::{Job, Lasting, asked, is_damage, is_stopped},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{Finding, Level, PointState, PolicyKind, point::RestorePoint, verdict::Names},
    store::LeaseMode,
};

/// Parts that the data of a repository is read in, one a day: every pack is read every 28 days.
pub const PARTS: u32 = 28;
/// Parts that are read in one go, where one after the other is damaged.
const PARTS_AT_MOST: usize = 4;

impl Backups {
    /// What `verify-backups` does by its schedule: reads the next part, and drills the newest good point where that was
    /// not done yet.
    ///
    /// # Errors
    /// What was found to be damaged, or stands in the way.
    pub async fn verify(&self, job: &Job) -> anyhow::Result<Made> {
        let repository = self.to_verify(job, Place::Primary).await?;
        if job.dry_run() {
            return Ok(Made::nothing(
                "the repository can be opened; nothing was read",
            ));
        }
        let (mut failed, mut untried) = (Vec::new(), false);
        let read = self
            .read_next_part(job, &repository, Place::Primary)
            .await?;
        let mut said = vec![read.message.clone()];
        failed.extend((read.finding == Finding::Failed).then_some(read.message));
        let mut told = self.adopt(job, &repository, Place::Primary).await?;
        told.and(self.read_found(job, &repository, Place::Primary).await?);
        said.append(&mut told.said);
        let is_damage_known = self.is_damage_known().await?;
        let points = self.to_drill().await?;
        if points.is_empty() {
            said.push("there is no good restore point to drill".to_owned());
        }
        for point in &points {
            if point.drilled_at.is_some() {
                said.push(format!("{} was drilled already", point.resource_name()));
                continue;
            }
            // A drill samples, and what it does not look at may be what is damaged.
            if is_damage_known {
                let read = self.read_all_of(job, &repository, point).await?;
                said.push(read.message.clone());
                if read.finding == Finding::Failed {
                    failed.push(read.message);
                    continue;
                }
            }
            let levels = [Level::Drill, Level::Database];
            for found in self.drill(job, &repository, point, &levels).await? {
                said.push(found.message.clone());
                untried |= found.finding == Finding::NotPossible;
                failed.extend((found.finding == Finding::Failed).then_some(found.message));
            }
        }
        let place = Place::Primary;
        said.extend(self.look_at_damaged(job, &repository, place).await?);
        let copy = self.read_archive(job, &mut told).await?;
        said.extend(copy.iter().map(|copy| copy.message.clone()));
        said.append(&mut told.said);
        // What is there no more, or cannot be taken up, is no reason to look again at once, and none to be content.
        untried |= told.is_amiss;
        let copy = copy.filter(|copy| copy.finding == Finding::Failed);
        failed.extend(copy.map(|copy| copy.message));
        if let Some(newest) = points.first()
            && self.is_stale(newest).await?
        {
            failed.push(format!(
                "the newest good restore point is as of {}: nothing newer can be drilled",
                newest.frozen_at
            ));
        }
        match (failed.is_empty(), untried) {
            (true, false) => Ok(Made::worked(said.join("; "))),
            // What was not tried did not pass.
            (true, true) => Ok(Made::partial(said.join("; "))),
            (false, _) => Err(Lasting(failed.join("; ")).into()),
        }
    }

    /// The newest good point of the server's own database, and that of each policy. Where there is none, the newest
    /// that is complete: as after a restore, when points were found in the repository and not read yet.
    pub(super) async fn to_drill(&self) -> anyhow::Result<Vec<RestorePoint>> {
        let (store, full) = (self.store(), PolicyKind::Full);
        let mut points: Vec<RestorePoint> = Vec::new();
        points.extend(store.point_newest_good(full, None).await?);
        for policy in store.policies().await? {
            let own = store
                .point_newest_good(full, Some(policy.id.as_str()))
                .await?;
            points.extend(own.filter(|own| points.iter().all(|point| point.id != own.id)));
        }
        if points.is_empty() {
            let complete = |point: &RestorePoint| {
                point.kind == full && point.state == PointState::Complete && point.damage.is_none()
            };
            points.extend(store.points_there().await?.into_iter().find(complete));
        }
        Ok(points)
    }

    /// Verifies one point at these levels.
    ///
    /// # Errors
    /// What was found to be damaged, or stands in the way.
    pub async fn verify_point(
        &self,
        job: &Job,
        id: Uuid,
        levels: &[Level],
    ) -> anyhow::Result<Made> {
        let point = self.store().point(id).await?;
        if point.removed_at.is_some() {
            bail!(
                "{} was removed: {}",
                point.resource_name(),
                point.remove_reason
            );
        }
        let Some(place) = Place::of(point.kind) else {
            bail!(
                "{} is an export; `watchbell export verify` tests its file",
                point.resource_name()
            );
        };
        let repository = self.to_verify(job, place).await?;
        if job.dry_run() {
            return Ok(Made::nothing(
                "the repository can be opened; nothing was read",
            ));
        }
        let mut found = Vec::new();
        if levels.contains(&Level::Read) {
            found.push(self.read_all_of(job, &repository, &point).await?);
        }
        found.extend(self.drill(job, &repository, &point, levels).await?);
        let said: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
        let said = said.join("; ");
        let any = |finding| found.iter().any(|found| found.finding == finding);
        match (any(Finding::Failed), any(Finding::NotPossible)) {
            (true, _) => Err(Lasting(said).into()),
            (false, true) => Ok(Made::partial(said)),
            (false, false) => Ok(Made::worked(said)),
        }
    }

    async fn to_verify(&self, job: &Job, place: Place) -> anyhow::Result<Arc<dyn Repository>> {
        self.lease(job, place, LeaseMode::Shared).await?;
        let repository = job
            .wait("open", self.repository(place, job.cancel()))
            .await?;
        self.refuse_foreign_locks(job, &repository).await?;
        Ok(repository)
    }

    /// L0: index, trees, and that packs are there with their sizes. Says whether all is sound; what is not, the
    /// evidence and the log say.
    ///
    /// # Errors
    /// What stands in the way.
    pub(super) async fn check_structure(
        &self,
        job: &Job,
        point: Option<Uuid>,
        repository: &Arc<dyn Repository>,
    ) -> anyhow::Result<bool> {
        let watch = Stopwatch::start();
        let of = repository.clone();
        let checked = job
            .step("check", 0, move |hand| Ok(of.check(ReadData::None, hand)?))
            .await?;
        let found = of_check(
            job,
            Level::Structure,
            &checked,
            "the repository's structure",
        );
        let sound = found.finding == Finding::Passed;
        match sound {
            true => self.witness(job, point, &watch, &found, |_| {}).await?,
            // What is damaged may be of others.
            false => {
                let place = Place::Primary;
                self.tell_points(job, place, &checked.lacking).await?;
                self.witness_place(job, place, &watch, &found, &[brief(&checked)])
                    .await?
            }
        }
        Ok(sound)
    }

    /// L1: the part that was not read for the longest; where that is damaged, others as well: it is the first again
    /// tomorrow, and must not keep them from being read.
    async fn read_next_part(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        place: Place,
    ) -> anyhow::Result<Found> {
        let reads = self.store().reads(place.as_str(), PARTS).await?;
        let never = (1..=PARTS).filter(|part| !reads.iter().any(|(read, _)| read == part));
        let oldest_first = never.chain(reads.iter().map(|(part, _)| *part));
        let watch = Stopwatch::start();
        let data = match place {
            Place::Primary => "the data",
            Place::Archive => "the archive's data",
        };
        let mut all: Option<Found> = None;
        let (mut damage, mut lacking) = (Vec::new(), Vec::new());
        let (mut whole, mut spoiled) = (None, BTreeSet::new());
        for part in oldest_first.take(PARTS_AT_MOST) {
            let of = repository.clone();
            let checked = job
                .step("read", 0, move |hand| {
                    Ok(of.check(ReadData::Part { part, of: PARTS }, hand)?)
                })
                .await?;
            let what = format!("part {part} of {PARTS} of {data}");
            let found = of_check(job, Level::Read, &checked, &what);
            let told = brief(&checked);
            if found.finding == Finding::Failed && !damage.contains(&told) {
                damage.push(told);
            }
            // What is gone or damaged elsewhere keeps this part from being none that was read.
            let is_whole = checked.to_its_end && !checked.spoils(part, PARTS);
            spoiled.extend((1..=PARTS).filter(|part| checked.spoils(*part, PARTS)));
            if !is_whole {
                spoiled.insert(part);
            }
            // What this part has shown stays so, however whole the next one is.
            lacking.extend(checked.lacking);
            // One evidence: the newest says whether damage is known.
            all = Some(match all {
                None => found,
                Some(before) => before.and(found),
            });
            if is_whole {
                whole = Some(part);
                break;
            }
        }
        let Some(found) = all else {
            bail!("there is no part to read");
        };
        // Before the evidence: where this ends in between, it is news again.
        self.tell_points(job, place, &lacking).await?;
        self.witness_place(job, place, &watch, &found, &damage)
            .await?;
        let mut tx = job.begin().await?;
        if let Some(part) = whole {
            tx.read_note(place.as_str(), part, PARTS).await?;
        }
        // That it could be read once does not count where it cannot be now.
        for part in spoiled {
            tx.read_forget(place.as_str(), part).await?;
        }
        tx.commit().await?;
        Ok(found)
    }

    /// The next part of the second location, where one is configured and holds anything. One that is away, such as a disk
    /// in a drawer, is said, and shows in the coverage.
    ///
    /// # Errors
    /// That the run was asked to stop.
    async fn read_archive(&self, job: &Job, told: &mut Told) -> anyhow::Result<Option<Found>> {
        let read = match self.has_archive().await? {
            true => self.read_archive_there(job, told).await,
            false => match self.lies_there(Place::Archive).await {
                Ok(false) => return Ok(None),
                Ok(true) => self.read_archive_there(job, told).await,
                // That it hangs does not say that there is none.
                Err(error) => Err(error),
            },
        };
        match read {
            Err(error) if is_stopped(&error) => Err(error),
            Err(error) => Ok(Some(unread(&error))),
            read => read,
        }
    }

    async fn read_archive_there(
        &self,
        job: &Job,
        told: &mut Told,
    ) -> anyhow::Result<Option<Found>> {
        let place = Place::Archive;
        let repository = self.to_verify(job, place).await?;
        told.and(self.adopt(job, &repository, place).await?);
        if !self.has_archive().await? {
            return Ok(None);
        }
        let found = self.read_next_part(job, &repository, place).await?;
        let looked = async {
            told.and(self.read_found(job, &repository, place).await?);
            let damaged = self.look_at_damaged(job, &repository, place).await?;
            told.said.extend(damaged);
            anyhow::Ok(())
        };
        match looked.await {
            Ok(()) => Ok(Some(found)),
            Err(error) if is_stopped(&error) => Err(error),
            // What the part has shown stays so.
            Err(error) => Ok(Some(found.and(unread(&error)))),
        }
    }

    /// Whether there is a repository in a place, whatever is known of it.
    ///
    /// # Errors
    /// Where no answer comes.
    async fn lies_there(&self, place: Place) -> anyhow::Result<bool> {
        let Ok((path, _)) = self.location(place) else {
            return Ok(false);
        };
        let is_there = |path: &Path| path.join("config").is_file();
        Ok(asked(&path, "looking at", is_there).await?)
    }

    /// Every file of a point, read and hashed.
    pub(super) async fn read_all_of(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        point: &RestorePoint,
    ) -> anyhow::Result<Found> {
        let watch = Stopwatch::start();
        let found = self.look_at_all_of(job, repository, point).await?;
        self.witness_look(job, point.id, &watch, &found, RestorePoint::found_whole)
            .await?;
        Ok(found)
    }

    /// The same, of which nothing is noted.
    pub(super) async fn look_at_all_of(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        point: &RestorePoint,
    ) -> anyhow::Result<Found> {
        let (of, wanted, beside) = (repository.clone(), point.clone(), self.beside());
        let total = point.source_bytes.max(0).unsigned_abs();
        let read = job
            .step("read", total, move |hand| {
                read_back::differing(&*of, &wanted, &beside, hand)
            })
            .await;
        let (names, done) = read_back::or_all(read)?;
        let what = format!("every file of {}", point.resource_name());
        Ok(of_names(job, Level::Read, names, done, &what))
    }
}

/// That the archive could not be read, or not to its end.
fn unread(error: &anyhow::Error) -> Found {
    Found {
        level: Level::Read,
        finding: match is_damage(error) {
            true => Finding::Failed,
            false => Finding::NotPossible,
        },
        message: format!("the archive could not be read: {error:#}"),
        files: 0,
        bytes: 0,
        names: Names::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_part_has_shown_stays_so_where_the_archive_goes_away() {
        let away = unread(&anyhow::anyhow!("the disk was unplugged"));
        let both = Found::broken(Level::Read, "part 1 is damaged".to_owned()).and(away);
        assert_eq!(both.finding, Finding::Failed);
        assert!(both.message.ends_with("unplugged"), "{}", both.message);
    }
}
