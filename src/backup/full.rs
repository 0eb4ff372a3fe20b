//! A full backup: freeze, dump, archive, check references, manifest, read back. Only then does the run succeed.

use std::sync::Arc;

use anyhow::bail;
use uuid::Uuid;

use super::{
    Backups, Made,
    described::{errors_of, point_of},
    losses::Bases,
    manifests,
    pairs::time_beside,
    places::{Place, free_bytes},
    read_back::{self, ReadBack},
    repository::{Archived, Job as Archive, Repository, SnapshotId, Source},
    sources::Prepared,
    staging::Staging,
    verdicts::{Differs, is_bad},
    work::{Job, blocking, is_stopped},
};
use crate::{
    domain::backup::{
        Finding, Level, PolicyKind,
        figures::RepositoryUsage,
        loss::Loss,
        manifest::{DumpRecord, FileError, MANIFEST_FORMAT, Manifest, SnapshotPath, Totals},
        point::{Evidence, RestorePoint},
        policy::Policy,
    },
    store::LeaseMode,
};

/// Of every snapshot that this server makes.
pub(super) const TAG: &str = "watchbell";
/// Of a snapshot that holds a manifest.
pub(super) const MANIFEST_TAG: &str = "manifest";
/// Where the manifest lies in its snapshot.
pub(super) const MANIFEST_PATH: &str = "/manifest.json";
/// Free space that is wanted besides what the newest point's dump took.
const SPARE_BYTES: u64 = 64 << 20;
/// Failures that the log tells.
const LOGGED: usize = 100;
/// Special files that its one line about them names.
const SPECIAL_SHOWN: usize = 10;

impl Backups {
    /// Makes a restore point by a policy.
    ///
    /// # Errors
    /// What stands in the way. No restore point was made then; what was stored is used by the next run.
    pub(super) async fn run_full(&self, job: &Job, policy: &Policy) -> anyhow::Result<Made> {
        self.lease(job, Place::Primary, LeaseMode::Shared).await?;
        let repository = job
            .wait("open", self.repository(Place::Primary, job.cancel()))
            .await?;
        self.refuse_foreign_locks(job, &repository).await?;
        if let Some(point) = self
            .left_by_earlier_attempt(job, policy, &repository)
            .await?
        {
            job.log("an earlier attempt of this run had stored everything; it was read back and is taken");
            let (root, run) = (self.settings().config.staging.clone(), job.run());
            blocking("staging", move || Staging::clear(&root, run)).await??;
            return self.conclude(job, point, &repository).await;
        }
        let before = self.newest_of(policy).await?;
        self.refuse_full_disk(before.as_ref()).await?;
        if job.dry_run() {
            return Ok(Made::nothing(
                "everything is there that a backup needs; nothing was stored",
            ));
        }
        let (root, run) = (self.settings().config.staging.clone(), job.run());
        let staging = blocking("staging", move || Staging::make(&root, run)).await??;
        let stored = self.store_new(job, policy, &repository, &staging, before);
        let stored = stored.await;
        staging.remove().await;
        let (point, manifest) = stored?;
        let new = point.clone();
        let dumps = dumps_of(&manifest);
        let verified = self.verify_new(job, point, manifest, &repository).await;
        if verified.as_ref().is_err_and(is_bad) {
            let stored = [new.manifest_snapshot.as_str(), new.snapshot.as_str()];
            self.forget_failed(job, &repository, &stored).await;
            // What does not come back of this one may be stored since an older one, which nobody must take for good.
            self.look_at_others_once(job, &new, &repository, &dumps)
                .await?;
        }
        let point = verified?;
        self.conclude(job, point, &repository).await
    }

    /// Dumps, archives and describes.
    async fn store_new(
        &self,
        job: &Job,
        policy: &Policy,
        repository: &Arc<dyn Repository>,
        staging: &Staging,
        before: Option<RestorePoint>,
    ) -> anyhow::Result<(RestorePoint, Manifest)> {
        let prepared = self.prepare(job, policy, staging).await?;
        if let (true, Some(unmet)) = (prepared.sources.is_empty(), prepared.unmet().first()) {
            bail!("{}: {}", unmet.path, unmet.message);
        }
        let archived = self
            .archive(job, policy, repository, &prepared, before)
            .await;
        let described = match archived {
            Ok(archived) => {
                self.describe(job, policy, prepared, archived, repository, staging)
                    .await
            }
            Err(error) => Err(error),
        };
        if described.as_ref().is_err_and(|error| !is_stopped(error)) {
            self.forget_attempt(job, repository).await;
        }
        described
    }

    /// The newest point of a policy, or of any, whose files need not be read again.
    async fn newest_of(&self, policy: &Policy) -> anyhow::Result<Option<RestorePoint>> {
        let own = self
            .store()
            .points_of(policy.id.as_str())
            .await?
            .into_iter()
            .find(|point| point.kind == PolicyKind::Full);
        match own {
            Some(own) => Ok(Some(own)),
            None => Ok(self
                .store()
                .point_newest_good(PolicyKind::Full, None)
                .await?),
        }
    }

    async fn refuse_full_disk(&self, before: Option<&RestorePoint>) -> anyhow::Result<()> {
        let dump = before.map_or(0, |point| point.dump_bytes.max(0).unsigned_abs());
        let wanted = dump + dump / 5 + SPARE_BYTES;
        let config = &self.settings().config;
        for place in [&config.staging, &config.repository] {
            if let Some(free) = free_bytes(place).await?.filter(|free| *free < wanted) {
                bail!(
                    "{} has {free} bytes free, and a backup wants {wanted}: make room there",
                    place.display()
                );
            }
        }
        Ok(())
    }

    async fn archive(
        &self,
        job: &Job,
        policy: &Policy,
        repository: &Arc<dyn Repository>,
        prepared: &Prepared,
        before: Option<RestorePoint>,
    ) -> anyhow::Result<Archived> {
        let total = before
            .as_ref()
            .map_or(0, |point| point.source_bytes.max(0).unsigned_abs());
        let archive = Archive {
            time: prepared.frozen_at,
            hostname: TAG.to_owned(),
            tags: vec![
                TAG.to_owned(),
                format!("policy={}", policy.id),
                format!("run={}", job.run()),
                format!("attempt={}", job.attempt()),
                format!("cluster={}", self.settings().cluster),
            ],
            sources: prepared.sources.clone(),
            parent: None,
        };
        let (repository, beside) = (repository.clone(), self.beside());
        let stored = job.step("archive", total, move |hand| {
            // What cannot be read of the point before costs time, and nothing else.
            let parent =
                before.and_then(|point| read_back::parent_of(&*repository, &point, &beside).ok());
            let archive = Archive { parent, ..archive };
            Ok(repository.archive(&archive, hand)?)
        });
        let archived = stored.await?;
        tell_special(job, &archived);
        Ok(archived)
    }

    /// Compares references with what was archived, and stores the manifest.
    async fn describe(
        &self,
        job: &Job,
        policy: &Policy,
        prepared: Prepared,
        archived: Archived,
        repository: &Arc<dyn Repository>,
        staging: &Staging,
    ) -> anyhow::Result<(RestorePoint, Manifest)> {
        let id = Uuid::now_v7();
        let (settings, name) = (self.settings().clone(), job.name());
        let (attempt, run) = (job.attempt(), job.run());
        let (policy_id, repository) = (policy.id.to_string(), repository.clone());
        let file = staging.path().join("manifest.json");
        let frozen_at = prepared.frozen_at;
        let points = self.store().points_of(policy.id.as_str()).await?;
        let added = archived.added_bytes;
        let beside = self.beside();
        let (manifest, totals, sha256, stored) = job
            .step("manifest", 0, move |hand| {
                let mut errors = errors_of(&prepared, &archived);
                let sources = prepared.records(&archived.files);
                let mut bases = Bases::new(&*repository, &points, &beside);
                let losses = bases.judge(&prepared.judged(&sources));
                drop(bases);
                errors.extend(losses.iter().filter_map(Loss::error));
                let manifest = Manifest {
                    format: MANIFEST_FORMAT,
                    point: id,
                    policy: policy_id.clone(),
                    run: name,
                    attempt,
                    cluster: settings.cluster,
                    version: settings.version,
                    frozen_at: prepared.frozen_at,
                    snapshot: archived.snapshot.0.clone(),
                    sources,
                    errors,
                    losses,
                };
                let sha256 = manifests::write(&file, &manifest, &archived.files)?;
                let mut totals = Totals::default();
                archived.files.iter().for_each(|file| totals.add(file.size));
                // The manifest has them all from now on.
                drop(archived.files);
                let archive = Archive {
                    // `restic restore latest` is to bring back the data.
                    time: time_beside(prepared.frozen_at),
                    hostname: TAG.to_owned(),
                    tags: vec![
                        TAG.to_owned(),
                        MANIFEST_TAG.to_owned(),
                        format!("policy={policy_id}"),
                        format!("run={run}"),
                        format!("point={id}"),
                        format!("snapshot={}", manifest.snapshot),
                        format!("cluster={}", manifest.cluster),
                    ],
                    sources: vec![Source::file(file, SnapshotPath::from(MANIFEST_PATH))],
                    parent: None,
                };
                let stored = repository.archive(&archive, hand)?;
                Ok((manifest, totals, sha256, stored))
            })
            .await?;
        let mut point = point_of(&manifest, totals, frozen_at, self.clock().now());
        point.manifest_snapshot = stored.snapshot.0;
        point.manifest_sha256 = sha256;
        point.added_bytes = signed(added + stored.added_bytes);
        for error in manifest.errors.iter().take(LOGGED) {
            job.log(format!("not in it: {}: {}", error.path, error.message));
        }
        for loss in manifest.losses.iter().filter(|loss| !loss.is_severe()) {
            job.log(format!(
                "source {} has shrunk: {}",
                loss.source, loss.message
            ));
        }
        Ok((point, manifest))
    }

    /// Checks the structure, and reads manifest and dumps back.
    pub(super) async fn verify_new(
        &self,
        job: &Job,
        mut point: RestorePoint,
        manifest: Manifest,
        repository: &Arc<dyn Repository>,
    ) -> anyhow::Result<RestorePoint> {
        let sound = self
            .check_structure(job, Some(point.id), repository)
            .await?;
        let wanted = point.clone();
        let (of, total) = (repository.clone(), point.dump_bytes.max(0).unsigned_abs());
        let beside = self.beside();
        let read = job
            .step("read-back", total, move |hand| {
                read_back::read_back(&*of, &wanted, &manifest, &beside, hand)
            })
            .await?;
        match read {
            ReadBack::Same => point.verified_at = Some(self.clock().now()),
            ReadBack::Differs(what) => return Err(Differs(what).into()),
        }
        match sound && !self.is_damage_known().await? {
            true => Ok(point),
            false => self.doubt(job, point, repository).await,
        }
    }

    /// Writes the point with its evidence, in one transaction: from now on it counts.
    async fn conclude(
        &self,
        job: &Job,
        mut point: RestorePoint,
        repository: &Arc<dyn Repository>,
    ) -> anyhow::Result<Made> {
        let of = repository.clone();
        let usage = job.step("usage", 0, move |_| Ok(of.usage()?)).await?;
        // Before it counts here: a new machine would take it for what a failed run has left.
        self.tell_verified(job, &point, repository).await?;
        point.phases = job.phases();
        let mut tx = job.begin().await?;
        tx.point_put(&point).await?;
        tx.evidence_insert(&Evidence {
            id: Uuid::now_v7(),
            level: Level::Read,
            finding: Finding::Passed,
            point: Some(point.id),
            place: None,
            run: job.name(),
            at: tx.now(),
            took_ms: point
                .phases
                .iter()
                .filter(|phase| phase.phase == "read-back")
                .map(|phase| phase.took_ms)
                .sum(),
            files: 2,
            bytes: point.dump_bytes,
            message:
                "manifest and dumps read back from the repository: their hashes are as they were"
                    .to_owned(),
        })
        .await?;
        tx.set_value(super::USAGE_KEY, &RepositoryUsage::from(usage))
            .await?;
        tx.repository_release(job.run()).await?;
        tx.commit().await?;
        Ok(Made::point(point))
    }
}

/// Each dump, as what may not come back.
pub(super) fn dumps_of(manifest: &Manifest) -> Vec<FileError> {
    let sources = manifest.sources.iter();
    let dumps = sources.filter_map(|source| source.dump.as_ref());
    let error = |dump: &DumpRecord| FileError {
        path: dump.path.clone(),
        message: String::new(),
    };
    dumps.map(error).collect()
}

/// Nothing is missing where a socket is: it is made by what listens.
fn tell_special(job: &Job, archived: &Archived) {
    if archived.special_count == 0 {
        return;
    }
    let named = archived.special.iter().take(SPECIAL_SHOWN);
    let named: Vec<String> = named.map(ToString::to_string).collect();
    job.log(format!(
        "{} devices, sockets and fifos are stored by their names alone, and never read: {}",
        archived.special_count,
        named.join(", ")
    ));
}

pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// That a snapshot is of these ids.
pub(super) fn snapshot_id(id: &str) -> SnapshotId {
    SnapshotId(id.to_owned())
}
