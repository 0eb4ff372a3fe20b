//! What is found of restore points: evidence and the point's row in the database, and the verdict beside its manifest
//! in the repository, so that a machine that has nothing else chooses by it.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Backups,
    found::Found,
    full::{signed, snapshot_id},
    marker::{self, Mark, Marker},
    places::Place,
    repository::Repository,
    work::{Job, blocking, is_damage, is_stopped},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{
        Finding, Level, PointState, PolicyKind,
        point::{Evidence, RestorePoint},
        verdict::{Names, Sound, Verdict},
    },
    store::Tx,
};

/// The kind of marker that a verdict is.
pub(super) const VERDICT: &str = "verdict";

/// The verdict that a marker is, by its tags: how sound the point is, and how much was found missing or damaged.
pub(super) fn verdict_of(marker: &Marker) -> Option<(Sound, u64)> {
    let sound = Sound::parse(marker.word("sound")?)?;
    let count = marker.word("names").and_then(|count| count.parse().ok());
    Some((sound, count.unwrap_or(0)))
}

/// The id that a point has in the manifest that it was made by: a copy has the original's.
pub(super) fn named_in_manifest(point: &RestorePoint) -> Uuid {
    match point.kind {
        PolicyKind::Archive => point.source_point.unwrap_or(point.id),
        PolicyKind::Full | PolicyKind::Export => point.id,
    }
}

/// Evidence of what was found, of no point.
fn evidence(job: &Job, tx: &Tx, watch: &Stopwatch, found: &Found) -> Evidence {
    Evidence {
        id: Uuid::now_v7(),
        level: found.level,
        finding: found.finding,
        point: None,
        place: None,
        run: job.name(),
        at: tx.now(),
        took_ms: i64::try_from(watch.elapsed().as_millis()).unwrap_or(i64::MAX),
        files: signed(found.files),
        bytes: signed(found.bytes),
        message: said(found),
    }
}

/// As much of its message as evidence keeps.
fn said(found: &Found) -> String {
    found.message.chars().take(4000).collect()
}

impl Backups {
    /// Writes evidence of a repository as a whole. Where it is found damaged in a way that was not known, no point of it
    /// counts as restored by a drill any more: each may refer to what is damaged. `damage` are those parts of the message
    /// which say what is: what is read besides differs from day to day.
    pub(super) async fn witness_place(
        &self,
        job: &Job,
        place: Place,
        watch: &Stopwatch,
        found: &Found,
        damage: &[String],
    ) -> anyhow::Result<()> {
        let before = match found.level {
            Level::Structure => self.store().evidence_newest(Level::Structure, None).await?,
            _ => self.store().evidence_newest_part(place.as_str()).await?,
        };
        let is_news = found.finding == Finding::Failed
            && before.is_none_or(|before| {
                let is_told = |one: &String| before.message.contains(one.as_str());
                before.finding != Finding::Failed || !damage.iter().all(is_told)
            });
        let mut tx = job.begin().await?;
        let mut evidence = evidence(job, &tx, watch, found);
        evidence.place = Some(place.as_str().to_owned());
        tx.evidence_insert(&evidence).await?;
        if is_news {
            self.withdraw(job, &mut tx, place, None).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes back that points of a repository were restored by a drill, but for one. The next verification reads all of
    /// the newest of them, and drills it again.
    async fn withdraw(
        &self,
        job: &Job,
        tx: &mut Tx,
        place: Place,
        but: Option<Uuid>,
    ) -> anyhow::Result<()> {
        let there = self.points_in(place).await?;
        let is_meant = |point: &&RestorePoint| point.drilled_at.is_some() && Some(point.id) != but;
        let mut count = 0;
        for point in there.iter().filter(is_meant) {
            let mut point = tx.point_locked(point.id).await?;
            point.drilled_at = None;
            tx.point_put(&point).await?;
            count += 1;
        }
        if 0 < count {
            job.log(format!(
                "{count} restore points count as restorable no more until they were read and drilled again: what is \
                 damaged may be theirs, too"
            ));
        }
        Ok(())
    }

    /// Writes evidence, and what it changes of its point. Where that is found damaged by it, was before, or is whole again,
    /// the verdict in the repository says so, too, with every name that any look has found since it was whole.
    pub(super) async fn witness(
        &self,
        job: &Job,
        point: Option<Uuid>,
        watch: &Stopwatch,
        found: &Found,
        change: impl Fn(&mut RestorePoint),
    ) -> anyhow::Result<()> {
        let changed = self.note_of(job, point, watch, found, change).await?;
        let Some(point) = changed else { return Ok(()) };
        match self.tell_changed(job, &point, found).await {
            Err(error) if is_stopped(&error) => Err(error),
            // The database knows it; that the repository does not is for whoever has nothing else.
            Err(error) => {
                job.log(format!(
                    "what was found of {} could not be written into the repository beside it: {error:#}",
                    point.resource_name()
                ));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Writes evidence of a look at a point, which notes by `whole` what came back as it was.
    pub(super) async fn witness_look(
        &self,
        job: &Job,
        point: Uuid,
        watch: &Stopwatch,
        found: &Found,
        whole: fn(&mut RestorePoint, Timestamp),
    ) -> anyhow::Result<()> {
        let now = self.clock().now();
        let mark = |point: &mut RestorePoint| match found.finding {
            Finding::Passed => whole(point, now),
            Finding::Failed | Finding::NotPossible => point.found_damaged(now, &found.message),
        };
        self.witness(job, Some(point), watch, found, mark).await
    }

    /// Notes in the database alone that not all of a point comes back: its repository says so itself, or holds nothing
    /// that a verdict could stand beside.
    pub(super) async fn note_broken(
        &self,
        job: &Job,
        point: Uuid,
        why: &str,
    ) -> anyhow::Result<()> {
        let (watch, now) = (Stopwatch::start(), self.clock().now());
        let found = Found::broken(Level::Read, why.to_owned());
        let mark = |point: &mut RestorePoint| point.found_damaged(now, why);
        let noted = self.note_of(job, Some(point), &watch, &found, mark);
        noted.await.map(drop)
    }

    /// Writes evidence, and what it changes of its point; answers that, where it is or was damaged.
    async fn note_of(
        &self,
        job: &Job,
        point: Option<Uuid>,
        watch: &Stopwatch,
        found: &Found,
        change: impl Fn(&mut RestorePoint),
    ) -> anyhow::Result<Option<RestorePoint>> {
        let mut tx = job.begin().await?;
        let evidence = Evidence {
            point,
            ..evidence(job, &tx, watch, found)
        };
        tx.evidence_insert(&evidence).await?;
        let mut changed = None;
        if let Some(id) = point {
            match tx.point_locked(id).await {
                Ok(mut point) => {
                    let was_damaged = point.damage.is_some();
                    change(&mut point);
                    point.name_damaged(&found.names);
                    tx.point_put(&point).await?;
                    let place = Place::of(point.kind);
                    if let Some(place) = place.filter(|_| !was_damaged && point.damage.is_some()) {
                        self.withdraw(job, &mut tx, place, Some(point.id)).await?;
                    }
                    if was_damaged || point.damage.is_some() {
                        changed = Some(point);
                    }
                }
                // It is written with the rest of what is being made.
                Err(crate::error::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        tx.commit().await?;
        Ok(changed)
    }

    /// Tells the repository what a point has come to, and the database what the repository knows besides.
    async fn tell_changed(
        &self,
        job: &Job,
        point: &RestorePoint,
        found: &Found,
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
        let told = self.tell_verdict(job, point, &repository, sound, message, names);
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
        job.step("verdict", 0, move |hand| {
            let snapshots = of.snapshots()?;
            // Whatever it says, and also where nobody can tell.
            let newest = Marker::newest(&snapshots, VERDICT, id);
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

    /// Forgets what a run has stored of which it is known that it does not come back, or that nothing describes. Where
    /// that cannot be done now, a cleanup does it: nothing has marked it as verified.
    pub(super) async fn forget_failed(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        snapshots: &[&str],
    ) {
        let ids: Vec<_> = snapshots
            .iter()
            .filter(|id| !id.is_empty())
            .map(|id| snapshot_id(id))
            .collect();
        let of = repository.clone();
        let forgotten = blocking("forget", move || of.forget(&ids)).await;
        match forgotten {
            Ok(Ok(())) => job.log("what this attempt has stored does not count, and was forgotten"),
            Ok(Err(error)) => job.log(format!(
                "what this attempt has stored does not count; a cleanup forgets it: {error}"
            )),
            Err(error) => job.log(format!("{error:#}")),
        }
    }
}

/// That what was stored proved to be something else, wherever in the chain that stands.
pub(super) fn is_bad(error: &anyhow::Error) -> bool {
    is_damage(error) || error.is::<Differs>()
}

/// That what comes back is not what was stored.
#[derive(Debug, thiserror::Error)]
#[error("what was stored is not what comes back: {0}; no restore point was made of it")]
pub(super) struct Differs(pub(super) String);
