//! New backups over a repository that is known to be damaged.

use std::sync::Arc;

use super::{
    Backups, full::signed, places::Place, read_back, repository::Repository, verify::LOGGED,
    work::Job,
};
use crate::domain::backup::{
    Finding, PointState, PolicyKind,
    point::{MISSING_SHOWN, RestorePoint},
    verdict::Sound,
};

/// Damaged points among which one is looked for that lies in the first repository.
const LOOKED_AT: i64 = 100;

impl Backups {
    /// Whether the repository was found damaged, and not whole since.
    pub(super) async fn is_damage_known(&self) -> anyhow::Result<bool> {
        self.is_damage_known_at(Place::Primary).await
    }

    /// The same, of either repository.
    pub(super) async fn is_damage_known_at(&self, place: Place) -> anyhow::Result<bool> {
        let part = self.store().evidence_newest_part(place.as_str()).await?;
        let part_failed = part.is_some_and(|part| part.finding == Finding::Failed);
        let kind = match place {
            Place::Primary => PolicyKind::Full,
            Place::Archive => PolicyKind::Archive,
        };
        let damaged = self.store().points_damaged(LOOKED_AT).await?;
        Ok(part_failed || damaged.iter().any(|point| point.kind == kind))
    }

    /// Reads the newest point that is known as damaged again: what was mended, or could not be read for once, is whole
    /// again by itself. That it is not is known already, and no failure of whoever looks.
    pub(super) async fn look_at_damaged(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
    ) -> anyhow::Result<Option<String>> {
        let damaged = self.store().points_damaged(LOOKED_AT).await?;
        let Some(point) = damaged
            .into_iter()
            .find(|point| point.kind == PolicyKind::Full)
        else {
            return Ok(None);
        };
        let found = self.read_all_of(job, repository, &point).await?;
        Ok(Some(match found.finding {
            Finding::Passed => format!("{} is whole again", point.resource_name()),
            Finding::Failed | Finding::NotPossible => {
                format!("{} is damaged as before", point.resource_name())
            }
        }))
    }

    /// Where damage is known, a new point may refer to it, as what is stored already is not stored again: every file of
    /// it is read, and what does not come back is missing in it. Damage that is of older points alone keeps no new one
    /// from being good.
    pub(super) async fn doubt(
        &self,
        job: &Job,
        mut point: RestorePoint,
        repository: &Arc<dyn Repository>,
    ) -> anyhow::Result<RestorePoint> {
        job.log(
            "the repository is known to be damaged: every file of the new restore point is read",
        );
        let (of, wanted) = (repository.clone(), point.clone());
        let total = point.source_bytes.max(0).unsigned_abs();
        let damaged = job
            .step("read all", total, move |hand| {
                Ok(read_back::differing(&*of, &wanted, hand)?.0)
            })
            .await?;
        if damaged.is_empty() {
            return Ok(point);
        }
        for one in damaged.iter().take(LOGGED) {
            job.log(format!("damaged in the repository: {}", one.message));
        }
        point.state = PointState::Partial;
        point.missing_count += signed(damaged.len() as u64);
        let what = format!("{} files are damaged in the repository", damaged.len());
        self.tell_verdict(job, &point, Sound::Partial, what, damaged.clone())
            .await?;
        let room = MISSING_SHOWN.saturating_sub(point.missing.len());
        point.missing.extend(damaged.into_iter().take(room));
        Ok(point)
    }
}
