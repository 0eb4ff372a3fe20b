//! The real server, and what is asked of its backups.

use std::{path::PathBuf, time::Instant};

use anyhow::{Context as _, bail, ensure};
use watchbell_client::{client::Client, pb};

use crate::server::{Server, Site};

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

    /// Runs the policy; the point, and the seconds of the whole run.
    pub(super) async fn back_up(&self, policy: &str) -> anyhow::Result<(pb::RestorePoint, f64)> {
        let request = pb::RunBackupRequest {
            name: format!("backupPolicies/{policy}"),
            ..Default::default()
        };
        let run = self
            .client
            .backups()
            .run_backup(request)
            .await?
            .into_inner()
            .run;
        let took = self.ended(run).await?;
        let request = pb::ListRestorePointsRequest {
            page_size: 1,
            ..Default::default()
        };
        let points = self
            .client
            .backups()
            .list_restore_points(request)
            .await?
            .into_inner();
        let newest = points
            .restore_points
            .first()
            .context("a point")?
            .name
            .clone();
        let request = pb::GetRestorePointRequest { name: newest };
        let point = self
            .client
            .backups()
            .get_restore_point(request)
            .await?
            .into_inner();
        Ok((point.restore_point.context("a point")?, took))
    }

    /// Seconds of reading every file of a point and comparing its hash.
    pub(super) async fn verify(
        &self,
        point: &str,
        level: pb::VerificationLevel,
    ) -> anyhow::Result<f64> {
        let request = pb::VerifyRestorePointRequest {
            name: point.to_owned(),
            level: level.into(),
            ..Default::default()
        };
        let run = self
            .client
            .backups()
            .verify_restore_point(request)
            .await?
            .into_inner()
            .run;
        self.ended(run).await
    }

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
        Ok(backups.plan_restore(request).await?.into_inner())
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
        ensure!(plan.conflicts.is_empty(), "{:?}", plan.conflicts);
        let request = pb::ExecuteRestoreRequest {
            token: plan.token,
            ..Default::default()
        };
        let run = self
            .client
            .backups()
            .execute_restore(request)
            .await?
            .into_inner()
            .run;
        self.ended(run).await
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

    async fn ended(&self, run: Option<pb::Run>) -> anyhow::Result<f64> {
        let name = run.context("a run")?.name;
        let began = Instant::now();
        let run = self.client.follow_backup(&name, |_| {}).await?;
        let took = began.elapsed().as_secs_f64();
        if run.state() != pb::RunState::Succeeded {
            bail!("{name}: {}", run.message);
        }
        Ok(took)
    }
}

/// Seconds of the archive itself.
pub(super) fn archived(point: &pb::RestorePoint) -> f64 {
    step(point, "archive")
}

/// Seconds of a phase of the run.
pub(super) fn step(point: &pb::RestorePoint, phase: &str) -> f64 {
    let of = point.phases.iter().filter(|one| one.phase == phase);
    of.filter_map(|one| one.duration.as_ref())
        .map(|took| took.seconds as f64 + f64::from(took.nanos) / 1e9)
        .sum()
}
