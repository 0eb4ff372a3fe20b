//! The real server, and what is asked of its backups. Whatever does not come to what it is for is an error, and no figure.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, ensure};
use watchbell_client::{client::Client, pb};

use crate::{
    calls::expect_outcome,
    server::{Server, Site},
};

/// The real server, and what is asked of its backups.
pub(super) struct Ours {
    pub(super) server: Server,
    pub(super) client: Client,
    pub(super) data: PathBuf,
}

impl Ours {
    pub(super) async fn start(site: &Site) -> anyhow::Result<Self> {
        let server = site.start().await?;
        let client = Client::connect(&server.endpoint, &server.token).await?;
        Ok(Self {
            server,
            client,
            data: site.data(),
        })
    }

    pub(super) async fn policy(&self, id: &str, source: &str) -> anyhow::Result<()> {
        let request = pb::CreateBackupPolicyRequest {
            policy_id: id.to_owned(),
            policy: Some(pb::BackupPolicy {
                kind: pb::BackupKind::Full.into(),
                sources: vec![source.to_owned()],
                retention: Some(pb::RetentionPolicy {
                    keep_last: 10,
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.client.backups().create_backup_policy(request).await?;
        Ok(())
    }

    /// Runs the policy; the point that it made, and the seconds of the whole run.
    pub(super) async fn back_up(&self, policy: &str) -> anyhow::Result<(pb::RestorePoint, f64)> {
        let name = format!("backupPolicies/{policy}");
        let request = pb::RunBackupRequest {
            name: name.clone(),
            ..Default::default()
        };
        let mut backups = self.client.backups();
        let began = Instant::now();
        let asked = backups.run_backup(request).await?.into_inner();
        let (run, took) = self.worked(asked.run, began).await?;
        let request = pb::ListRestorePointsRequest {
            page_size: 1,
            policy: name,
            ..Default::default()
        };
        let points = backups.list_restore_points(request).await?.into_inner();
        let newest = points.restore_points.first().context("a point")?;
        let (point, _) = self.point(&newest.name).await?;
        expect_whole(&point, &run)?;
        Ok((point, took))
    }

    /// Seconds of reading every file of a point and comparing its hash, or of a drill; and what was found by it.
    pub(super) async fn verify(
        &self,
        point: &str,
        level: pb::VerificationLevel,
    ) -> anyhow::Result<(f64, Vec<pb::BackupEvidence>)> {
        let request = pb::VerifyRestorePointRequest {
            name: point.to_owned(),
            level: level.into(),
            ..Default::default()
        };
        let mut backups = self.client.backups();
        let began = Instant::now();
        let asked = backups.verify_restore_point(request).await?.into_inner();
        let (run, took) = self.worked(asked.run, began).await?;
        let (_, mut found) = self.point(point).await?;
        found.retain(|one| one.run == run.name);
        let levels = match level {
            // As the server takes it.
            pb::VerificationLevel::Unspecified => vec![
                pb::VerificationLevel::Drill,
                pb::VerificationLevel::Database,
            ],
            level => vec![level],
        };
        for level in levels {
            let passed = found.iter().any(|one| {
                one.level() == level
                    && one.result() == pb::VerificationResult::Passed
                    && 0 < one.file_count
                    && 0 < one.byte_count
            });
            let level = level.as_str_name();
            ensure!(passed, "{} has not passed {level}: {found:?}", run.name);
        }
        Ok((took, found))
    }

    /// Plans a restore of all of a point, against which nothing may stand.
    pub(super) async fn plan(
        &self,
        point: &str,
        name: &str,
    ) -> anyhow::Result<pb::PlanRestoreResponse> {
        self.plan_with(point, name, "").await
    }

    /// The same, with a new database into which that of the point is loaded, where it has a name.
    async fn plan_with(
        &self,
        point: &str,
        name: &str,
        new_database: &str,
    ) -> anyhow::Result<pb::PlanRestoreResponse> {
        let request = pb::PlanRestoreRequest {
            restore_point: point.to_owned(),
            directory: name.to_owned(),
            new_database: new_database.to_owned(),
            ..Default::default()
        };
        let mut backups = self.client.backups();
        let plan = backups.plan_restore(request).await?.into_inner();
        ensure!(
            plan.conflicts.is_empty() && 0 < plan.file_count,
            "{} files of {point} would be restored: {:?}",
            plan.file_count,
            plan.conflicts
        );
        Ok(plan)
    }

    /// Seconds of a restore, from the call to its end, without the plan.
    pub(super) async fn restore(&self, point: &str, name: &str) -> anyhow::Result<f64> {
        self.restore_with(point, name, "").await
    }

    /// The same, with the load of a new database, where it has a name.
    pub(super) async fn restore_with(
        &self,
        point: &str,
        name: &str,
        new_database: &str,
    ) -> anyhow::Result<f64> {
        let plan = self.plan_with(point, name, new_database).await?;
        let request = pb::ExecuteRestoreRequest {
            token: plan.token,
            ..Default::default()
        };
        let mut backups = self.client.backups();
        let began = Instant::now();
        let asked = backups.execute_restore(request).await?.into_inner();
        let (run, took) = self.worked(asked.run, began).await?;
        let restored = run.counters.get("files_restored").copied();
        ensure!(
            restored == Some(plan.file_count),
            "{restored:?} of {} files were restored: {}",
            plan.file_count,
            run.message
        );
        Ok(took)
    }

    /// Lists the uppermost directory of a point.
    pub(super) async fn look_into(&self, point: &str) -> anyhow::Result<()> {
        let request = pb::ListRestorePointEntriesRequest {
            name: point.to_owned(),
            ..Default::default()
        };
        let mut backups = self.client.backups();
        let page = backups.list_restore_point_entries(request).await?;
        ensure!(!page.get_ref().entries.is_empty(), "{point} is empty");
        Ok(())
    }

    /// A point, and what was found by those who verified it.
    async fn point(
        &self,
        name: &str,
    ) -> anyhow::Result<(pb::RestorePoint, Vec<pb::BackupEvidence>)> {
        let request = pb::GetRestorePointRequest {
            name: name.to_owned(),
        };
        let mut backups = self.client.backups();
        let answer = backups.get_restore_point(request).await?.into_inner();
        let point = answer.restore_point.context("a point")?;
        Ok((point, answer.evidence))
    }

    /// Waits for the end of a run, which must have done all that it is for; and says how many seconds that is from an instant.
    async fn worked(&self, run: Option<pb::Run>, since: Instant) -> anyhow::Result<(pb::Run, f64)> {
        let name = run.context("a run")?.name;
        let run = self.client.follow_backup(&name, |_| {}).await?;
        let took = since.elapsed().as_secs_f64();
        expect_outcome(&run, pb::RunOutcome::Worked)?;
        Ok((run, took))
    }
}

/// Fails unless a point was made by this run, lacks nothing and was read back.
fn expect_whole(point: &pb::RestorePoint, run: &pb::Run) -> anyhow::Result<()> {
    ensure!(
        point.run == run.name
            && point.state() == pb::RestorePointState::Complete
            && point.missing_count == 0
            && point.verify_time.is_some()
            && point.damage_time.is_none(),
        "{} should have made a whole point: {point:?}",
        run.name
    );
    Ok(())
}

/// Seconds of the archive itself.
pub(super) fn archived(point: &pb::RestorePoint) -> anyhow::Result<f64> {
    step(point, "archive")
}

/// Seconds of a phase of the run, which must have had it.
pub(super) fn step(point: &pb::RestorePoint, phase: &str) -> anyhow::Result<f64> {
    let of = point.phases.iter().filter(|one| one.phase == phase);
    let took: Vec<f64> = of
        .filter_map(|one| one.duration.as_ref())
        .map(|took| took.seconds as f64 + f64::from(took.nanos) / 1e9)
        .collect();
    ensure!(
        !took.is_empty(),
        "{} tells of no step {phase}: {:?}",
        point.name,
        point.phases
    );
    Ok(took.iter().sum())
}
