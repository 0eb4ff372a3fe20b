//! `BackupService`: a line for each call; what they do is in `backup_policies`, `backup_points`, `backup_entries`,
//! `backup_restores` and `watch_backup`.

use tonic::{Request, Response};

use super::{Api, Feed, Reply, convert, deadline::Listens};
use crate::pb::{self, backup_service_server::BackupService};

#[tonic::async_trait]
impl BackupService for Api {
    type WatchBackupStream = Feed<pb::WatchBackupResponse>;
    type ReadRestorePointFileStream = Feed<pb::ReadRestorePointFileResponse>;

    async fn list_restore_point_entries(
        &self,
        request: Request<pb::ListRestorePointEntriesRequest>,
    ) -> Reply<pb::ListRestorePointEntriesResponse> {
        self.answer_list_entries(request.into_inner()).await
    }

    async fn read_restore_point_file(
        &self,
        request: Request<pb::ReadRestorePointFileRequest>,
    ) -> Reply<Self::ReadRestorePointFileStream> {
        self.answer_read_file(request).await
    }

    async fn get_backup_statistics(
        &self,
        _request: Request<pb::GetBackupStatisticsRequest>,
    ) -> Reply<pb::GetBackupStatisticsResponse> {
        let report = self.backups.report_now().await?;
        Ok(Response::new(pb::GetBackupStatisticsResponse {
            statistics: Some(convert::backup_statistics(&report.figures)),
        }))
    }

    async fn list_backup_policies(
        &self,
        request: Request<pb::ListBackupPoliciesRequest>,
    ) -> Reply<pb::ListBackupPoliciesResponse> {
        self.answer_list_policies(request.into_inner()).await
    }

    async fn get_backup_policy(
        &self,
        request: Request<pb::GetBackupPolicyRequest>,
    ) -> Reply<pb::GetBackupPolicyResponse> {
        self.answer_get_policy(request.into_inner()).await
    }

    async fn create_backup_policy(
        &self,
        request: Request<pb::CreateBackupPolicyRequest>,
    ) -> Reply<pb::CreateBackupPolicyResponse> {
        self.answer_create_policy(request).await
    }

    async fn update_backup_policy(
        &self,
        request: Request<pb::UpdateBackupPolicyRequest>,
    ) -> Reply<pb::UpdateBackupPolicyResponse> {
        self.answer_update_policy(request).await
    }

    async fn delete_backup_policy(
        &self,
        request: Request<pb::DeleteBackupPolicyRequest>,
    ) -> Reply<pb::DeleteBackupPolicyResponse> {
        self.answer_delete_policy(request).await
    }

    async fn list_backup_sources(
        &self,
        request: Request<pb::ListBackupSourcesRequest>,
    ) -> Reply<pb::ListBackupSourcesResponse> {
        self.answer_list_sources(request.into_inner())
    }

    async fn run_backup(
        &self,
        request: Request<pb::RunBackupRequest>,
    ) -> Reply<pb::RunBackupResponse> {
        self.answer_run_backup(request).await
    }

    async fn list_restore_points(
        &self,
        request: Request<pb::ListRestorePointsRequest>,
    ) -> Reply<pb::ListRestorePointsResponse> {
        self.answer_list_points(request.into_inner()).await
    }

    async fn get_restore_point(
        &self,
        request: Request<pb::GetRestorePointRequest>,
    ) -> Reply<pb::GetRestorePointResponse> {
        self.answer_get_point(request.into_inner()).await
    }

    async fn pin_restore_point(
        &self,
        request: Request<pb::PinRestorePointRequest>,
    ) -> Reply<pb::PinRestorePointResponse> {
        self.answer_pin_point(request).await
    }

    async fn remove_restore_point(
        &self,
        request: Request<pb::RemoveRestorePointRequest>,
    ) -> Reply<pb::RemoveRestorePointResponse> {
        self.answer_remove_point(request).await
    }

    async fn accept_restore_point(
        &self,
        request: Request<pb::AcceptRestorePointRequest>,
    ) -> Reply<pb::AcceptRestorePointResponse> {
        self.answer_accept_point(request).await
    }

    async fn verify_restore_point(
        &self,
        request: Request<pb::VerifyRestorePointRequest>,
    ) -> Reply<pb::VerifyRestorePointResponse> {
        self.answer_verify_point(request).await
    }

    async fn list_backup_evidence(
        &self,
        request: Request<pb::ListBackupEvidenceRequest>,
    ) -> Reply<pb::ListBackupEvidenceResponse> {
        self.answer_list_evidence(request.into_inner()).await
    }

    async fn plan_retention(
        &self,
        request: Request<pb::PlanRetentionRequest>,
    ) -> Reply<pb::PlanRetentionResponse> {
        self.answer_plan_retention(request.into_inner()).await
    }

    async fn apply_retention(
        &self,
        request: Request<pb::ApplyRetentionRequest>,
    ) -> Reply<pb::ApplyRetentionResponse> {
        self.answer_apply_retention(request).await
    }

    async fn plan_restore(
        &self,
        request: Request<pb::PlanRestoreRequest>,
    ) -> Reply<pb::PlanRestoreResponse> {
        self.answer_plan_restore(request).await
    }

    async fn execute_restore(
        &self,
        request: Request<pb::ExecuteRestoreRequest>,
    ) -> Reply<pb::ExecuteRestoreResponse> {
        self.answer_execute_restore(request).await
    }

    async fn watch_backup(
        &self,
        request: Request<pb::WatchBackupRequest>,
    ) -> Reply<Self::WatchBackupStream> {
        let listens = Listens::of(&request);
        let feed = self.backup_feed(request.into_inner(), listens).await?;
        Ok(Response::new(feed))
    }
}
