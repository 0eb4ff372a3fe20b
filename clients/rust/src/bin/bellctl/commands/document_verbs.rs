//! The verbs that create and move documents. Each is one call, and shows the document after it.

use prost::{Message, Name};
use watchbell_client::{
    call::request_id,
    pb::{
        ApproveDocumentRequest, CancelObsolescenceRequest, CreateDocumentRequest,
        CreateVersionRequest, Document, PassReviewRequest, RejectDocumentRequest,
        RequestApprovalRequest, ScheduleObsolescenceRequest, StartApprovalRequest,
        StartReviewRequest, SubmitDocumentRequest, TerminateDocumentRequest,
        WithdrawDocumentRequest,
    },
};

use crate::{
    args::{CreateDocumentArgs, DocumentVerb, Format, NewVersionArgs},
    commands::{day::day, document_update, document_view::one_line},
    exit::Exit,
    failure::Failure,
    name::DocumentName,
    session::Session,
};

/// Sends a request that has an answer with a document, and shows that.
macro_rules! ask {
    ($session:ident, $method:ident, $request:expr) => {{
        let response = $session
            .ask($request, async |request| {
                $session.client.documents().$method(request).await
            })
            .await?;
        told($session, "", &response, response.document.as_ref())
    }};
}

/// Does one of the verbs.
pub(super) async fn run(
    session: &Session,
    verb: &DocumentVerb,
    actor: String,
) -> Result<Exit, Failure> {
    let request_id = request_id();
    match verb {
        DocumentVerb::Create(args) => create(session, args, actor).await,
        DocumentVerb::NewVersion(args) => new_version(session, args, actor).await,
        DocumentVerb::Update(args) => document_update::update(session, args, actor).await,
        DocumentVerb::Submit(args) => {
            let request = SubmitDocumentRequest {
                name: args.verb.name.clone().into_resource(),
                actor,
                reviewer: args.reviewer.clone(),
                etag: args.verb.etag.clone(),
                request_id,
            };
            ask!(session, submit_document, request)
        }
        DocumentVerb::StartReview(args) => {
            let request = StartReviewRequest {
                name: args.name.clone().into_resource(),
                actor,
                etag: args.etag.clone(),
                request_id,
            };
            ask!(session, start_review, request)
        }
        DocumentVerb::PassReview(args) => {
            let request = PassReviewRequest {
                name: args.verb.name.clone().into_resource(),
                actor,
                comment: args.comment.clone(),
                etag: args.verb.etag.clone(),
                request_id,
            };
            ask!(session, pass_review, request)
        }
        DocumentVerb::Reject(args) => {
            let request = RejectDocumentRequest {
                name: args.verb.name.clone().into_resource(),
                actor,
                comment: args.comment.clone(),
                etag: args.verb.etag.clone(),
                request_id,
            };
            ask!(session, reject_document, request)
        }
        DocumentVerb::RequestApproval(args) => {
            let request = RequestApprovalRequest {
                name: args.verb.name.clone().into_resource(),
                actor,
                approver: args.approver.clone(),
                etag: args.verb.etag.clone(),
                request_id,
            };
            ask!(session, request_approval, request)
        }
        DocumentVerb::StartApproval(args) => {
            let request = StartApprovalRequest {
                name: args.name.clone().into_resource(),
                actor,
                etag: args.etag.clone(),
                request_id,
            };
            ask!(session, start_approval, request)
        }
        DocumentVerb::Approve(args) => {
            let request = ApproveDocumentRequest {
                name: args.verb.name.clone().into_resource(),
                actor,
                effective_date: day(session, &args.effective).await?,
                comment: args.comment.clone(),
                etag: args.verb.etag.clone(),
                request_id,
                backdated_reason: args.backdated.clone(),
                without_content: args.without_file,
                strand_reason: args.strand.clone(),
            };
            ask!(session, approve_document, request)
        }
        DocumentVerb::Withdraw(args) => {
            let request = WithdrawDocumentRequest {
                name: args.verb.name.clone().into_resource(),
                actor,
                comment: args.comment.clone(),
                etag: args.verb.etag.clone(),
                request_id,
            };
            ask!(session, withdraw_document, request)
        }
        DocumentVerb::ScheduleObsolescence(args) => {
            let request = ScheduleObsolescenceRequest {
                name: args.verb.name.clone().into_resource(),
                actor,
                obsolescence_date: day(session, &args.on).await?,
                reason: args.reason.clone(),
                etag: args.verb.etag.clone(),
                request_id,
            };
            ask!(session, schedule_obsolescence, request)
        }
        DocumentVerb::CancelObsolescence(args) => {
            let request = CancelObsolescenceRequest {
                name: args.verb.name.clone().into_resource(),
                actor,
                reason: args.reason.clone(),
                etag: args.verb.etag.clone(),
                request_id,
            };
            ask!(session, cancel_obsolescence, request)
        }
        DocumentVerb::Terminate(args) => {
            let request = TerminateDocumentRequest {
                name: args.verb.name.clone().into_resource(),
                actor,
                reason: args.reason.clone(),
                etag: args.verb.etag.clone(),
                request_id,
            };
            ask!(session, terminate_document, request)
        }
    }
}

async fn create(
    session: &Session,
    args: &CreateDocumentArgs,
    actor: String,
) -> Result<Exit, Failure> {
    let supersedes = args.supersedes.clone().map(DocumentName::into_resource);
    let document = Document {
        number: args.number.clone(),
        title: args.title.clone(),
        document_type: args.document_type.clone(),
        version_major: args
            .version
            .map(|version| version.major)
            .unwrap_or_default(),
        version_minor: args
            .version
            .map(|version| version.minor)
            .unwrap_or_default(),
        reviewer: args.reviewer.clone(),
        approver: args.approver.clone(),
        supersedes: supersedes.unwrap_or_default(),
        depends_on: args.depends_on.clone(),
        ..Document::default()
    };
    let request = CreateDocumentRequest {
        document: Some(document),
        actor,
        request_id: request_id(),
        validate_only: args.validate_only,
    };
    let response = session
        .ask(request, async |request| {
            session.client.documents().create_document(request).await
        })
        .await?;
    let done = if args.validate_only {
        "valid, not created: "
    } else {
        "created "
    };
    told(session, done, &response, response.document.as_ref())
}

async fn new_version(
    session: &Session,
    args: &NewVersionArgs,
    actor: String,
) -> Result<Exit, Failure> {
    let request = CreateVersionRequest {
        name: args.name.clone().into_resource(),
        actor,
        major: args.major,
        title: args.title.clone(),
        reason: args.reason.clone(),
        request_id: request_id(),
    };
    let response = session
        .ask(request, async |request| {
            session.client.documents().create_version(request).await
        })
        .await?;
    told(session, "created ", &response, response.document.as_ref())
}

/// What was done, and the document after it.
pub(super) fn told<M: Message + Name>(
    session: &Session,
    done: &str,
    response: &M,
    document: Option<&Document>,
) -> Result<Exit, Failure> {
    if session.output.format == Format::Json {
        session.output.json(response)?;
    } else if let Some(document) = document {
        let line = one_line(session, document);
        session.output.line(&format!("{done}{line}"))?;
    }
    Ok(Exit::Good)
}
