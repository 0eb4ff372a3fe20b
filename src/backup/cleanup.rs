//! `backup-cleanup`: forgets points that retention lets go, prunes in two phases, rotates exports, and sweeps what
//! killed runs have left. The plan with its reasons is always stored, in the run's log.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use anyhow::bail;
use jiff::{SignedDuration, Timestamp};

use super::{
    Backups, Made, export_run,
    full::{signed, snapshot_id},
    keeping::{PolicyPlan, going, may_be_done, thinned_key},
    leftovers::{leftovers, markers_of, of_removed},
    places::Place,
    repository::{Pruned, Repository, Snapshot, SnapshotId},
    staging,
    work::{Job, is_damage},
};
use crate::{
    domain::backup::{
        PolicyKind,
        figures::RepositoryUsage,
        point::{NOT_FOUND_AT_RESTORE, RestorePoint},
    },
    store::LeaseMode,
};

/// How long what nobody refers to stays: longer than any backup that may refer to it by then.
const PRUNE_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How old what a killed run has left must be.
const LEFT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How long points that were removed, and evidence, are remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 400);
/// Since when each policy's retention is frozen, by the policy's id.
pub(super) const FROZEN_KEY: &str = "backup_retention_frozen";
pub(super) type FrozenSince = BTreeMap<String, Timestamp>;
/// Decisions that the log tells, and exports that stay which the run's message tells.
const LOGGED: usize = 2000;
const TOLD: usize = 5;

impl Backups {
    /// Removes what retention lets go. `confirmed`: also where that is much.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn clean_up(&self, job: &Job, confirmed: bool) -> anyhow::Result<Made> {
        self.lease(job, Place::Primary, LeaseMode::Exclusive)
            .await?;
        let plans = self.plan_retention(None, None).await?;
        tell(job, &plans);
        self.note_frozen(job, &plans).await?;
        // What nobody has confirmed stays; what goes by other policies goes all the same.
        let gone = going(&plans, confirmed);
        let wait = plans.iter().filter(|plan| !may_be_done(plan, confirmed));
        let unconfirmed = wait.map(|plan| plan.unconfirmed().to_string());
        let mut failed: Vec<String> = unconfirmed.collect();
        let of = |kind: PolicyKind| {
            gone.iter()
                .filter(move |(point, _)| point.kind == kind)
                .cloned()
        };
        let exports: Vec<_> = of(PolicyKind::Export).collect();
        let exported = self.remove_exports(job, &exports, &mut failed).await?;
        let full: Vec<_> = of(PolicyKind::Full).collect();
        let (forgotten, pruned) = self
            .clean_place(job, Place::Primary, &full, &mut failed)
            .await?;
        let mut archived = 0;
        if self.settings().config.archive.is_some() {
            let archives: Vec<_> = of(PolicyKind::Archive).collect();
            // The second location may be away, such as a disk in a drawer: the first is cleaned all the same.
            match self
                .clean_archive(job, &archives, confirmed, &mut failed)
                .await
            {
                Ok(count) => archived = count,
                Err(error) if super::work::is_stopped(&error) => return Err(error),
                Err(error) => failed.push(format!("the archive could not be cleaned: {error:#}")),
            }
        }
        let swept = self.sweep(job, &mut failed).await?;
        let verb = if job.dry_run() {
            "would go"
        } else {
            "are gone"
        };
        let mut message = format!(
            "{forgotten} restore points, {exported} exports and {archived} archives {verb}; {} bytes freed, {} bytes \
             marked; {swept} leftovers swept",
            pruned.removed_bytes, pruned.marked_bytes
        );
        let nothing = forgotten + exported + archived + swept == 0
            && pruned.removed_bytes == 0
            && pruned.marked_bytes == 0;
        let frozen: Vec<&str> = plans
            .iter()
            .filter_map(|plan| plan.frozen.as_deref())
            .collect();
        if let Some(why) = frozen.first() {
            message.push_str(&format!("; retention is frozen: {why}"));
        }
        let made = match (nothing, failed.is_empty()) {
            (_, false) => Made::partial(format!("{message}; {}", failed.join("; "))),
            (true, true) => Made::nothing(message),
            (false, true) => Made::worked(message),
        };
        Ok(made
            .count("points_removed", signed(forgotten + exported + archived))
            .count("bytes_freed", signed(pruned.removed_bytes))
            .count("bytes_marked", signed(pruned.marked_bytes)))
    }

    async fn clean_archive(
        &self,
        job: &Job,
        gone: &[(RestorePoint, String)],
        confirmed: bool,
        failed: &mut Vec<String>,
    ) -> anyhow::Result<u64> {
        self.lease(job, Place::Archive, LeaseMode::Exclusive)
            .await?;
        let gone = self.go_still(job, gone, confirmed).await?;
        let cleaned = self.clean_place(job, Place::Archive, &gone, failed);
        Ok(cleaned.await?.0)
    }

    /// Those that go by a plan of now as well: the first was made hours ago, and what has been found damaged since may leave
    /// these as the only whole ones.
    async fn go_still(
        &self,
        job: &Job,
        gone: &[(RestorePoint, String)],
        confirmed: bool,
    ) -> anyhow::Result<Vec<(RestorePoint, String)>> {
        if gone.is_empty() {
            return Ok(Vec::new());
        }
        let plans = self.plan_retention(None, None).await?;
        let mut still = going(&plans, confirmed);
        still.retain(|(point, _)| gone.iter().any(|(gone, _)| gone.id == point.id));
        if still.len() < gone.len() {
            job.log(format!(
                "{} copies stay that were to go: what is known of the others has changed meanwhile",
                gone.len() - still.len()
            ));
        }
        Ok(still)
    }

    /// Forgets these points and what belongs to none, and prunes. `failed` hears what could not be done besides.
    async fn clean_place(
        &self,
        job: &Job,
        place: Place,
        gone: &[(RestorePoint, String)],
        failed: &mut Vec<String>,
    ) -> anyhow::Result<(u64, Pruned)> {
        let repository = job
            .wait("open", self.repository(place, job.cancel()))
            .await?;
        self.refuse_foreign_locks(job, &repository).await?;
        let of = repository.clone();
        let listed = job.step("snapshots", 0, move |_| {
            let written = match place {
                Place::Primary => HashMap::new(),
                // What is as old as its original may have been copied just now.
                Place::Archive => of.written()?.into_iter().collect(),
            };
            Ok((of.snapshots()?, written))
        });
        let (snapshots, written) = listed.await?;
        let (now, dry_run) = (self.clock().now(), job.dry_run());
        // Of this one alone: a copy may have its original's ids, as where one repository was copied to be the other.
        let there = self.points_in(place).await?;
        let cluster = &self.settings().cluster;
        let mut orphans = leftovers(&snapshots, &there, cluster, now, &written);
        orphans.extend(self.left_of_removed(place, &snapshots, &there).await?);
        for orphan in &orphans {
            job.log(format!(
                "snapshot {} belongs to no restore point, and goes",
                orphan.0
            ));
        }
        if !dry_run {
            // Written down first: a point whose snapshot is gone must not look as if it could be restored.
            self.mark_removed(job, gone).await?;
            // A snapshot may be that of two points, as where one was archived twice.
            let stay: HashSet<&str> = there
                .iter()
                .filter(|point| !gone.iter().any(|(gone, _)| gone.id == point.id))
                .flat_map(|point| [point.snapshot.as_str(), point.manifest_snapshot.as_str()])
                .collect();
            let mut forget: HashSet<SnapshotId> = gone
                .iter()
                .flat_map(|(point, _)| [&point.manifest_snapshot, &point.snapshot])
                .filter(|id| !stay.contains(id.as_str()))
                .map(|id| snapshot_id(id))
                .filter(|id| snapshots.iter().any(|snapshot| snapshot.id == *id))
                .chain(orphans)
                .collect();
            forget.extend(markers_of(&snapshots, &forget));
            let forget: Vec<SnapshotId> = forget.into_iter().collect();
            let of = repository.clone();
            job.step("forget", 0, move |_| Ok(of.forget(&forget)?))
                .await?;
        }
        let of = repository.clone();
        let pruned = job
            .step("prune", 0, move |hand| {
                Ok(of.prune(PRUNE_GRACE, dry_run, now, hand)?)
            })
            .await;
        let pruned = match pruned {
            // Space is freed again once nothing refers to what is lost.
            Err(error) if is_damage(&error) => {
                failed.push(format!("nothing was pruned: {error:#}"));
                Pruned::default()
            }
            pruned => pruned?,
        };
        if place == Place::Primary {
            self.note_usage(job, &repository).await?;
        }
        Ok((gone.len() as u64, pruned))
    }

    /// Snapshots of points that are written down as removed: by hand, or by a cleanup before this one that ended in
    /// between.
    async fn left_of_removed(
        &self,
        place: Place,
        snapshots: &[Snapshot],
        there: &[RestorePoint],
    ) -> anyhow::Result<Vec<SnapshotId>> {
        let mut removed = self.store().points_removed().await?;
        removed.retain(|point| {
            Place::of(point.kind) == Some(place) && point.remove_reason != NOT_FOUND_AT_RESTORE
        });
        Ok(of_removed(snapshots, there, &removed))
    }

    /// Since when each policy's retention is frozen, so that whoever looks knows for how long.
    async fn note_frozen(&self, job: &Job, plans: &[PolicyPlan]) -> anyhow::Result<()> {
        if job.dry_run() {
            return Ok(());
        }
        let mut tx = job.begin().await?;
        let before: FrozenSince = self.store().value(FROZEN_KEY).await?.unwrap_or_default();
        let frozen = plans.iter().filter(|plan| plan.frozen.is_some());
        let since = frozen.map(|plan| {
            let known = before.get(&plan.policy).copied();
            (plan.policy.clone(), known.unwrap_or(tx.now()))
        });
        let since: FrozenSince = since.collect();
        if since != before {
            tx.set_value(FROZEN_KEY, &since).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn note_usage(&self, job: &Job, repository: &Arc<dyn Repository>) -> anyhow::Result<()> {
        let of = repository.clone();
        let usage = job.step("usage", 0, move |_| Ok(of.usage()?)).await?;
        let mut tx = job.begin().await?;
        tx.set_value(super::USAGE_KEY, &RepositoryUsage::from(usage))
            .await?;
        tx.commit().await?;
        Ok(())
    }

    async fn mark_removed(&self, job: &Job, gone: &[(RestorePoint, String)]) -> anyhow::Result<()> {
        for portion in gone.chunks(100) {
            let mut tx = job.begin().await?;
            for (point, why) in portion {
                let mut point = tx.point_locked(point.id).await?;
                if point.pin.is_some() {
                    bail!(
                        "{} was pinned meanwhile: the next cleanup plans anew",
                        point.resource_name()
                    );
                }
                point.removed_at = Some(tx.now());
                point.remove_reason.clone_from(why);
                tx.point_put(&point).await?;
            }
            let policies: HashSet<&str> =
                portion.iter().map(|(one, _)| one.policy.as_str()).collect();
            for policy in policies {
                let now = tx.now();
                tx.set_value(&thinned_key(policy), &now).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Removes exports, and the files of those that are written down as removed and could not be. `failed` hears what stays.
    async fn remove_exports(
        &self,
        job: &Job,
        gone: &[(RestorePoint, String)],
        failed: &mut Vec<String>,
    ) -> anyhow::Result<u64> {
        if job.dry_run() {
            return Ok(gone.len() as u64);
        }
        self.mark_removed(job, gone).await?;
        let there = self.store().points_there().await?;
        let there: HashSet<&str> = there.iter().map(|point| point.file.as_str()).collect();
        let mut removed = self.store().points_removed().await?;
        removed.retain(|point| {
            let is_ours = point.remove_reason != NOT_FOUND_AT_RESTORE;
            point.kind == PolicyKind::Export && is_ours && !there.contains(point.file.as_str())
        });
        let root = self.settings().config.exports.clone();
        let left = job.step("exports", 0, move |_| {
            let files = removed.iter().filter(|point| !point.file.is_empty());
            let left = files.filter_map(|point| export_run::remove(&root, &point.file).err());
            Ok(left.map(|error| format!("{error:#}")).collect::<Vec<_>>())
        });
        let left = left.await?;
        for one in left.iter().skip(TOLD).take(LOGGED) {
            job.log(one);
        }
        let more = left.len().saturating_sub(TOLD);
        failed.extend(left.into_iter().take(TOLD));
        failed.extend((0 < more).then(|| format!("and {more} more exports stay, as the log says")));
        Ok(gone.len() as u64)
    }

    /// What killed runs have left on the disk and in the database's server. `failed` hears what stays.
    async fn sweep(&self, job: &Job, failed: &mut Vec<String>) -> anyhow::Result<u64> {
        let mut alive = self.store().runs_under_way().await?;
        alive.push(job.run());
        let (root, dry_run) = (self.settings().config.staging.clone(), job.dry_run());
        let staged = job.step("sweep", 0, move |_| {
            staging::sweep(&root, LEFT_FOR, &alive, dry_run)
        });
        let mut swept = vec![staged.await];
        swept.push(self.sweep_scratch(job).await);
        swept.push(self.sweep_given(job).await);
        // Backups need not wait for what lies on disks that may hang.
        let mut tx = job.begin().await?;
        tx.repository_release(job.run()).await?;
        tx.commit().await?;
        swept.push(self.sweep_restores(job, None).await);
        let mut count = 0;
        for swept in swept {
            match swept {
                Ok(swept) => {
                    count += swept.count;
                    failed.extend(swept.failed);
                }
                Err(error) if super::work::is_stopped(&error) => return Err(error),
                // What could not be looked for in one place is swept in the others all the same.
                Err(error) => failed.push(format!("not all that was left is gone: {error:#}")),
            }
        }
        if !dry_run {
            let mut tx = job.begin().await?;
            let before = tx.now().saturating_sub(REMEMBERED)?;
            tx.points_prune(before).await?;
            tx.evidence_prune(before).await?;
            tx.commit().await?;
        }
        Ok(count)
    }
}

fn tell(job: &Job, plans: &[PolicyPlan]) {
    let mut left = LOGGED;
    for plan in plans {
        if let Some(why) = &plan.frozen {
            job.log(format!("{}: nothing is removed: {why}", plan.policy));
        }
        for decision in plan.plan.decisions.iter().take(left) {
            let word = if decision.keep { "keep" } else { "remove" };
            job.log(format!(
                "{}: {word} restorePoints/{}: {}",
                plan.policy,
                decision.id,
                decision.reasons.join("; ")
            ));
        }
        left = left.saturating_sub(plan.plan.decisions.len());
    }
}
