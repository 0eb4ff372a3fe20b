//! What `DocumentService` does with documents: one is begun, or moved by a verb.

use jiff::civil::Date;
use prost::Message;
use tonic::{Request, Response};

use super::{Api, Reply, convert, names, request::Asked};
use crate::{
    domain::{
        Document,
        document::{Act, Key, Number, Version, act::remark, day, key::Named, person},
    },
    error::{Error, Result, all, each},
    pb,
    records::{NewDocument, NextVersion, Texts},
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
        let (new, _) = all((
            new_document(document),
            Texts::read(
                &body.actor,
                &document.title,
                &document.document_type,
                &document.reviewer,
                &document.approver,
            ),
        ))?;
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
        let (named, _, reason) = all((
            Named::resource("name", &body.name),
            person("actor", &body.actor),
            names::reason(body.reason.clone()),
        ))?;
        let next = NextVersion {
            major: body.major,
            title: body.title.clone(),
            reason,
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
        let named = Named::resource("name", body.name());
        let actor = person("actor", body.actor());
        let act = match (&named, &actor) {
            (Ok(_), Ok(_)) => body.act(),
            // What else is wrong is told with it, before it is known whether the verb is legal.
            _ => body.act().and_then(|act| act.check_texts().map(|()| act)),
        };
        let (named, actor, act) = all((named, actor, act))?;
        let answer = |document: &Document| T::answer(convert::document(document));
        let encode = |document: &Document| answer(document).encode_to_vec();
        let remember = asked.remember(&encode);
        let done = self
            .documents
            .act(&asked.who, &named, &actor, act, body.etag(), remember)
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
    ApproveDocumentRequest => ApproveDocumentResponse: |body| approval(body)?,
    WithdrawDocumentRequest => WithdrawDocumentResponse: |body| Act::Withdraw { comment: body.comment.clone() },
    ScheduleObsolescenceRequest => ScheduleObsolescenceResponse: |body| Act::ScheduleObsolescence { obsolescence_date: day_beside("obsolescence_date", &body.obsolescence_date, remark("reason", &body.reason, 1))?, reason: body.reason.clone() },
    CancelObsolescenceRequest => CancelObsolescenceResponse: |body| Act::CancelObsolescence { reason: body.reason.clone() },
    TerminateDocumentRequest => TerminateDocumentResponse: |body| Act::Terminate { reason: body.reason.clone() },
}

fn approval(body: &pb::ApproveDocumentRequest) -> Result<Act> {
    let texts = all((
        remark("comment", &body.comment, 0),
        remark("backdated_reason", &body.backdated_reason, 0),
        remark("strand_reason", &body.strand_reason, 0),
    ));
    Ok(Act::Approve {
        effective_date: day_beside("effective_date", &body.effective_date, texts)?,
        comment: body.comment.clone(),
        backdated_reason: body.backdated_reason.clone(),
        without_content: body.without_content,
        strand_reason: body.strand_reason.clone(),
    })
}

/// A day; where it is none, what is wrong with the texts beside it is told as well.
fn day_beside<T>(field: &str, given: &str, texts: Result<T>) -> Result<Date> {
    match day(field, given) {
        Ok(day) => Ok(day),
        wrong => all((wrong, texts)).map(|(day, _)| day),
    }
}

fn new_document(document: &pb::Document) -> Result<NewDocument> {
    let number: Result<Number> = document
        .number
        .parse()
        .map_err(|error: Error| error.of_field("document.number"));
    let name = match document.name.is_empty() {
        true => Ok(()),
        false => {
            let what = "expected none: it is made of number and version";
            Err(Error::invalid("document.name", what))
        }
    };
    let version = match (document.version_major, document.version_minor) {
        (0, 0) => Ok(Version::FIRST),
        (major, minor) => Version::new(major, minor).map_err(|error| error.below("document")),
    };
    let supersedes = match document.supersedes.as_str() {
        "" => Ok(None),
        name => Named::resource("document.supersedes", name).map(Some),
    };
    let depends_on = document.depends_on.iter().map(|number| {
        let read: Result<Number> = number.parse();
        read.map_err(|error| error.of_field("document.depends_on"))
    });
    let depends_on = each(depends_on);
    let (number, (), version, supersedes, depends_on) =
        all((number, name, version, supersedes, depends_on))?;
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
