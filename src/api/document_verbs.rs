//! What `DocumentService` does with documents: one is begun, or moved by a verb.

use prost::Message;
use tonic::{Request, Response};

use super::{Api, Reply, convert, names, request::Asked};
use crate::{
    domain::{
        Document,
        document::{Act, Key, Number, Version, day, key::Named},
    },
    error::{Error, Result},
    pb,
    records::{NewDocument, NextVersion},
};

impl Api {
    pub(super) async fn answer_create_document(
        &self,
        request: Request<pb::CreateDocumentRequest>,
    ) -> Reply<pb::CreateDocumentResponse> {
        let asked = Asked::new("CreateDocument", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let Some(document) = &body.document else {
            return Err(Error::invalid("document", "expected a document").into());
        };
        let new = new_document(document)?;
        let answer = |document: &Document| pb::CreateDocumentResponse {
            document: Some(convert::document(document)),
        };
        let encode = |document: &Document| answer(document).encode_to_vec();
        let remember = asked.remember(&encode);
        let done = self
            .documents
            .create(&asked.who, &body.actor, new, body.validate_only, remember)
            .await;
        asked.reply(self, done, answer).await
    }

    pub(super) async fn answer_create_version(
        &self,
        request: Request<pb::CreateVersionRequest>,
    ) -> Reply<pb::CreateVersionResponse> {
        let asked = Asked::new("CreateVersion", request, |body| &body.request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let named = Named::resource("name", &body.name)?;
        let next = NextVersion {
            major: body.major,
            title: body.title.clone(),
            reason: names::reason(body.reason.clone())?,
        };
        let answer = |document: &Document| pb::CreateVersionResponse {
            document: Some(convert::document(document)),
        };
        let encode = |document: &Document| answer(document).encode_to_vec();
        let remember = asked.remember(&encode);
        let done = self
            .documents
            .create_version(&asked.who, &named, &body.actor, next, remember)
            .await;
        asked.reply(self, done, answer).await
    }

    /// Moves a document by what the request says.
    async fn move_document<T: Message + Verb>(
        &self,
        method: &'static str,
        request: Request<T>,
    ) -> Reply<T::Answer> {
        let asked = Asked::new(method, request, T::request_id)?;
        if let Some(answer) = asked.answered(self).await? {
            return Ok(Response::new(answer));
        }
        let body = &asked.body;
        let named = Named::resource("name", body.name())?;
        let answer = |document: &Document| T::answer(convert::document(document));
        let encode = |document: &Document| answer(document).encode_to_vec();
        let remember = asked.remember(&encode);
        let done = self
            .documents
            .act(
                &asked.who,
                &named,
                body.actor(),
                body.act()?,
                body.etag(),
                remember,
            )
            .await;
        asked.reply(self, done, answer).await
    }

    pub(super) async fn answer_submit_document(
        &self,
        request: Request<pb::SubmitDocumentRequest>,
    ) -> Reply<pb::SubmitDocumentResponse> {
        self.move_document("SubmitDocument", request).await
    }

    pub(super) async fn answer_start_review(
        &self,
        request: Request<pb::StartReviewRequest>,
    ) -> Reply<pb::StartReviewResponse> {
        self.move_document("StartReview", request).await
    }

    pub(super) async fn answer_pass_review(
        &self,
        request: Request<pb::PassReviewRequest>,
    ) -> Reply<pb::PassReviewResponse> {
        self.move_document("PassReview", request).await
    }

    pub(super) async fn answer_reject_document(
        &self,
        request: Request<pb::RejectDocumentRequest>,
    ) -> Reply<pb::RejectDocumentResponse> {
        self.move_document("RejectDocument", request).await
    }

    pub(super) async fn answer_request_approval(
        &self,
        request: Request<pb::RequestApprovalRequest>,
    ) -> Reply<pb::RequestApprovalResponse> {
        self.move_document("RequestApproval", request).await
    }

    pub(super) async fn answer_start_approval(
        &self,
        request: Request<pb::StartApprovalRequest>,
    ) -> Reply<pb::StartApprovalResponse> {
        self.move_document("StartApproval", request).await
    }

    pub(super) async fn answer_approve_document(
        &self,
        request: Request<pb::ApproveDocumentRequest>,
    ) -> Reply<pb::ApproveDocumentResponse> {
        self.move_document("ApproveDocument", request).await
    }

    pub(super) async fn answer_withdraw_document(
        &self,
        request: Request<pb::WithdrawDocumentRequest>,
    ) -> Reply<pb::WithdrawDocumentResponse> {
        self.move_document("WithdrawDocument", request).await
    }

    pub(super) async fn answer_schedule_obsolescence(
        &self,
        request: Request<pb::ScheduleObsolescenceRequest>,
    ) -> Reply<pb::ScheduleObsolescenceResponse> {
        self.move_document("ScheduleObsolescence", request).await
    }

    pub(super) async fn answer_cancel_obsolescence(
        &self,
        request: Request<pb::CancelObsolescenceRequest>,
    ) -> Reply<pb::CancelObsolescenceResponse> {
        self.move_document("CancelObsolescence", request).await
    }

    pub(super) async fn answer_terminate_document(
        &self,
        request: Request<pb::TerminateDocumentRequest>,
    ) -> Reply<pb::TerminateDocumentResponse> {
        self.move_document("TerminateDocument", request).await
    }
}

/// A request that moves a document.
trait Verb {
    type Answer: Message + Default;

    fn name(&self) -> &str;
    fn actor(&self) -> &str;
    fn etag(&self) -> &str;
    fn request_id(&self) -> &str;
    /// The verb with what it takes.
    fn act(&self) -> Result<Act>;
    fn answer(document: pb::Document) -> Self::Answer;
}

macro_rules! verbs {
    ($($request:ident => $response:ident: |$body:ident| $act:expr),+ $(,)?) => {$(
        impl Verb for pb::$request {
            type Answer = pb::$response;

            fn name(&self) -> &str {
                &self.name
            }

            fn actor(&self) -> &str {
                &self.actor
            }

            fn etag(&self) -> &str {
                &self.etag
            }

            fn request_id(&self) -> &str {
                &self.request_id
            }

            fn act(&self) -> Result<Act> {
                let $body = self;
                Ok($act)
            }

            fn answer(document: pb::Document) -> Self::Answer {
                pb::$response {
                    document: Some(document),
                }
            }
        }
    )+};
}

verbs! {
    SubmitDocumentRequest => SubmitDocumentResponse: |body| Act::Submit { reviewer: body.reviewer.clone() },
    StartReviewRequest => StartReviewResponse: |_body| Act::StartReview,
    PassReviewRequest => PassReviewResponse: |body| Act::PassReview { comment: body.comment.clone() },
    RejectDocumentRequest => RejectDocumentResponse: |body| Act::Reject { comment: body.comment.clone() },
    RequestApprovalRequest => RequestApprovalResponse: |body| Act::RequestApproval { approver: body.approver.clone() },
    StartApprovalRequest => StartApprovalResponse: |_body| Act::StartApproval,
    ApproveDocumentRequest => ApproveDocumentResponse: |body| Act::Approve { effective_date: day("effective_date", &body.effective_date)?, comment: body.comment.clone() },
    WithdrawDocumentRequest => WithdrawDocumentResponse: |body| Act::Withdraw { comment: body.comment.clone() },
    ScheduleObsolescenceRequest => ScheduleObsolescenceResponse: |body| Act::ScheduleObsolescence { obsolescence_date: day("obsolescence_date", &body.obsolescence_date)?, reason: body.reason.clone() },
    CancelObsolescenceRequest => CancelObsolescenceResponse: |body| Act::CancelObsolescence { reason: body.reason.clone() },
    TerminateDocumentRequest => TerminateDocumentResponse: |body| Act::Terminate { reason: body.reason.clone() },
}

fn new_document(document: &pb::Document) -> Result<NewDocument> {
    let below = |field: &str, error: Error| match error {
        Error::Invalid { reason, .. } => Error::invalid(format!("document.{field}"), reason),
        other => other,
    };
    let number: Number = document
        .number
        .parse()
        .map_err(|error| below("number", error))?;
    if !document.name.is_empty() {
        let what = "expected none: it is made of number and version";
        return Err(Error::invalid("document.name", what));
    }
    let version = match (document.version_major, document.version_minor) {
        (0, 0) => Version::FIRST,
        (major, minor) => Version::new(major, minor).map_err(|error| error.below("document"))?,
    };
    let supersedes = match document.supersedes.as_str() {
        "" => None,
        name => Some(Named::resource("document.supersedes", name)?),
    };
    let depends_on = document
        .depends_on
        .iter()
        .map(|number| number.parse().map_err(|error| below("depends_on", error)))
        .collect::<Result<_>>()?;
    Ok(NewDocument {
        key: Key { number, version },
        title: document.title.clone(),
        document_type: document.document_type.clone(),
        reviewer: document.reviewer.clone(),
        approver: document.approver.clone(),
        supersedes,
        depends_on,
    })
}
