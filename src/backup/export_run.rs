//! An export: a portable file, built from the newest verified point and not from the live system, so that it is a full
//! read-back as well.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use uuid::Uuid;

use super::{
    Backups, Made,
    export::{self, Exported},
    found::Found,
    full::{signed, snapshot_id},
    manifests::manifest_of,
    places::{Place, free_bytes},
    work::{Job, is_damage},
};
use crate::{
    clock::Stopwatch,
    domain::backup::{
        Finding, Level, PolicyKind,
        point::{Evidence, RestorePoint},
        policy::Policy,
    },
    store::LeaseMode,
};

impl Backups {
    /// Writes the newest verified point into a file of its own, and tests that.
    ///
    /// # Errors
    /// What stands in the way; no file of a final name was left then.
    pub(super) async fn run_export(&self, job: &Job, policy: &Policy) -> anyhow::Result<Made> {
        self.lease(job, Place::Primary, LeaseMode::Shared).await?;
        let good = self
            .store()
            .point_newest_good(PolicyKind::Full, None)
            .await?;
        let point = match good {
            Some(good) => good,
            None => self.drill_newest(job).await?,
        };
        let root = self.settings().config.exports.clone();
        let wanted = point.source_bytes.max(0).unsigned_abs();
        if let Some(free) = free_bytes(&root).await?.filter(|free| *free < wanted) {
            bail!(
                "{} has {free} bytes free, and {} has {wanted}: make room there",
                root.display(),
                point.resource_name()
            );
        }
        if job.dry_run() {
            return Ok(Made::nothing(format!(
                "{} would be exported",
                point.resource_name()
            )));
        }
        let repository = job
            .wait("open", self.repository(Place::Primary, job.cancel()))
            .await?;
        let (of, wanted, into) = (repository.clone(), point.clone(), root.clone());
        let beside = self.beside();
        let total = point.source_bytes.max(0).unsigned_abs();
        let watch = Stopwatch::start();
        let exported = job
            .step("export", total, move |hand| {
                let stored = manifest_of(&*of, &wanted, &beside)?;
                let reader = of.open(&snapshot_id(&wanted.snapshot))?;
                export::write(&into, &*reader, &stored, hand)
            })
            .await;
        let exported: Exported = match exported {
            Err(error) if is_damage(&error) => {
                let message = format!("{}: {error:#}", point.resource_name());
                let found = Found::broken(Level::Export, message);
                let now = self.clock().now();
                let mark = |point: &mut RestorePoint| point.found_damaged(now, &found.message);
                self.witness(job, Some(point.id), &watch, &found, mark)
                    .await?;
                return Err(error);
            }
            exported => exported?,
        };
        let left_out = exported.left_out.shown();
        if let Some(left_out) = &left_out {
            job.log(left_out);
        }
        let mut made = RestorePoint {
            id: Uuid::now_v7(),
            policy: policy.id.to_string(),
            kind: PolicyKind::Export,
            run: job.name(),
            created_at: self.clock().now(),
            // It was opened and tested, every hash, before it got its name.
            verified_at: Some(self.clock().now()),
            drilled_at: None,
            damage: None,
            snapshot: String::new(),
            manifest_snapshot: String::new(),
            manifest_sha256: String::new(),
            file: exported.file.clone(),
            file_sha256: exported.sha256.clone(),
            added_bytes: signed(exported.bytes),
            source_point: Some(point.id),
            pin: None,
            ..point.clone()
        };
        made.phases = job.phases();
        let mut tx = job.begin().await?;
        tx.point_put(&made).await?;
        tx.evidence_insert(&Evidence {
            id: Uuid::now_v7(),
            level: Level::Export,
            finding: Finding::Passed,
            point: Some(point.id),
            place: None,
            run: job.name(),
            at: tx.now(),
            took_ms: made.phases.iter().map(|phase| phase.took_ms).sum(),
            files: point.files,
            bytes: point.source_bytes,
            message: format!(
                "every file read from the repository, written to {}, and read again there{}",
                exported.file,
                left_out.map_or_else(String::new, |left_out| format!("; {left_out}"))
            ),
        })
        .await?;
        tx.repository_release(job.run()).await?;
        tx.commit().await?;
        Ok(Made::point(made))
    }
}

/// Removes an export and its checksum. Only what is named like one is.
///
/// # Errors
/// Where one cannot be removed.
pub(super) fn remove(root: &Path, file: &str) -> anyhow::Result<()> {
    if !export::is_export_name(file) {
        bail!("{file:?} is no name of an export: it stays");
    }
    for name in [file.to_owned(), format!("{file}.sha256")] {
        let path = root.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("could not remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}
