//! New backups over a repository that is known to be damaged.

use std::sync::Arc;

use super::{
    Backups,
    full::{signed, snapshot_id},
    read_back,
    repository::{Progress, Repository},
    verify::LOGGED,
    work::Job,
};
use crate::domain::backup::{
    Finding, PointState, PolicyKind,
    manifest::FileError,
    point::{MISSING_SHOWN, RestorePoint},
};

/// Damaged points among which one is looked for that lies in the first repository.
const LOOKED_AT: i64 = 100;

impl Backups {
    /// Whether the repository was found damaged, and not whole since.
    pub(super) async fn is_damage_known(&self) -> anyhow::Result<bool> {
        let part = self.store().evidence_newest_part().await?;
        let part_failed = part.is_some_and(|part| part.finding == Finding::Failed);
        Ok(part_failed || !self.store().points_damaged(1).await?.is_empty())
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
                let manifest = read_back::manifest_of(&*of, &wanted)?;
                let reader = of.open(&snapshot_id(&wanted.snapshot))?;
                let (mut done, mut damaged) = (Progress::default(), Vec::new());
                for file in &manifest.files {
                    let what =
                        read_back::differs(&*reader, file, &mut std::io::sink(), hand, &mut done)?;
                    damaged.extend(what.map(|message| FileError {
                        path: file.path.clone(),
                        message,
                    }));
                }
                Ok(damaged)
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
        let room = MISSING_SHOWN.saturating_sub(point.missing.len());
        point.missing.extend(damaged.into_iter().take(room));
        Ok(point)
    }
}
