//! An archive: the newest drilled point, copied to the second location with its own password, and checked there.

use std::sync::Arc;

use anyhow::bail;
use uuid::Uuid;

use super::{
    Backups, Made,
    accept::ACCEPTED,
    adoption::copy_id,
    full::snapshot_id,
    marker::Marker,
    places::Place,
    read_back::{self, ReadBack},
    read_found::read_again,
    repository::{ReadData, Repository},
    work::{Job, Lasting},
};
use crate::{
    domain::backup::{
        Finding, Level, PolicyKind,
        point::{Evidence, RestorePoint},
        policy::Policy,
    },
    store::LeaseMode,
};

impl Backups {
    /// Copies the newest drilled point; where none is drilled, drills the newest first.
    ///
    /// # Errors
    /// What stands in the way; the archive's other points stay as they are.
    pub(super) async fn run_archive(&self, job: &Job, policy: &Policy) -> anyhow::Result<Made> {
        // Told before anything is read: without a location there is nothing to do here.
        self.location(Place::Archive)?;
        let point = match self.store().point_newest_drilled().await? {
            Some(point) => point,
            None => self.drill_newest(job).await?,
        };
        if job.dry_run() {
            let last = self.copy_of(policy, &point).await?;
            return Ok(Made::nothing(match last.filter(RestorePoint::is_good) {
                Some(last) => archived_already(&point, &last),
                None => format!("{} would be copied", point.resource_name()),
            }));
        }
        self.lease(job, Place::Archive, LeaseMode::Shared).await?;
        let to = job
            .wait(
                "open archive",
                self.repository(Place::Archive, job.cancel()),
            )
            .await?;
        self.refuse_foreign_locks(job, &to).await?;
        // What the database says of an archive is not what is there: it may be older, or this another disk.
        let mut told = self.adopt(job, &to, Place::Archive).await?;
        told.and(self.read_found(job, &to, Place::Archive).await?);
        let last = self.copy_of(policy, &point).await?;
        if let Some(archived) = last.as_ref().filter(|one| one.is_good()) {
            return Ok(Made::nothing(archived_already(&point, archived)).telling(told));
        }
        // One that is known not to come back is copied again, which tells whether it does by now.
        let damaged = last.as_ref();
        self.lease(job, Place::Primary, LeaseMode::Shared).await?;
        let from = job
            .wait("open", self.repository(Place::Primary, job.cancel()))
            .await?;
        // Both leases may have been waited for, and what is no good by now is not copied as if it were.
        let point = self.store().point(point.id).await?;
        if !point.is_good() || point.drilled_at.is_none() {
            bail!(
                "{} counts as restorable no more: the next attempt looks for another",
                point.resource_name()
            );
        }

        let mut ids = [&point.snapshot, &point.manifest_snapshot]
            .map(|id| snapshot_id(id))
            .to_vec();
        let (source, target, total) = (
            from.clone(),
            to.clone(),
            point.source_bytes.max(0).unsigned_abs(),
        );
        let accepted = point.accepted.is_some().then_some(point.id);
        let copied = job
            .step("copy", total, move |hand| {
                if let Some(accepted) = accepted {
                    let there = source.snapshots()?;
                    let marker = Marker::newest(&there, ACCEPTED, accepted);
                    ids.extend(marker.map(|marker| marker.snapshot));
                }
                Ok(source.copy_to(&ids, &*target, hand)?)
            })
            .await?;
        let [data, manifest, ..] = copied.as_slice() else {
            bail!(
                "the copy of {} came to {} snapshots; expected 2 or more",
                point.resource_name(),
                copied.len()
            );
        };
        let mut archived = RestorePoint {
            id: damaged.map_or_else(
                || copy_id(policy.id.as_str(), manifest),
                |damaged| damaged.id,
            ),
            policy: policy.id.to_string(),
            kind: PolicyKind::Archive,
            run: job.name(),
            created_at: self.clock().now(),
            verified_at: None,
            drilled_at: None,
            damage: None,
            snapshot: data.0.clone(),
            manifest_snapshot: manifest.0.clone(),
            source_point: Some(point.id),
            pin: damaged.and_then(|damaged| damaged.pin.clone()),
            added_bytes: 0,
            ..point.clone()
        };
        let of = to.clone();
        let checked = job
            .step("check", 0, move |hand| Ok(of.check(ReadData::None, hand)?))
            .await?;
        if let Some(damage) = checked.damage.first() {
            let place = Place::Archive;
            self.tell_points(job, place, &checked.lacking).await?;
            bail!("the archive is damaged: {damage}");
        }
        let (of, wanted, beside) = (to.clone(), archived.clone(), self.beside());
        let dumps = archived.dump_bytes.max(0).unsigned_abs();
        let read = job
            .step("read-back", dumps, move |hand| {
                read_again(&*of, &wanted, &beside, hand)
            })
            .await?;
        if let ReadBack::Differs(what) = read {
            bail!("what came to the archive is not what was sent: {what}");
        }
        // What is there already is not copied again, so that it may be what is damaged.
        if damaged.is_some() || self.is_damage_known_at(Place::Archive).await? {
            self.refuse_damaged_copy(job, &archived, &to).await?;
        }
        archived.verified_at = Some(self.clock().now());
        self.tell_verified(job, &archived, &to).await?;
        archived.phases = job.phases();
        let mut tx = job.begin().await?;
        tx.point_put(&archived).await?;
        tx.evidence_insert(&Evidence {
            id: Uuid::now_v7(),
            level: Level::Read,
            finding: Finding::Passed,
            point: Some(archived.id),
            place: None,
            run: job.name(),
            at: tx.now(),
            took_ms: archived.phases.iter().map(|phase| phase.took_ms).sum(),
            files: 2,
            bytes: archived.dump_bytes,
            message: "copied, checked, and read back from the archive".to_owned(),
        })
        .await?;
        tx.repository_release(job.run()).await?;
        tx.commit().await?;
        Ok(Made::point(archived).telling(told))
    }

    /// The copy of a point that a policy has made.
    async fn copy_of(
        &self,
        policy: &Policy,
        point: &RestorePoint,
    ) -> anyhow::Result<Option<RestorePoint>> {
        let copies = self.store().points_of(policy.id.as_str()).await?;
        let mut copies = copies.into_iter();
        Ok(copies.find(|one| one.source_point == Some(point.id)))
    }

    /// Reads every file of a copy whose snapshots were there already, and not whole.
    async fn refuse_damaged_copy(
        &self,
        job: &Job,
        archived: &RestorePoint,
        to: &Arc<dyn Repository>,
    ) -> anyhow::Result<()> {
        let (of, wanted, beside) = (to.clone(), archived.clone(), self.beside());
        let total = archived.source_bytes.max(0).unsigned_abs();
        let differing = job
            .step("read", total, move |hand| {
                read_back::differing(&*of, &wanted, &beside, hand)
            })
            .await?;
        if let Some(first) = differing.0.first() {
            let why = format!(
                "what the archive has of it is damaged in {} files, and stays so, as what is there already is not copied \
                 again: {}; README says how to mend a repository",
                differing.0.len(),
                first.message
            );
            return Err(Lasting(why).into());
        }
        Ok(())
    }

    /// A point that is drilled now, as none was before.
    pub(super) async fn drill_newest(&self, job: &Job) -> anyhow::Result<RestorePoint> {
        let Some(newest) = self.to_drill().await?.into_iter().next() else {
            let why = "there is no good restore point: run a backup first";
            return Err(Lasting(why.to_owned()).into());
        };
        job.log(format!(
            "no point is drilled: drilling {}",
            newest.resource_name()
        ));
        self.verify_point(job, newest.id, &[Level::Drill, Level::Database])
            .await?;
        let drilled = self.store().point(newest.id).await?;
        if drilled.drilled_at.is_none() {
            bail!(
                "{} could not be drilled: see its evidence",
                newest.resource_name()
            );
        }
        Ok(drilled)
    }
}

fn archived_already(point: &RestorePoint, archived: &RestorePoint) -> String {
    format!(
        "{} is archived already, as {}: no newer point is drilled",
        point.resource_name(),
        archived.resource_name()
    )
}
