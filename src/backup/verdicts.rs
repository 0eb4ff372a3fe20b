//! What is found of restore points: evidence and the point's row in the database, and the verdict beside its manifest
//! in the repository, so that a machine that has nothing else chooses by it.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Backups,
    found::Found,
    full::{signed, snapshot_id},
    marker::Marker,
    places::Place,
    repository::Repository,
    telling::Spoken,
    work::{Job, blocking, is_damage, is_stopped},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{
        Finding, Level, PolicyKind,
        point::{Evidence, RestorePoint},
        verdict::Sound,
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
        let changed = self.note_of(job, point, watch, found, change, true).await?;
        let Some(point) = changed else { return Ok(()) };
        self.tell_or_log(job, &point, found, None).await
    }

    /// The same of points of a repository that are damaged, each with what was found of it. What is there is listed once
    /// for all of them, and what drills have shown withdrawn once.
    pub(super) async fn witness_damage(
        &self,
        job: &Job,
        place: Place,
        all: &[(RestorePoint, Found)],
    ) -> anyhow::Result<()> {
        if all.iter().any(|(point, _)| point.damage.is_none()) {
            // Before it is noted of any: where this ends in between, nothing is news any more.
            let mut tx = job.begin().await?;
            self.withdraw(job, &mut tx, place, None).await?;
            tx.commit().await?;
        }
        let spoken = match all.len() {
            0 | 1 => None,
            _ => match self.spoken_in(job, place).await {
                Err(error) if is_stopped(&error) => return Err(error),
                // Each is tried by itself, and says what is in its way.
                spoken => spoken.ok(),
            },
        };
        for (point, found) in all {
            let (watch, now) = (Stopwatch::start(), self.clock().now());
            let mark = |point: &mut RestorePoint| point.found_damaged(now, &found.message);
            let noted = self.note_of(job, Some(point.id), &watch, found, mark, false);
            if let Some(point) = noted.await? {
                self.tell_or_log(job, &point, found, spoken.as_ref())
                    .await?;
            }
        }
        Ok(())
    }

    /// Tells the repository what a point has come to. Where that cannot be, the log says so: the database knows it, and
    /// the other is for whoever has nothing else.
    async fn tell_or_log(
        &self,
        job: &Job,
        point: &RestorePoint,
        found: &Found,
        spoken: Option<&Spoken>,
    ) -> anyhow::Result<()> {
        match self.tell_changed(job, point, found, spoken).await {
            Err(error) if is_stopped(&error) => Err(error),
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
        let noted = self.note_of(job, Some(point), &watch, &found, mark, true);
        noted.await.map(drop)
    }

    /// Writes evidence, and what it changes of its point; answers that, where it is or was damaged. `withdraws`: where it
    /// was not, what drills have shown of others is taken back.
    async fn note_of(
        &self,
        job: &Job,
        point: Option<Uuid>,
        watch: &Stopwatch,
        found: &Found,
        change: impl Fn(&mut RestorePoint),
        withdraws: bool,
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
                    let is_news = !was_damaged && point.damage.is_some();
                    if let Some(place) = Place::of(point.kind).filter(|_| withdraws && is_news) {
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
