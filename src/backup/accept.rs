//! That what a point's sources have lost is as it should be: written into the repository beside the point's manifest, so
//! that whoever has nothing but the repository knows it, too.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};

use anyhow::{Context as _, bail};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Backups, Made,
    full::TAG,
    places::Place,
    repository::{Job as Archive, Repository, SnapshotId, Source},
    staging::Staging,
    work::{Job, Lasting, blocking},
};
use crate::{
    domain::backup::{PolicyKind, loss::Acceptance, manifest::SnapshotPath, point::RestorePoint},
    error::{Error, Result},
    store::LeaseMode,
};

/// Of a snapshot that says that a point was accepted.
pub(super) const ACCEPTED_TAG: &str = "accepted";
const ACCEPTED_PATH: &str = "/accepted.json";
/// The newest form that is understood.
const FORMAT: u32 = 1;
/// More than any has.
const BYTES_MAX: u64 = 1 << 20;
/// So much earlier than the data is the snapshot that is about it: the newest snapshot is always one of data.
const BEFORE: SignedDuration = SignedDuration::from_secs(2);

/// What stands in the repository.
#[derive(Debug, Serialize, Deserialize)]
struct Accepted {
    format: u32,
    point: Uuid,
    #[serde(flatten)]
    acceptance: Acceptance,
}

impl Backups {
    /// That there is something to accept about a point.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it has lost nothing.
    pub fn expect_losses(&self, point: &RestorePoint) -> Result<()> {
        let refuse = |what: String| Err(Error::invalid("name", what));
        if point.removed_at.is_some() {
            return refuse(format!("{} was removed", point.resource_name()));
        }
        if point.kind != PolicyKind::Full || point.open_losses().is_empty() {
            return refuse(format!(
                "the sources of {} have lost nothing: there is nothing to accept",
                point.resource_name()
            ));
        }
        Ok(())
    }

    /// Accepts what the sources of a point have lost: from now on others are compared with it.
    ///
    /// # Errors
    /// What stands in the way; nothing was accepted then.
    pub async fn accept(&self, job: &Job, id: Uuid) -> anyhow::Result<Made> {
        let point = self.store().point(id).await?;
        if let Err(error) = self.expect_losses(&point) {
            return Err(Lasting(error.to_string()).into());
        }
        if job.dry_run() {
            return Ok(Made::nothing("it could be accepted; nothing was written"));
        }
        let run = self.store().run(job.run()).await?;
        let accepted = Accepted {
            format: FORMAT,
            point: id,
            acceptance: Acceptance {
                principal: run.principal,
                reason: run.request_reason,
                at: self.clock().now(),
            },
        };
        self.lease(job, Place::Primary, LeaseMode::Shared).await?;
        let repository = job
            .wait("open", self.repository(Place::Primary, job.cancel()))
            .await?;
        self.refuse_foreign_locks(job, &repository).await?;
        let (root, run) = (self.settings().config.staging.clone(), job.run());
        let staging = blocking("staging", move || Staging::make(&root, run)).await??;
        let file = staging.path().join("accepted.json");
        let text = serde_json::to_vec(&accepted)?;
        let archive = archive_of(&point, file.clone())?;
        let written = job.step("accept", 0, move |hand| {
            let about = || format!("could not write {}", file.display());
            let mut new = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&file)
                .with_context(about)?;
            new.write_all(&text).with_context(about)?;
            Ok(repository.archive(&archive, hand)?)
        });
        let written = written.await;
        staging.remove().await;
        written?;
        let mut tx = job.begin().await?;
        let mut point = tx.point_locked(id).await?;
        if point.removed_at.is_some() {
            bail!("{} was removed meanwhile", point.resource_name());
        }
        point.accept(accepted.acceptance);
        tx.point_put(&point).await?;
        tx.repository_release(job.run()).await?;
        tx.commit().await?;
        Ok(Made::worked(format!(
            "{} is accepted: {}",
            point.resource_name(),
            named(&point)
        )))
    }
}

fn named(point: &RestorePoint) -> String {
    let each = point.losses.iter().take(3);
    let each: Vec<String> = each
        .map(|loss| format!("{}: {}", loss.source, loss.message))
        .collect();
    each.join("; ")
}

fn archive_of(point: &RestorePoint, from: std::path::PathBuf) -> anyhow::Result<Archive> {
    Ok(Archive {
        time: point.frozen_at.checked_sub(BEFORE)?,
        hostname: TAG.to_owned(),
        tags: vec![
            TAG.to_owned(),
            ACCEPTED_TAG.to_owned(),
            format!("policy={}", point.policy),
            format!("point={}", point.id),
            format!("snapshot={}", point.snapshot),
        ],
        sources: vec![Source {
            from,
            to: SnapshotPath::from(ACCEPTED_PATH),
            include: Vec::new(),
            exclude: Vec::new(),
            all_or_nothing: true,
            name_special: true,
        }],
        parent: None,
    })
}

/// Snapshots that say that a point was accepted.
///
/// # Errors
/// Where the repository cannot be read.
pub(super) fn markers_of(
    repository: &dyn Repository,
    point: Uuid,
) -> anyhow::Result<Vec<SnapshotId>> {
    let of = format!("point={point}");
    let is_marker = |tags: &[String]| tags.iter().any(|tag| tag == ACCEPTED_TAG);
    let snapshots = repository.snapshots()?.into_iter();
    let markers = snapshots.filter(|found| is_marker(&found.tags) && found.tags.contains(&of));
    Ok(markers.map(|found| found.id).collect())
}

/// What a snapshot says of the acceptance of a point.
///
/// # Errors
/// Where it says nothing of that one.
pub(super) fn acceptance_in(
    repository: &dyn Repository,
    snapshot: &SnapshotId,
    point: Uuid,
) -> anyhow::Result<Acceptance> {
    let reader = repository.open(snapshot)?;
    let entry = reader
        .entry(&SnapshotPath::from(ACCEPTED_PATH))?
        .with_context(|| format!("snapshot {} holds no acceptance", snapshot.0))?;
    if BYTES_MAX < entry.size {
        bail!("the acceptance in snapshot {} is too long", snapshot.0);
    }
    let mut text = Vec::new();
    let never = tokio_util::sync::CancellationToken::new();
    reader.read(&entry, &mut text, &never)?;
    let accepted: Accepted = serde_json::from_slice(&text)
        .with_context(|| format!("the acceptance in snapshot {} cannot be read", snapshot.0))?;
    if accepted.format != FORMAT || accepted.point != point {
        bail!("snapshot {} does not accept {point}", snapshot.0);
    }
    Ok(accepted.acceptance)
}
