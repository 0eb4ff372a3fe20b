//! Standing of restore points, as their repository knows it by itself: each manifest, what was found of it since, and
//! what was accepted.

use std::path::Path;

use anyhow::bail;
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    accept::ACCEPTED,
    described::{judge, point_of},
    leftovers::is_marked,
    manifests::{Stored, manifest_in},
    marker::Marker,
    pairs::{Data, is_manifest},
    repository::{Repository, Snapshot, SnapshotId},
    verdicts::{VERDICT, verdict_of},
    work::is_damage,
};
use crate::domain::backup::{
    PointState,
    loss::Acceptance,
    point::RestorePoint,
    verdict::{Names, Sound, Verdict},
};

/// A restore point, as its manifest's snapshot names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: Uuid,
    pub policy: String,
    pub frozen_at: Timestamp,
    /// Cluster whose it is; none where a server of an older version has made it.
    pub cluster: Option<String>,
    pub standing: Standing,
    manifest: SnapshotId,
    verdict: Option<Marker>,
    /// Marker by which what its sources have lost is as it should be.
    accepted: Option<Marker>,
    /// None where the data is not there, or nobody can say which it is.
    data: Option<SnapshotId>,
}

/// What the repository says of a point beside its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: a server of an older version has made it, and only its manifest tells.
    Unknown,
    /// It was made by a run that has not come to its end: nothing of it was read back.
    Unverified,
    /// The verdict, and how much was found missing or damaged after the manifest was written.
    Found(Sound, u64),
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("not known"),
            Self::Unverified => f.write_str("never verified"),
            Self::Found(sound, 0) => write!(f, "{sound}"),
            Self::Found(sound, names) => write!(f, "{sound}, {names} files"),
        }
    }
}

impl Found {
    /// The snapshots of its data and of its manifest, as this repository has them; none where the data is not there.
    pub fn ids(&self) -> Option<(&str, &str)> {
        let data = self.data.as_ref()?;
        Some((data.0.as_str(), self.manifest.0.as_str()))
    }

    pub(super) fn manifest(&self) -> &SnapshotId {
        &self.manifest
    }

    /// Whether the repository says more of it than its manifest, and than that it was verified.
    pub fn was_judged(&self) -> bool {
        let is_sound =
            |of: &Standing| !matches!(of, Standing::Found(Sound::Partial | Sound::Damaged, _));
        self.accepted.is_some() || !is_sound(&self.standing)
    }

    /// Whether what its sources have lost was taken as it is.
    pub fn is_accepted(&self) -> bool {
        self.accepted.is_some()
    }

    /// Whether not all of it comes back, where what it says of itself cannot be read: a manifest that is lost may be the
    /// very thing that its verdict tells.
    pub fn is_broken(&self, unread: &anyhow::Error) -> bool {
        matches!(self.standing, Standing::Found(Sound::Damaged, _)) || is_damage(unread)
    }

    /// Notes how much was found missing in it, by the tags alone.
    pub fn count_lacking(&self, point: &mut RestorePoint) {
        if let Standing::Found(Sound::Partial, names) = self.standing
            && point.state == PointState::Complete
        {
            point.found_lacking(&Names::new([], names));
        }
    }

    /// Reads what it says of itself; what its sources have lost and was accepted is missing in neither. Blocks.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(super) fn read(
        &self,
        repository: &dyn Repository,
        beside: Option<&Path>,
    ) -> anyhow::Result<(Stored, RestorePoint)> {
        let mut stored = manifest_in(repository, &self.manifest, beside)?;
        let manifest = &mut stored.manifest;
        let Some(data) = &self.data else {
            bail!(
                "its data is not in the repository: snapshot {} was removed, or never copied",
                manifest.snapshot
            );
        };
        // In a copy it has an id of its own.
        manifest.snapshot.clone_from(&data.0);
        let frozen_at = manifest.frozen_at;
        let mut point = point_of(manifest, stored.totals, frozen_at, frozen_at);
        point.manifest_snapshot.clone_from(&self.manifest.0);
        point.manifest_sha256.clone_from(&stored.sha256);
        if let Some(marker) = &self.accepted {
            // One that cannot be read accepts nothing.
            if let Ok(acceptance) = marker.read::<Acceptance>(repository) {
                point.accept(acceptance);
                manifest.accept();
            }
        }
        if let Some(verdict) = self.verdict(repository) {
            judge(&mut point, &verdict);
        }
        Ok((stored, point))
    }

    /// The verdict beside its manifest in full, where one says more than that it is sound. What cannot be read in full
    /// stands in its tags all the same.
    fn verdict(&self, repository: &dyn Repository) -> Option<Verdict> {
        let marker = self.verdict.as_ref()?;
        if matches!(self.standing, Standing::Found(Sound::Verified, _)) {
            return None;
        }
        let read = marker.read::<Verdict>(repository);
        Some(read.unwrap_or_else(|error| self.unread(&error)))
    }

    /// A verdict of which only its tags can be read.
    fn unread(&self, error: &anyhow::Error) -> Verdict {
        let (sound, count) = match self.standing {
            Standing::Found(sound, count) => (sound, count),
            Standing::Unknown | Standing::Unverified => (Sound::Damaged, 0),
        };
        Verdict {
            sound,
            at: self.frozen_at,
            run: String::new(),
            message: format!("{sound}, {count} files; what they are cannot be read: {error:#}"),
            names: Vec::new(),
            more: count,
            missing: Vec::new(),
            missing_more: 0,
        }
    }
}

/// Every restore point that has a manifest among these, newest first.
pub(super) fn found_in(snapshots: &[Snapshot]) -> Vec<Found> {
    // Looked up once, however many markers there are.
    let [verdicts, accepted] =
        [VERDICT, ACCEPTED].map(|kind| Marker::newest_of_each(snapshots, kind));
    let pairs = Data::among(snapshots);
    let manifests = snapshots.iter().filter(|one| is_manifest(one));
    let found = manifests.filter_map(|snapshot| {
        let tag = |name: &str| snapshot.word(name).map(str::to_owned);
        let id: Uuid = tag("point")?.parse().ok()?;
        let data = pairs.of(snapshot);
        let verdict = verdicts
            .get(&id)
            .and_then(|marker| Some((marker, verdict_of(marker)?)));
        Some(Found {
            id,
            policy: tag("policy")?,
            frozen_at: data.map_or(snapshot.time, |data| data.time),
            cluster: tag("cluster"),
            standing: match verdict {
                Some((_, (sound, names))) => Standing::Found(sound, names),
                None if is_marked(snapshot) => Standing::Unverified,
                None => Standing::Unknown,
            },
            manifest: snapshot.id.clone(),
            accepted: accepted.get(&id).cloned(),
            verdict: verdict.map(|(marker, _)| marker.clone()),
            data: data.map(|data| data.id.clone()),
        })
    });
    let mut found: Vec<Found> = found.collect();
    found.sort_by_key(|found| std::cmp::Reverse((found.frozen_at, found.id)));
    found
}
