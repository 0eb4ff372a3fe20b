//! `DocumentService`: a line for each call; what they do is in `document_reads`, `document_verbs`,
//! `document_update`, `content` and `register`.

use tonic::{Request, Response, Streaming};

use super::{Api, Feed, Reply, Shared, deadline::Listens};
use crate::pb::{self, document_service_server::DocumentService};

#[tonic::async_trait]
impl DocumentService for Api {
    type WatchDocumentsStream = Feed<Shared<pb::WatchDocumentsResponse>>;
    type ImportDocumentsStream = Feed<pb::ImportDocumentsResponse>;
    type ExportDocumentsStream = Feed<pb::ExportDocumentsResponse>;
    type DownloadContentStream = Feed<pb::DownloadContentResponse>;

    async fn list_documents(
        &self,
        request: Request<pb::ListDocumentsRequest>,
    ) -> Reply<pb::ListDocumentsResponse> {
        self.answer_list_documents(request.into_inner()).await
    }

    async fn get_document(
        &self,
        request: Request<pb::GetDocumentRequest>,
    ) -> Reply<pb::GetDocumentResponse> {
        self.answer_get_document(request.into_inner()).await
    }

    async fn list_document_history(
        &self,
        request: Request<pb::ListDocumentHistoryRequest>,
    ) -> Reply<pb::ListDocumentHistoryResponse> {
        self.answer_list_document_history(request.into_inner())
            .await
    }

    async fn create_document(
        &self,
        request: Request<pb::CreateDocumentRequest>,
    ) -> Reply<pb::CreateDocumentResponse> {
        self.answer_create_document(request).await
    }

    async fn create_version(
        &self,
        request: Request<pb::CreateVersionRequest>,
    ) -> Reply<pb::CreateVersionResponse> {
        self.answer_create_version(request).await
    }

    async fn update_document(
        &self,
        request: Request<pb::UpdateDocumentRequest>,
    ) -> Reply<pb::UpdateDocumentResponse> {
        self.answer_update_document(request).await
    }

    async fn submit_document(
        &self,
        request: Request<pb::SubmitDocumentRequest>,
    ) -> Reply<pb::SubmitDocumentResponse> {
        self.answer_submit_document(request).await
    }

    async fn start_review(
        &self,
        request: Request<pb::StartReviewRequest>,
    ) -> Reply<pb::StartReviewResponse> {
        self.answer_start_review(request).await
    }

    async fn pass_review(
        &self,
        request: Request<pb::PassReviewRequest>,
    ) -> Reply<pb::PassReviewResponse> {
        self.answer_pass_review(request).await
    }

    async fn reject_document(
        &self,
        request: Request<pb::RejectDocumentRequest>,
    ) -> Reply<pb::RejectDocumentResponse> {
        self.answer_reject_document(request).await
    }

    async fn request_approval(
        &self,
        request: Request<pb::RequestApprovalRequest>,
    ) -> Reply<pb::RequestApprovalResponse> {
        self.answer_request_approval(request).await
    }

    async fn start_approval(
        &self,
        request: Request<pb::StartApprovalRequest>,
    ) -> Reply<pb::StartApprovalResponse> {
        self.answer_start_approval(request).await
    }

    async fn approve_document(
        &self,
        request: Request<pb::ApproveDocumentRequest>,
    ) -> Reply<pb::ApproveDocumentResponse> {
        self.answer_approve_document(request).await
    }

    async fn withdraw_document(
        &self,
        request: Request<pb::WithdrawDocumentRequest>,
    ) -> Reply<pb::WithdrawDocumentResponse> {
        self.answer_withdraw_document(request).await
    }

    async fn schedule_obsolescence(
        &self,
        request: Request<pb::ScheduleObsolescenceRequest>,
    ) -> Reply<pb::ScheduleObsolescenceResponse> {
        self.answer_schedule_obsolescence(request).await
    }

    async fn cancel_obsolescence(
        &self,
        request: Request<pb::CancelObsolescenceRequest>,
    ) -> Reply<pb::CancelObsolescenceResponse> {
        self.answer_cancel_obsolescence(request).await
    }

    async fn terminate_document(
        &self,
        request: Request<pb::TerminateDocumentRequest>,
    ) -> Reply<pb::TerminateDocumentResponse> {
        self.answer_terminate_document(request).await
    }

    async fn watch_documents(
        &self,
        request: Request<pb::WatchDocumentsRequest>,
    ) -> Reply<Self::WatchDocumentsStream> {
        let listens = Listens::of(&request);
        let feed = self
            .watch_documents_feed(request.into_inner(), listens)
            .await?;
        Ok(Response::new(feed))
    }

    async fn import_documents(
        &self,
        request: Request<Streaming<pb::ImportDocumentsRequest>>,
    ) -> Reply<Self::ImportDocumentsStream> {
        self.answer_import(request).await
    }

    async fn export_documents(
        &self,
        request: Request<pb::ExportDocumentsRequest>,
    ) -> Reply<Self::ExportDocumentsStream> {
        self.answer_export(request).await
    }

    async fn get_upload(
        &self,
        request: Request<pb::GetUploadRequest>,
    ) -> Reply<pb::GetUploadResponse> {
        self.answer_get_upload(request.into_inner()).await
    }

    async fn upload_content(
        &self,
        request: Request<Streaming<pb::UploadContentRequest>>,
    ) -> Reply<pb::UploadContentResponse> {
        self.answer_upload(request).await
    }

    async fn download_content(
        &self,
        request: Request<pb::DownloadContentRequest>,
    ) -> Reply<Self::DownloadContentStream> {
        self.answer_download(request).await
    }
}
