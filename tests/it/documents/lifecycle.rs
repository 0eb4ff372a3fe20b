//! A document from its draft to its end, and every way in which it is refused.

use tonic::Code;
use watchbell_client::pb::{self, DocumentStatus};

use crate::support::office::{
    Step, approve, approved, create, document, does, draft, history, named, next_version, status,
};
use crate::support::{Database, Site, at, on_both, refused, violations};

on_both!(
    a_document_goes_from_draft_to_effective_and_its_next_version_takes_its_place,
    an_illegal_verb_names_the_legal_ones_and_changes_nothing,
    only_the_right_person_may,
    an_etag_and_a_request_id_hold_for_verbs,
    a_document_that_others_depend_on_is_kept,
    what_was_sent_back_begins_anew,
    of_two_versions_approved_at_once_one_is_in_force,
);

async fn a_document_goes_from_draft_to_effective_and_its_next_version_takes_its_place(
    database: Database,
) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;

    let first = approved(client, "SOP-1", "2026-03-02").await;

    assert_eq!(
        first.status(),
        DocumentStatus::Effective,
        "today is its day"
    );
    assert_eq!(first.effective_date, "2026-03-02");
    assert_eq!(at(&first.activate_time), "2026-03-02T12:00:00Z");
    assert_eq!(
        first.legal_verbs,
        ["create_version", "schedule_obsolescence"]
    );
    let second = next_version(client, "SOP-1", false).await;
    assert_eq!(second.name, named("SOP-1@1.1"));
    assert_eq!(second.supersedes, named("SOP-1@1.0"));
    let second = approve(client, "SOP-1@1.1", "2026-02-27").await;
    assert_eq!(second.status(), DocumentStatus::Effective);
    assert_eq!(
        second.effective_date, "2026-02-27",
        "as approved, though it is past"
    );
    assert_eq!(second.backdated_reason, "it was so");
    assert_eq!(
        status(client, "SOP-1@1.0").await,
        DocumentStatus::Superseded
    );
    let told = history(client, "SOP-1@1.0").await;
    let verbs: Vec<&str> = told.iter().map(|(verb, ..)| verb.as_str()).collect();
    assert_eq!(
        verbs,
        [
            "create",
            "submit",
            "start_review",
            "pass_review",
            "request_approval",
            "start_approval",
            "approve",
            "supersede"
        ]
    );
    let last = told.last().unwrap();
    assert_eq!(
        (last.1.as_str(), last.2.as_str()),
        ("system", "by SOP-1@1.1")
    );
    assert_eq!(told[3].2, "good");
    assert_eq!(told[6].2, "effective on 2026-03-02, without a file");
    // Without a version, the newest is meant.
    assert_eq!(document(client, "SOP-1").await.name, named("SOP-1@1.1"));
    server.stop().await;
}

async fn an_illegal_verb_names_the_legal_ones_and_changes_nothing(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let before = create(client, draft("SOP-1")).await;

    let (code, reason, status) = refused(
        does(
            client,
            "SOP-1@1.0",
            "pat",
            Step::Approve("2026-03-02".into()),
        )
        .await,
    );

    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "ILLEGAL_TRANSITION")
    );
    assert!(
        status.message().contains("legal now: submit, terminate"),
        "{status:?}"
    );
    assert_eq!(document(client, "SOP-1").await, before);
    does(client, "SOP-1", "ann", Step::Terminate("never mind".into()))
        .await
        .unwrap();
    let (_, _, status) = refused(does(client, "SOP-1", "ann", Step::Submit("rex".into())).await);
    assert!(
        status.message().contains("nothing leads out of it"),
        "{status:?}"
    );
    server.stop().await;
}

async fn only_the_right_person_may(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("SOP-1")).await;

    let (code, _, status) = refused(does(client, "SOP-1", "zoe", Step::Submit("rex".into())).await);
    assert_eq!(code, Code::PermissionDenied);
    assert!(status.message().contains("its author, ann"), "{status:?}");
    let (code, _, status) = refused(does(client, "SOP-1", "ann", Step::Submit("Ann".into())).await);
    assert!(
        matches!(code, Code::InvalidArgument | Code::PermissionDenied),
        "{status:?}"
    );
    let (code, _, status) =
        refused(does(client, "SOP-1", "ann", Step::Submit(String::new())).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["reviewer".to_owned()])
    );
    let (code, _, status) = refused(does(client, "SOP-1", " ", Step::Submit("rex".into())).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["actor".to_owned()])
    );
    does(client, "SOP-1", "ann", Step::Submit("rex".into()))
        .await
        .unwrap();
    let (code, ..) = refused(does(client, "SOP-1", "ann", Step::StartReview).await);
    assert_eq!(code, Code::PermissionDenied);
    does(client, "SOP-1", "REX", Step::StartReview)
        .await
        .unwrap();
    let (code, _, status) =
        refused(does(client, "SOP-1", "rex", Step::PassReview(" ".into())).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["comment".to_owned()])
    );
    does(client, "SOP-1", "rex", Step::PassReview("good".into()))
        .await
        .unwrap();
    let (code, _, status) =
        refused(does(client, "SOP-1", "ann", Step::RequestApproval("rex".into())).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["approver".to_owned()])
    );
    does(client, "SOP-1", "ann", Step::RequestApproval("pat".into()))
        .await
        .unwrap();
    let (code, ..) =
        refused(does(client, "SOP-1", "rex", Step::Approve("2026-03-02".into())).await);
    assert_eq!(code, Code::PermissionDenied);
    let (code, _, status) =
        refused(does(client, "SOP-1", "pat", Step::Approve("soon".into())).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["effective_date".to_owned()])
    );
    assert_eq!(
        self::status(client, "SOP-1").await,
        DocumentStatus::PendingApproval
    );
    server.stop().await;
}

async fn an_etag_and_a_request_id_hold_for_verbs(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let before = create(client, draft("SOP-1")).await;
    let submit = |etag: &str, id: &str| pb::SubmitDocumentRequest {
        name: named("SOP-1"),
        actor: "ann".to_owned(),
        reviewer: "rex".to_owned(),
        etag: etag.to_owned(),
        request_id: id.to_owned(),
    };

    let (code, reason, _) = refused(client.documents().submit_document(submit("old", "")).await);
    assert_eq!((code, reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let first = client
        .documents()
        .submit_document(submit(&before.etag, "one"))
        .await;
    let first = first.unwrap().into_inner();
    let again = client
        .documents()
        .submit_document(submit(&before.etag, "one"))
        .await;
    assert_eq!(
        first,
        again.unwrap().into_inner(),
        "the same answer, and not a second move"
    );
    assert_eq!(first.document.unwrap().revision, 2);
    server.stop().await;
}

async fn a_document_that_others_depend_on_is_kept(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    approved(client, "POL-1", "2026-03-01").await;
    let mut request = draft("SOP-1");
    request.document.as_mut().unwrap().depends_on = vec!["POL-1".to_owned()];
    create(client, request).await;
    let schedule = || Step::ScheduleObsolescence("2026-03-10".into(), "replaced".into());

    let (code, reason, status) = refused(does(client, "POL-1", "pat", schedule()).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "HAS_DEPENDANTS")
    );
    assert!(status.message().contains("SOP-1@1.0"), "{status:?}");
    does(client, "SOP-1", "ann", Step::Terminate("not needed".into()))
        .await
        .unwrap();
    let past = Step::ScheduleObsolescence("2026-03-02".into(), "replaced".into());
    let (code, _, status) = refused(does(client, "POL-1", "pat", past).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["obsolescence_date".to_owned()])
    );
    let planned = does(client, "POL-1", "pat", schedule()).await.unwrap();
    assert_eq!(planned.status(), DocumentStatus::ScheduledForObsolescence);
    assert_eq!(planned.effective_date, "2026-03-01");
    let kept = does(
        client,
        "POL-1",
        "pat",
        Step::CancelObsolescence("still needed".into()),
    )
    .await
    .unwrap();
    assert_eq!(
        (kept.status(), kept.obsolescence_date.as_str()),
        (DocumentStatus::Effective, "")
    );
    server.stop().await;
}

async fn what_was_sent_back_begins_anew(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("SOP-1")).await;
    let step = async |who: &str, step: Step| does(client, "SOP-1", who, step).await.unwrap();

    step("ann", Step::Submit("rex".into())).await;
    let back = step("rex", Step::Reject("too long".into())).await;
    assert_eq!(
        (back.status(), back.reviewer.as_str()),
        (DocumentStatus::Draft, "")
    );
    step("ann", Step::Submit("rob".into())).await;
    step("rob", Step::StartReview).await;
    step("rob", Step::PassReview("fine".into())).await;
    step("ann", Step::RequestApproval("pat".into())).await;
    let back = step("pat", Step::Reject("too short".into())).await;
    assert_eq!((back.reviewer.as_str(), back.approver.as_str()), ("", ""));
    let later = approve(client, "SOP-1@1.0", "2026-04-01").await;
    assert_eq!(later.status(), DocumentStatus::ApprovedPendingEffective);
    let back = step("pat", Step::Withdraw("not yet".into())).await;
    assert_eq!(
        (back.status(), back.effective_date.as_str()),
        (DocumentStatus::Draft, "")
    );
    server.stop().await;
}

/// Nothing is in force before, so that there is nothing for the two to wait for.
async fn of_two_versions_approved_at_once_one_is_in_force(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    for number in 0..10 {
        let number = format!("SOP-{number}");
        for major in [1, 2] {
            let mut request = draft(&number);
            request.document.as_mut().unwrap().version_major = major;
            create(client, request).await;
            let key = format!("{number}@{major}.0");
            for (who, step) in [
                ("ann", Step::Submit("rex".into())),
                ("rex", Step::StartReview),
                ("rex", Step::PassReview("good".into())),
                ("ann", Step::RequestApproval("pat".into())),
            ] {
                does(client, &key, who, step).await.unwrap();
            }
        }
        let (one, two) = (format!("{number}@1.0"), format!("{number}@2.0"));
        let approve = || Step::Approve("2026-03-02".into());
        let (older, newer) = tokio::join!(
            does(client, &one, "pat", approve()),
            does(client, &two, "pat", approve()),
        );
        assert_eq!(newer.unwrap().status(), DocumentStatus::Effective);
        match older {
            Ok(_) => assert_eq!(status(client, &one).await, DocumentStatus::Superseded),
            Err(_) => {
                let (code, reason, _) = refused(older);
                assert_eq!(
                    (code, reason.as_str()),
                    (Code::FailedPrecondition, "NEWER_IN_FORCE")
                );
            }
        }
    }
    server.stop().await;
}
