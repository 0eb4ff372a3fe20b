//! A server's backups, as its stories act on them: by RPC, and with restic as the witness.

use std::path::PathBuf;

use sea_orm::ConnectionTrait as _;
use tonic::Status;
use watchbell_client::pb;

use super::restic::Restic;
use crate::{
    contents::desk::{header_for, upload},
    support::{Server, Site, until},
};

/// The backups of one server.
#[derive(Debug)]
pub(crate) struct Vault<'a> {
    pub(crate) server: &'a Server,
    data: PathBuf,
}

impl<'a> Vault<'a> {
    pub(crate) fn of(server: &'a Server, site: &Site) -> Self {
        Self {
            server,
            data: site.data().to_owned(),
        }
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.data.join("backups/repository")
    }

    /// None where restic is not installed.
    pub(crate) fn restic(&self) -> Option<Restic> {
        let password = std::fs::read_to_string(self.data.join("backups/password")).unwrap();
        Restic::at(&self.repository(), password.trim())
    }

    /// A document with something in it.
    pub(crate) async fn document(&self, number: &str, content: &[u8]) {
        let document = pb::Document {
            number: number.to_owned(),
            title: number.to_owned(),
            ..pb::Document::default()
        };
        let request = pb::CreateDocumentRequest {
            document: Some(document),
            actor: "ann".to_owned(),
            ..pb::CreateDocumentRequest::default()
        };
        let mut documents = self.server.client.documents();
        documents.create_document(request).await.unwrap();
        let header = header_for(number, content);
        upload(&self.server.client, header, content).await.unwrap();
    }

    /// Runs a policy, and waits for its end.
    pub(crate) async fn back_up(&self, policy: &str) -> pb::Run {
        let run = self.ask(policy, true).await.unwrap();
        self.server.ended(&run.name).await
    }

    /// Runs a policy.
    pub(crate) async fn begin(&self, policy: &str) -> Result<pb::Run, Status> {
        self.ask(policy, false).await
    }

    async fn ask(&self, policy: &str, ignore_pause: bool) -> Result<pb::Run, Status> {
        let request = pb::RunBackupRequest {
            name: format!("backupPolicies/{policy}"),
            ignore_pause,
            ..pb::RunBackupRequest::default()
        };
        let answer = self.server.client.backups().run_backup(request).await?;
        Ok(answer.into_inner().run.unwrap())
    }

    pub(crate) async fn statistics(&self) -> pb::BackupStatistics {
        let request = pb::GetBackupStatisticsRequest {};
        let mut backups = self.server.client.backups();
        let answer = backups.get_backup_statistics(request).await.unwrap();
        answer.into_inner().statistics.unwrap()
    }

    /// Points that are there, newest first.
    pub(crate) async fn points(&self) -> Vec<pb::RestorePoint> {
        let request = pb::ListRestorePointsRequest::default();
        let mut backups = self.server.client.backups();
        let answer = backups.list_restore_points(request).await.unwrap();
        answer.into_inner().restore_points
    }

    /// The newest point, with all that is known of it.
    pub(crate) async fn newest(&self) -> pb::RestorePoint {
        let newest = self.points().await.into_iter().next().unwrap();
        self.point(&newest.name).await.0
    }

    pub(crate) async fn newest_of(&self, kind: pb::BackupKind) -> pb::RestorePoint {
        let points = self.points().await.into_iter();
        let mut of = points.filter(|point| point.kind() == kind);
        of.next().unwrap()
    }

    pub(crate) async fn point(&self, name: &str) -> (pb::RestorePoint, Vec<pb::BackupEvidence>) {
        let request = pb::GetRestorePointRequest {
            name: name.to_owned(),
        };
        let mut backups = self.server.client.backups();
        let answer = backups
            .get_restore_point(request)
            .await
            .unwrap()
            .into_inner();
        (answer.restore_point.unwrap(), answer.evidence)
    }

    /// Verifies the newest good point at the default levels.
    pub(crate) async fn drill(&self) -> pb::Run {
        self.verify("restorePoints/latest", pb::VerificationLevel::Unspecified)
            .await
    }

    pub(crate) async fn verify(&self, name: &str, level: pb::VerificationLevel) -> pb::Run {
        let request = pb::VerifyRestorePointRequest {
            name: name.to_owned(),
            level: level.into(),
            ..pb::VerifyRestorePointRequest::default()
        };
        let mut backups = self.server.client.backups();
        let answer = backups.verify_restore_point(request).await.unwrap();
        let run = answer.into_inner().run.unwrap();
        self.server.ended(&run.name).await
    }

    /// Verifies by the schedule's task, and waits for its end.
    pub(crate) async fn verify_by_schedule(&self) -> pb::Run {
        let run = self.server.trigger("verify-backups").await;
        self.server.ended(&run.name).await
    }

    pub(crate) async fn policies(&self) -> Vec<pb::BackupPolicy> {
        let request = pb::ListBackupPoliciesRequest::default();
        let mut backups = self.server.client.backups();
        let answer = backups.list_backup_policies(request).await.unwrap();
        answer.into_inner().policies
    }

    pub(crate) async fn create_policy(
        &self,
        id: &str,
        policy: pb::BackupPolicy,
    ) -> Result<pb::BackupPolicy, Status> {
        let request = pb::CreateBackupPolicyRequest {
            policy_id: id.to_owned(),
            policy: Some(policy),
            ..pb::CreateBackupPolicyRequest::default()
        };
        let mut backups = self.server.client.backups();
        let answer = backups.create_backup_policy(request).await?;
        Ok(answer.into_inner().policy.unwrap())
    }

    /// Makes a policy of full backups of these sources, of which the last three stay.
    pub(crate) async fn create_full(&self, id: &str, sources: &[&str]) {
        let policy = pb::BackupPolicy {
            kind: pb::BackupKind::Full.into(),
            sources: sources.iter().map(|name| (*name).to_owned()).collect(),
            retention: Some(pb::RetentionPolicy {
                keep_last: 3,
                ..pb::RetentionPolicy::default()
            }),
            ..pb::BackupPolicy::default()
        };
        self.create_policy(id, policy).await.unwrap();
    }

    pub(crate) async fn update_policy(
        &self,
        policy: pb::BackupPolicy,
        fields: &[&str],
    ) -> Result<pb::BackupPolicy, Status> {
        let paths = fields.iter().map(|field| (*field).to_owned()).collect();
        let request = pb::UpdateBackupPolicyRequest {
            policy: Some(policy),
            update_mask: Some(prost_types::FieldMask { paths }),
            ..pb::UpdateBackupPolicyRequest::default()
        };
        let mut backups = self.server.client.backups();
        let answer = backups.update_backup_policy(request).await?;
        Ok(answer.into_inner().policy.unwrap())
    }

    pub(crate) async fn delete_policy(&self, name: &str) -> Result<(), Status> {
        let request = pb::DeleteBackupPolicyRequest {
            name: name.to_owned(),
            ..pb::DeleteBackupPolicyRequest::default()
        };
        let mut backups = self.server.client.backups();
        backups.delete_backup_policy(request).await.map(drop)
    }

    pub(crate) async fn plan_retention(&self) -> pb::PlanRetentionResponse {
        let request = pb::PlanRetentionRequest::default();
        let mut backups = self.server.client.backups();
        let answer = backups.plan_retention(request).await.unwrap();
        answer.into_inner()
    }

    /// Neither staged files nor scratch databases stay. They are removed beside the run's end, by what gives way to all
    /// else.
    pub(crate) async fn leaves_nothing_behind(&self, site: &Site) {
        let staging = self.data.join("backups/staging");
        let what = format!("all that was in {} to be gone", staging.display());
        until(&what, async || {
            let mut left = std::fs::read_dir(&staging).into_iter().flatten();
            left.next().is_none().then_some(())
        })
        .await;
        if site.database.is_postgresql() {
            let db = site.database.connect(&self.data).await;
            let mut scheduler = self.server.client.scheduler();
            let info = scheduler.get_server_info(pb::GetServerInfoRequest {});
            let cluster = info.await.unwrap().into_inner().cluster_id;
            let cluster: String = cluster
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(12)
                .collect();
            let select = sea_orm::Statement::from_string(
                sea_orm::DbBackend::Postgres,
                format!(
                    "SELECT datname::text FROM pg_database WHERE datname LIKE 'watchbell\\_drill\\_{cluster}%'"
                ),
            );
            until("all scratch databases to be gone", async || {
                let left = db.query_all_raw(select.clone()).await.unwrap();
                left.is_empty().then_some(())
            })
            .await;
        }
    }

    /// A run once it has ended, or waits for its next attempt.
    pub(crate) async fn settled(&self, run: &str) -> pb::Run {
        let settled = [
            pb::RunState::Succeeded,
            pb::RunState::Failed,
            pb::RunState::RetryWait,
            pb::RunState::Cancelled,
            pb::RunState::TimedOut,
        ];
        until("the run to settle", async || {
            Some(self.server.run(run).await).filter(|run| settled.contains(&run.state()))
        })
        .await
    }

    /// Plans a restore of everything of the newest good point.
    pub(crate) async fn plan(&self, directory: &str) -> Result<pb::PlanRestoreResponse, Status> {
        let request = pb::PlanRestoreRequest {
            restore_point: "restorePoints/latest".to_owned(),
            directory: directory.to_owned(),
            ..pb::PlanRestoreRequest::default()
        };
        let answer = self.server.client.backups().plan_restore(request).await?;
        Ok(answer.into_inner())
    }

    /// Restores by a plan, and waits for the end.
    pub(crate) async fn execute(&self, token: &str) -> pb::Run {
        let request = pb::ExecuteRestoreRequest {
            token: token.to_owned(),
            ..pb::ExecuteRestoreRequest::default()
        };
        let mut backups = self.server.client.backups();
        let answer = backups.execute_restore(request).await.unwrap();
        let run = answer.into_inner().run.unwrap();
        self.server.ended(&run.name).await
    }

    /// The lines of a run's log.
    pub(crate) async fn log(&self, run: &str) -> String {
        let request = pb::TailRunLogRequest {
            name: run.to_owned(),
            ..pb::TailRunLogRequest::default()
        };
        let mut runs = self.server.client.runs();
        let mut lines = runs.tail_run_log(request).await.unwrap().into_inner();
        let mut text = String::new();
        while let Some(message) = lines.message().await.unwrap() {
            if let Some(pb::tail_run_log_response::Message::Chunk(chunk)) = message.message {
                for line in chunk.lines {
                    text.push_str(&line.text);
                    text.push('\n');
                }
            }
        }
        text
    }
}
