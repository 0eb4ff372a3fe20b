//! An office whose people move documents: ann writes, rex reviews, pat approves.

use tonic::Status;
use watchbell_client::{client::Client, pb};

use super::{Server, until};

/// A verb with what it takes, but for the document and who does it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Submit(String),
    StartReview,
    PassReview(String),
    Reject(String),
    RequestApproval(String),
    StartApproval,
    /// For a day, without a file, and with a reason where the day is past.
    Approve(String),
    /// Just so, but for the document and who does it.
    ApproveAs(pb::ApproveDocumentRequest),
    Withdraw(String),
    ScheduleObsolescence(String, String),
    CancelObsolescence(String),
    Terminate(String),
}

/// `documents/{number}@{version}`.
pub(crate) fn named(key: &str) -> String {
    format!("documents/{key}")
}

macro_rules! ask {
    ($client:expr, $call:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        let request = pb::$request { $($field: $value,)* ..Default::default() };
        let answer = $client.documents().$call(request).await?;
        Ok(answer.into_inner().document.unwrap())
    }};
}

/// One moves a document.
pub(crate) async fn does(
    client: &Client,
    key: &str,
    who: &str,
    step: Step,
) -> Result<pb::Document, Status> {
    let (name, actor) = (named(key), who.to_owned());
    match step {
        Step::Submit(reviewer) => {
            ask!(
                client,
                submit_document,
                SubmitDocumentRequest {
                    name: name,
                    actor: actor,
                    reviewer: reviewer
                }
            )
        }
        Step::StartReview => ask!(
            client,
            start_review,
            StartReviewRequest {
                name: name,
                actor: actor
            }
        ),
        Step::PassReview(comment) => {
            ask!(
                client,
                pass_review,
                PassReviewRequest {
                    name: name,
                    actor: actor,
                    comment: comment
                }
            )
        }
        Step::Reject(comment) => {
            ask!(
                client,
                reject_document,
                RejectDocumentRequest {
                    name: name,
                    actor: actor,
                    comment: comment
                }
            )
        }
        Step::RequestApproval(approver) => {
            ask!(
                client,
                request_approval,
                RequestApprovalRequest {
                    name: name,
                    actor: actor,
                    approver: approver
                }
            )
        }
        Step::StartApproval => ask!(
            client,
            start_approval,
            StartApprovalRequest {
                name: name,
                actor: actor
            }
        ),
        Step::Approve(effective_date) => {
            let request = pb::ApproveDocumentRequest {
                name,
                actor,
                effective_date,
                without_content: true,
                ..Default::default()
            };
            let answer = client.documents().approve_document(request.clone()).await;
            let answer = match answer {
                Err(status) if status.message().contains("backdated_reason") => {
                    let backdated_reason = "it was so".to_owned();
                    let request = pb::ApproveDocumentRequest {
                        backdated_reason,
                        ..request
                    };
                    client.documents().approve_document(request).await?
                }
                answer => answer?,
            };
            Ok(answer.into_inner().document.unwrap())
        }
        Step::ApproveAs(request) => {
            let request = pb::ApproveDocumentRequest {
                name,
                actor,
                ..request
            };
            let answer = client.documents().approve_document(request).await?;
            Ok(answer.into_inner().document.unwrap())
        }
        Step::Withdraw(comment) => {
            ask!(
                client,
                withdraw_document,
                WithdrawDocumentRequest {
                    name: name,
                    actor: actor,
                    comment: comment
                }
            )
        }
        Step::ScheduleObsolescence(obsolescence_date, reason) => ask!(
            client,
            schedule_obsolescence,
            ScheduleObsolescenceRequest {
                name: name,
                actor: actor,
                obsolescence_date: obsolescence_date,
                reason: reason
            }
        ),
        Step::CancelObsolescence(reason) => {
            ask!(
                client,
                cancel_obsolescence,
                CancelObsolescenceRequest {
                    name: name,
                    actor: actor,
                    reason: reason
                }
            )
        }
        Step::Terminate(reason) => {
            ask!(
                client,
                terminate_document,
                TerminateDocumentRequest {
                    name: name,
                    actor: actor,
                    reason: reason
                }
            )
        }
    }
}

/// A new document of ann's.
pub(crate) fn draft(number: &str) -> pb::CreateDocumentRequest {
    pb::CreateDocumentRequest {
        document: Some(pb::Document {
            number: number.to_owned(),
            title: format!("About {number}"),
            document_type: "SOP".to_owned(),
            ..Default::default()
        }),
        actor: "ann".to_owned(),
        ..Default::default()
    }
}

pub(crate) async fn create(client: &Client, request: pb::CreateDocumentRequest) -> pb::Document {
    let answer = client.documents().create_document(request).await;
    answer.unwrap().into_inner().document.unwrap()
}

/// A document from the beginning to its approval for a day.
pub(crate) async fn approved(client: &Client, number: &str, day: &str) -> pb::Document {
    create(client, draft(number)).await;
    approve(client, &format!("{number}@1.0"), day).await
}

/// A DRAFT to its approval for a day.
pub(crate) async fn approve(client: &Client, key: &str, day: &str) -> pb::Document {
    to_approval(client, key).await;
    does(client, key, "pat", Step::Approve(day.to_owned()))
        .await
        .unwrap()
}

/// A DRAFT to where pat may approve it.
pub(crate) async fn to_approval(client: &Client, key: &str) {
    for (who, step) in [
        ("ann", Step::Submit("rex".into())),
        ("rex", Step::StartReview),
        ("rex", Step::PassReview("good".into())),
        ("ann", Step::RequestApproval("pat".into())),
        ("pat", Step::StartApproval),
    ] {
        does(client, key, who, step).await.unwrap();
    }
}

/// A new document of ann's that depends on others.
pub(crate) fn depending(number: &str, on: &[&str]) -> pb::CreateDocumentRequest {
    let mut request = draft(number);
    let depends_on = on.iter().map(ToString::to_string).collect();
    request.document.as_mut().unwrap().depends_on = depends_on;
    request
}

/// A new document of ann's that is to take the place of another.
pub(crate) fn superseding(number: &str, other: &str) -> pb::CreateDocumentRequest {
    let mut request = draft(number);
    request.document.as_mut().unwrap().supersedes = named(other);
    request
}

pub(crate) async fn next_version(client: &Client, key: &str, major: bool) -> pb::Document {
    let request = pb::CreateVersionRequest {
        name: named(key),
        actor: "ann".to_owned(),
        major,
        ..Default::default()
    };
    let answer = client.documents().create_version(request).await;
    answer.unwrap().into_inner().document.unwrap()
}

pub(crate) async fn document(client: &Client, key: &str) -> pb::Document {
    let request = pb::GetDocumentRequest { name: named(key) };
    let answer = client.documents().get_document(request).await;
    answer.unwrap().into_inner().document.unwrap()
}

pub(crate) async fn status(client: &Client, key: &str) -> pb::DocumentStatus {
    document(client, key).await.status()
}

/// What happened to a document, oldest first: verb, actor and comment.
pub(crate) async fn history(client: &Client, key: &str) -> Vec<(String, String, String)> {
    let request = pb::ListDocumentHistoryRequest {
        name: named(key),
        page_size: 1000,
        ..Default::default()
    };
    let answer = client.documents().list_document_history(request).await;
    let entries = answer.unwrap().into_inner().entries.into_iter().rev();
    entries
        .map(|entry| (entry.verb, entry.actor, entry.comment))
        .collect()
}

/// Runs the task that activates documents, now.
pub(crate) async fn activate(server: &Server) -> pb::Run {
    run(server, "process-document-effective-dates").await
}

/// Runs the task that retires documents, now.
pub(crate) async fn retire(server: &Server) -> pb::Run {
    run(server, "process-document-obsoletion-dates").await
}

/// Once no run of a slot is in the way.
async fn run(server: &Server, task: &str) -> pb::Run {
    let run = until("a run of the task", async || {
        let request = pb::TriggerTaskRequest {
            name: format!("tasks/{task}"),
            ..Default::default()
        };
        let answer = server.client.tasks().trigger_task(request).await;
        answer.ok()?.into_inner().run
    })
    .await;
    server.ended(&run.name).await
}
