//! The documents of the scripted server.

use std::{collections::HashMap, pin::Pin};

use futures_util::{StreamExt as _, stream};
use prost::{Message, Name, bytes::Bytes};
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};
use watchbell_client::{json, pb};

use crate::fake::{
    Answers, Fake, next, server::document_service_server::DocumentService, streamed,
};

/// What there is, what is to go wrong, and what was asked.
#[derive(Default)]
pub(crate) struct Documents {
    pub(crate) documents: Vec<pb::Document>,
    pub(crate) history: Vec<pb::DocumentHistoryEntry>,
    pub(crate) rows: Vec<pb::DocumentRow>,
    pub(crate) watches: Answers<Vec<Result<pb::WatchDocumentsResponse, Status>>>,
    /// What was received, by hash; also what is not whole.
    pub(crate) contents: HashMap<String, Vec<u8>>,
    /// The next upload breaks off once so many bytes have come.
    pub(crate) upload_breaks_at: Option<usize>,
    /// The next download breaks off once so many bytes have gone.
    pub(crate) download_breaks_at: Option<usize>,
    /// The next import breaks off with its first rows.
    pub(crate) import_breaks: bool,
    pub(crate) listed: Vec<pb::ListDocumentsRequest>,
    pub(crate) histories: Vec<pb::ListDocumentHistoryRequest>,
    /// Verbs: the request's name, and the request.
    pub(crate) moved: Vec<(String, serde_json::Value)>,
    pub(crate) watched: Vec<pb::WatchDocumentsRequest>,
    /// Headers of uploads, and bytes that came behind each.
    pub(crate) uploads: Vec<(pb::UploadHeader, usize)>,
    pub(crate) downloads: Vec<pb::DownloadContentRequest>,
    pub(crate) imports: Vec<pb::ImportHeader>,
    pub(crate) imported: Vec<pb::DocumentRow>,
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The token of the next page, where there is one.
fn token(more: bool, at: usize) -> String {
    if more { at.to_string() } else { String::new() }
}

impl Fake {
    /// Keeps what was asked, and answers with a document.
    fn verb<M: Message + Name>(&self, request: Request<M>) -> Result<Option<pb::Document>, Status> {
        let (request, mut script) = self.open(request)?;
        let line = json::to_line(&request).unwrap();
        let asked = (M::NAME.to_owned(), serde_json::from_str(&line).unwrap());
        script.documents.moved.push(asked);
        Ok(Some(pb::Document {
            name: "documents/SOP-1@1.0".into(),
            title: "Cleaning \u{1b}[2J".into(),
            status: pb::DocumentStatus::PendingReview.into(),
            ..pb::Document::default()
        }))
    }
}

/// The verbs are alike but for their names. `async_trait` does not see what a macro makes, so this is
/// what it would make.
macro_rules! verb {
    ($method:ident, $request:ident, $response:ident) => {
        fn $method<'a, 'b>(&'a self, request: Request<pb::$request>) -> Answer<'b, pb::$response>
        where
            'a: 'b,
            Self: 'b,
        {
            let document = self.verb(request);
            let answer = document.map(|document| Response::new(pb::$response { document }));
            Box::pin(std::future::ready(answer))
        }
    };
}

type Answer<'b, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'b>>;

#[tonic::async_trait]
impl DocumentService for Fake {
    verb!(
        create_document,
        CreateDocumentRequest,
        CreateDocumentResponse
    );
    verb!(create_version, CreateVersionRequest, CreateVersionResponse);
    verb!(
        update_document,
        UpdateDocumentRequest,
        UpdateDocumentResponse
    );
    verb!(
        submit_document,
        SubmitDocumentRequest,
        SubmitDocumentResponse
    );
    verb!(start_review, StartReviewRequest, StartReviewResponse);
    verb!(pass_review, PassReviewRequest, PassReviewResponse);
    verb!(
        reject_document,
        RejectDocumentRequest,
        RejectDocumentResponse
    );
    verb!(
        request_approval,
        RequestApprovalRequest,
        RequestApprovalResponse
    );
    verb!(start_approval, StartApprovalRequest, StartApprovalResponse);
    verb!(
        approve_document,
        ApproveDocumentRequest,
        ApproveDocumentResponse
    );
    verb!(
        withdraw_document,
        WithdrawDocumentRequest,
        WithdrawDocumentResponse
    );
    verb!(
        schedule_obsolescence,
        ScheduleObsolescenceRequest,
        ScheduleObsolescenceResponse
    );
    verb!(
        cancel_obsolescence,
        CancelObsolescenceRequest,
        CancelObsolescenceResponse
    );
    verb!(
        terminate_document,
        TerminateDocumentRequest,
        TerminateDocumentResponse
    );

    async fn list_documents(
        &self,
        request: Request<pb::ListDocumentsRequest>,
    ) -> Result<Response<pb::ListDocumentsResponse>, Status> {
        let (request, mut script) = self.open(request)?;
        // One on a page, whatever was asked for.
        let at: usize = request.page_token.parse().unwrap_or(0);
        script.documents.listed.push(request);
        let documents = &script.documents.documents;
        let more = at + 1 < documents.len();
        Ok(Response::new(pb::ListDocumentsResponse {
            documents: documents.get(at).cloned().into_iter().collect(),
            next_page_token: token(more, at + 1),
        }))
    }

    async fn get_document(
        &self,
        request: Request<pb::GetDocumentRequest>,
    ) -> Result<Response<pb::GetDocumentResponse>, Status> {
        let (request, script) = self.open(request)?;
        let mut documents = script.documents.documents.iter();
        let document = documents.find(|document| document.name.starts_with(&request.name));
        let document = document.ok_or_else(|| Status::not_found("no such document"))?;
        Ok(Response::new(pb::GetDocumentResponse {
            document: Some(document.clone()),
        }))
    }

    async fn list_document_history(
        &self,
        request: Request<pb::ListDocumentHistoryRequest>,
    ) -> Result<Response<pb::ListDocumentHistoryResponse>, Status> {
        let (request, mut script) = self.open(request)?;
        let at: usize = request.page_token.parse().unwrap_or(0);
        let size = request.page_size as usize;
        script.documents.histories.push(request);
        let history = script.documents.history.iter();
        let entries: Vec<_> = history.skip(at).take(size).cloned().collect();
        let end = at + entries.len();
        let more = end < script.documents.history.len();
        Ok(Response::new(pb::ListDocumentHistoryResponse {
            entries,
            next_page_token: token(more, end),
        }))
    }

    async fn watch_documents(
        &self,
        request: Request<pb::WatchDocumentsRequest>,
    ) -> Result<Response<BoxStream<pb::WatchDocumentsResponse>>, Status> {
        let (request, mut script) = self.open(request)?;
        script.documents.watched.push(request);
        let messages = next(&mut script.documents.watches)?;
        Ok(Response::new(streamed(messages, script.streams_stay)))
    }

    async fn import_documents(
        &self,
        request: Request<Streaming<pb::ImportDocumentsRequest>>,
    ) -> Result<Response<BoxStream<pb::ImportDocumentsResponse>>, Status> {
        use pb::{import_documents_request::Message, import_documents_response::Message as Answer};
        let mut messages = self.admit(request)?;
        let mut answers = Vec::new();
        let mut summary = pb::ImportSummary::default();
        while let Some(message) = messages.message().await? {
            let mut script = self.script();
            let documents = &mut script.documents;
            let rows = match message.message.unwrap() {
                Message::Header(header) => {
                    documents.imports.push(header);
                    continue;
                }
                Message::Rows(rows) => rows.rows,
            };
            if std::mem::take(&mut documents.import_breaks) {
                return Err(Status::unavailable("gone"));
            }
            assert!(rows.len() <= 500);
            for row in rows {
                summary.row_count += 1;
                // As a server does that was told how days are written.
                if row.effective_date.contains('.') {
                    summary.note_count += 1;
                    answers.push(Answer::Note(pb::RowNote {
                        line: row.line,
                        number: row.number.clone(),
                        field: "effective_date".into(),
                        kind: pb::RowNoteKind::Day.into(),
                        note: "as 2026-12-01".into(),
                    }));
                }
                if row.title.is_empty() {
                    summary.bad_count += 1;
                    answers.push(Answer::BadRow(pb::BadRow {
                        line: row.line,
                        number: row.number,
                        field: "title".into(),
                        reason: "is required".into(),
                    }));
                } else {
                    summary.created_count += 1;
                    documents.imported.push(row);
                }
            }
        }
        answers.push(Answer::Summary(summary));
        let answers = answers.into_iter().map(|answer| {
            Ok(pb::ImportDocumentsResponse {
                message: Some(answer),
            })
        });
        Ok(Response::new(Box::pin(stream::iter(answers))))
    }

    async fn export_documents(
        &self,
        request: Request<pb::ExportDocumentsRequest>,
    ) -> Result<Response<BoxStream<pb::ExportDocumentsResponse>>, Status> {
        let (_, script) = self.open(request)?;
        let rows = script.documents.rows.clone();
        let messages = rows
            .into_iter()
            .map(|row| Ok(pb::ExportDocumentsResponse { rows: vec![row] }));
        Ok(Response::new(Box::pin(stream::iter(messages))))
    }

    async fn get_upload(
        &self,
        request: Request<pb::GetUploadRequest>,
    ) -> Result<Response<pb::GetUploadResponse>, Status> {
        let (request, script) = self.open(request)?;
        let received = script.documents.contents.get(&request.sha256);
        Ok(Response::new(pb::GetUploadResponse {
            complete: received.is_some_and(|bytes| sha256(bytes) == request.sha256),
            received_bytes: received.map_or(0, |bytes| bytes.len() as i64),
        }))
    }

    async fn upload_content(
        &self,
        request: Request<Streaming<pb::UploadContentRequest>>,
    ) -> Result<Response<pb::UploadContentResponse>, Status> {
        use pb::upload_content_request::Message;
        let mut messages = self.admit(request)?;
        let mut header = pb::UploadHeader::default();
        while let Some(message) = messages.message().await? {
            let mut script = self.script();
            let documents = &mut script.documents;
            match message.message.unwrap() {
                Message::Header(first) => {
                    let received = documents.contents.entry(first.sha256.clone()).or_default();
                    assert_eq!(first.offset, received.len() as i64);
                    documents.uploads.push((first.clone(), 0));
                    header = first;
                }
                Message::Data(bytes) => {
                    let received = documents.contents.entry(header.sha256.clone()).or_default();
                    received.extend_from_slice(&bytes);
                    let reached = received.len();
                    documents.uploads.last_mut().unwrap().1 += bytes.len();
                    if documents.upload_breaks_at.is_some_and(|at| reached >= at) {
                        documents.upload_breaks_at = None;
                        return Err(Status::unavailable("gone"));
                    }
                }
            }
        }
        let script = self.script();
        let received = script.documents.contents.get(&header.sha256).unwrap();
        if sha256(received) != header.sha256 {
            return Err(Status::invalid_argument("the content has another hash"));
        }
        Ok(Response::new(pb::UploadContentResponse {
            content: Some(pb::Content {
                sha256: header.sha256,
                size: received.len() as i64,
                file_name: header.file_name,
            }),
            document: None,
        }))
    }

    async fn download_content(
        &self,
        request: Request<pb::DownloadContentRequest>,
    ) -> Result<Response<BoxStream<pb::DownloadContentResponse>>, Status> {
        use pb::download_content_response::Message;
        let (request, mut script) = self.open(request)?;
        let documents = &mut script.documents;
        let found = documents
            .documents
            .iter()
            .find(|it| it.name == request.name);
        let content = found.and_then(|document| document.content.clone());
        let content = content.ok_or_else(|| Status::not_found("it has no content"))?;
        let all = documents.contents.get(&content.sha256).unwrap();
        let begin = request.offset as usize;
        let end = documents.download_breaks_at.take().unwrap_or(all.len());
        let pieces = all[begin..end].chunks(1_000);
        let mut messages = vec![Ok(Message::Header(content))];
        messages.extend(pieces.map(|piece| Ok(Message::Data(Bytes::copy_from_slice(piece)))));
        if end < all.len() {
            messages.push(Err(Status::unavailable("gone")));
        }
        documents.downloads.push(request);
        let messages = stream::iter(messages).map(|message| {
            message.map(|message| pb::DownloadContentResponse {
                message: Some(message),
            })
        });
        Ok(Response::new(Box::pin(messages)))
    }
}
