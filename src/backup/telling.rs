//! Verdicts told to a repository: written beside the manifest of a point, with all that was named there before.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    Backups,
    found::Found,
    marker::{self, Mark, Marker},
    places::Place,
    repository::Repository,
    verdicts::{VERDICT, named_in_manifest, verdict_of},
    work::Job,
};
use crate::domain::backup::{
    PointState,
    point::RestorePoint,
    verdict::{Names, Sound, Verdict},
};

/// The newest verdict on each point of a repository.
pub(super) type Spoken = HashMap<Uuid, Marker>;

impl Backups {
    /// Tells the repository what a point has come to, and the database what the repository knows besides.
    pub(super) async fn tell_changed(
        &self,
        job: &Job,
        point: &RestorePoint,
        found: &Found,
        spoken: Option<&Spoken>,
    ) -> anyhow::Result<()> {
        let Some(place) = Place::of(point.kind) else {
            return Ok(());
        };
        let (sound, message, names) = match (&point.damage, point.state) {
            (Some(damage), _) => (Sound::Damaged, damage.what.clone(), damage.names()),
            (None, PointState::Complete) => {
                (Sound::Verified, found.message.clone(), Names::default())
            }
            (None, PointState::Partial) => {
                (Sound::Partial, found.message.clone(), Names::default())
            }
        };
        // What was found now may be more than the database has room for.
        let names = match sound {
            Sound::Damaged => names.and(&found.names),
            Sound::Verified | Sound::Partial => names,
        };
        let repository = self.repository(place, job.cancel()).await?;
        let told = self.tell_after(job, point, &repository, (sound, message, names), spoken);
        let damaged = told.await?.damaged();
        let mut tx = job.begin().await?;
        let mut point = tx.point_locked(point.id).await?;
        let before = point.damage.clone();
        point.name_damaged(&damaged);
        if before != point.damage {
            tx.point_put(&point).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Writes a verdict beside the manifest of a point, unless the newest there says the same: with all that this one has
    /// named, as far as it holds still. Answers what stands there then.
    ///
    /// # Errors
    /// Where the repository cannot be read or written.
    pub(super) async fn tell_verdict(
        &self,
        job: &Job,
        point: &RestorePoint,
        repository: &Arc<dyn Repository>,
        sound: Sound,
        message: String,
        names: Names,
    ) -> anyhow::Result<Verdict> {
        let says = (sound, message, names);
        self.tell_after(job, point, repository, says, None).await
    }

    /// The same; the newest verdicts are looked up in `spoken`, where that was done already.
    async fn tell_after(
        &self,
        job: &Job,
        point: &RestorePoint,
        repository: &Arc<dyn Repository>,
        (sound, message, names): (Sound, String, Names),
        spoken: Option<&Spoken>,
    ) -> anyhow::Result<Verdict> {
        let (id, frozen_at) = (named_in_manifest(point), point.frozen_at);
        let verdict = Verdict {
            sound,
            at: self.clock().now(),
            run: job.name(),
            message,
            names: names.named().to_vec(),
            more: names.more(),
            missing: Vec::new(),
            missing_more: 0,
        };
        let cluster = self.settings().cluster.clone();
        let staging = self.settings().config.staging.clone();
        let (of, teller) = (repository.clone(), job.clone());
        let known = spoken.map(|spoken| spoken.get(&id).cloned());
        job.step("verdict", 0, move |hand| {
            // Whatever it says, and also where nobody can tell.
            let newest = match known {
                Some(newest) => newest,
                None => Marker::newest(&of.snapshots()?, VERDICT, id),
            };
            let earlier = newest.as_ref().and_then(|marker| {
                let (known, count) = verdict_of(marker)?;
                let counted = verdict.counted(known, count);
                // What is said in the tags alone need not be read.
                if known == sound && known != Sound::Damaged && count == 0 {
                    return Some(counted);
                }
                let read = marker.read::<Verdict>(&*of);
                Some(read.unwrap_or_else(|error| {
                    teller.log(format!(
                        "the verdict before is taken by its tags: {error:#}"
                    ));
                    counted
                }))
            });
            let verdict = verdict.after(earlier.as_ref());
            if earlier.is_some_and(|earlier| earlier.says_as(&verdict)) {
                return Ok(verdict);
            }
            let count = match sound {
                Sound::Damaged => verdict.damaged().count(),
                Sound::Verified | Sound::Partial => verdict.lacking().count(),
            };
            let mark = Mark {
                kind: VERDICT,
                point: id,
                frozen_at,
                cluster: &cluster,
                words: vec![
                    ("sound", verdict.sound.as_str().to_owned()),
                    ("names", count.to_string()),
                ],
            };
            marker::write_after(&*of, newest.as_ref(), &mark, &verdict, &staging, hand)?;
            Ok(verdict)
        })
        .await
    }

    /// Marks a new point as one that was read back: what has no such mark is what a failed run has left.
    ///
    /// # Errors
    /// Where the repository cannot be read or written; the point does not count then.
    pub(super) async fn tell_verified(
        &self,
        job: &Job,
        point: &RestorePoint,
        repository: &Arc<dyn Repository>,
    ) -> anyhow::Result<()> {
        let sound = match point.state {
            PointState::Complete => Sound::Verified,
            PointState::Partial => Sound::Partial,
        };
        let message = "manifest and dumps were read back".to_owned();
        // What is missing by a look at all of it was told with its names.
        let told = self.tell_verdict(job, point, repository, sound, message, Names::default());
        told.await.map(drop)
    }

    /// The newest verdicts of a repository, where they are looked up for many points at once.
    ///
    /// # Errors
    /// Where the repository cannot be read.
    pub(super) async fn spoken_in(&self, job: &Job, place: Place) -> anyhow::Result<Spoken> {
        let repository = self.repository(place, job.cancel()).await?;
        job.step("verdict", 0, move |_| {
            Ok(Marker::newest_of_each(&repository.snapshots()?, VERDICT))
        })
        .await
    }
}
