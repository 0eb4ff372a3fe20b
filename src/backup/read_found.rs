//! Reading what was found in a repository and no row speaks of, before it counts.

use std::{path::Path, sync::Arc};

use super::{
    Backups,
    found::{Found as Look, Told, of_names},
    manifests::manifest_of,
    places::Place,
    read_back::{self, ReadBack},
    repository::{Hand, Progress, Repository},
    standing::{Standing, found_in},
    work::{Job, is_damage},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{Finding, Level, manifest::FileError, point::RestorePoint},
};

/// Points that are read back by one run.
const READ_AT_ONCE: usize = 10;

impl Backups {
    /// Reads back points that nobody has read since they were found in the repository, the newest first.
    ///
    /// # Errors
    /// What stands in the way.
    pub(super) async fn read_found(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        place: Place,
    ) -> anyhow::Result<Told> {
        let mut is_damage_known = self.is_damage_known_at(place).await?;
        let mut rows = self.points_in(place).await?;
        rows.retain(|row| row.verified_at.is_none() && row.damage.is_none());
        let mut told = Told::default();
        if rows.is_empty() {
            return Ok(told);
        }
        let of = repository.clone();
        let listed = job
            .step("snapshots", 0, move |_| Ok(of.snapshots()?))
            .await?;
        let mut bare = found_in(&listed);
        bare.retain(|one| one.standing == Standing::Unverified);
        for row in rows.iter().take(READ_AT_ONCE) {
            let is_bare = bare
                .iter()
                .any(|one| one.manifest().0 == row.manifest_snapshot);
            let look = match (is_bare, is_damage_known) {
                (true, _) => self.read_bare(job, repository, row).await?,
                (false, true) => self.read_all_of(job, repository, row).await?,
                (false, false) => self.read_manifest_and_dumps(job, repository, row).await?,
            };
            told.is_amiss |= look.finding != Finding::Passed;
            // What is damaged may be in the next one as well, where a look at little would not come across it.
            is_damage_known |= look.finding == Finding::Failed;
            told.said.push(look.message);
        }
        Ok(told)
    }

    /// Reads every file of what nothing in the repository says that it was read of, and says so there.
    async fn read_bare(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
        row: &RestorePoint,
    ) -> anyhow::Result<Look> {
        let watch = Stopwatch::start();
        let look = self.look_at_all_of(job, repository, row).await?;
        if look.finding == Finding::Passed {
            // Before it counts here: a new machine would take it for what a failed run has left.
            self.tell_verified(job, row, repository).await?;
        }
        let whole = RestorePoint::found_whole;
        self.witness_look(job, row.id, &watch, &look, whole).await?;
        Ok(look)
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
            Ok(ReadBack::Differs(what)) => vec![FileError::of_all(what)],
            Err(error) if is_damage(&error) => vec![FileError::of_all(format!("{error:#}"))],
            Err(error) => return Err(error),
        };
        let done = Progress {
            files: 2,
            bytes: dumps,
        };
        let what = format!("manifest and dumps of {}", row.resource_name());
        let look = of_names(job, Level::Read, names, done, &what);
        let whole = RestorePoint::found_whole_in_part;
        self.witness_look(job, row.id, &watch, &look, whole).await?;
        Ok(look)
    }
}

/// Reads back what a row says that its manifest and its dumps are. Blocks.
pub(super) fn read_again(
    repository: &dyn Repository,
    row: &RestorePoint,
    beside: &Path,
    hand: &Hand,
) -> anyhow::Result<ReadBack> {
    let manifest = manifest_of(repository, row, beside)?.manifest;
    read_back::read_back(repository, row, &manifest, beside, hand)
}
