//! Stubs.

use tonic::{Request, Status};

use super::{Api, Feed, Reply, Shared};
use crate::{error::Result, pb};

impl Api {
    pub(super) async fn answer_list_documents(
        &self,
        _: pb::ListDocumentsRequest,
    ) -> Reply<pb::ListDocumentsResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_get_document(
        &self,
        _: pb::GetDocumentRequest,
    ) -> Reply<pb::GetDocumentResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_list_document_history(
        &self,
        _: pb::ListDocumentHistoryRequest,
    ) -> Reply<pb::ListDocumentHistoryResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_create_document(
        &self,
        _: Request<pb::CreateDocumentRequest>,
    ) -> Reply<pb::CreateDocumentResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_create_version(
        &self,
        _: Request<pb::CreateVersionRequest>,
    ) -> Reply<pb::CreateVersionResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_submit_document(
        &self,
        _: Request<pb::SubmitDocumentRequest>,
    ) -> Reply<pb::SubmitDocumentResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_start_review(
        &self,
        _: Request<pb::StartReviewRequest>,
    ) -> Reply<pb::StartReviewResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_pass_review(
        &self,
        _: Request<pb::PassReviewRequest>,
    ) -> Reply<pb::PassReviewResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_reject_document(
        &self,
        _: Request<pb::RejectDocumentRequest>,
    ) -> Reply<pb::RejectDocumentResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_request_approval(
        &self,
        _: Request<pb::RequestApprovalRequest>,
    ) -> Reply<pb::RequestApprovalResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_start_approval(
        &self,
        _: Request<pb::StartApprovalRequest>,
    ) -> Reply<pb::StartApprovalResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_approve_document(
        &self,
        _: Request<pb::ApproveDocumentRequest>,
    ) -> Reply<pb::ApproveDocumentResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_withdraw_document(
        &self,
        _: Request<pb::WithdrawDocumentRequest>,
    ) -> Reply<pb::WithdrawDocumentResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_schedule_obsolescence(
        &self,
        _: Request<pb::ScheduleObsolescenceRequest>,
    ) -> Reply<pb::ScheduleObsolescenceResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_cancel_obsolescence(
        &self,
        _: Request<pb::CancelObsolescenceRequest>,
    ) -> Reply<pb::CancelObsolescenceResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn answer_terminate_document(
        &self,
        _: Request<pb::TerminateDocumentRequest>,
    ) -> Reply<pb::TerminateDocumentResponse> {
        Err(Status::unimplemented(""))
    }
    pub(super) async fn watch_documents_feed(
        &self,
        _: pb::WatchDocumentsRequest,
        _: std::time::Duration,
    ) -> Result<Feed<Shared<pb::WatchDocumentsResponse>>> {
        Err(crate::error::Error::Exhausted(String::new()))
    }
}
