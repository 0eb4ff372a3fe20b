//! Drafts that are corrected: what changes, who may, what is told of it, and what is refused.

use tonic::{Code, Status};
use watchbell_client::client::Client;
use watchbell_client::pb::{self, watch_documents_response::Message};

use crate::support::office::{
    Step, create, depending, document, does, draft, history, named, to_approval,
};
use crate::support::{Database, Site, on_both, refused, violations, within};

on_both!(
    a_draft_is_corrected_and_its_history_tells_from_what_to_what,
    a_correction_that_changes_nothing_is_none,
    only_a_draft_is_corrected_and_only_by_its_author,
    what_is_wrong_with_a_correction_names_its_field,
    an_etag_a_request_id_and_a_trial_hold_for_corrections,
);

fn correction(document: pb::Document, paths: &[&str]) -> pb::UpdateDocumentRequest {
    let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
    pb::UpdateDocumentRequest {
        document: Some(document),
        update_mask: (!paths.is_empty()).then_some(prost_types::FieldMask { paths }),
        actor: "ann".to_owned(),
        ..Default::default()
    }
}

async fn update(
    client: &Client,
    request: pb::UpdateDocumentRequest,
) -> Result<pb::Document, Status> {
    let answer = client.documents().update_document(request).await?;
    Ok(answer.into_inner().document.unwrap())
}

fn named_so(key: &str) -> pb::Document {
    pb::Document {
        name: named(key),
        ..Default::default()
    }
}

async fn a_draft_is_corrected_and_its_history_tells_from_what_to_what(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("POL-1")).await;
    let before = create(client, draft("SOP-1")).await;
    let watch = pb::WatchDocumentsRequest {
        number: "SOP-1".to_owned(),
        skip_snapshot: true,
        ..Default::default()
    };
    let watch = client.documents().watch_documents(watch).await;
    let mut watch = watch.unwrap().into_inner();

    let given = pb::Document {
        title: " Cleaning of vessels ".to_owned(),
        reviewer: "rex".to_owned(),
        depends_on: vec!["POL-1".to_owned()],
        // Not named by the mask.
        document_type: "Policy".to_owned(),
        ..named_so("SOP-1")
    };
    let mask = ["title", "reviewer", "depends_on"];
    let after = update(client, correction(given, &mask)).await.unwrap();

    assert_eq!(after.title, "Cleaning of vessels");
    assert_eq!(
        (after.document_type.as_str(), after.reviewer.as_str()),
        ("SOP", "rex")
    );
    assert_eq!(after.depends_on, ["POL-1"]);
    assert_eq!(after.revision, before.revision + 1);
    assert_eq!(after.status_time, before.status_time);
    assert_eq!(document(client, "SOP-1").await, after);
    let told = history(client, "SOP-1").await;
    let (verb, actor, comment) = told.last().unwrap();
    assert_eq!((verb.as_str(), actor.as_str()), ("update", "ann"));
    assert_eq!(
        comment,
        "title: \"About SOP-1\" → \"Cleaning of vessels\"; reviewer: nothing → \"rex\"; \
         depends on: nothing → \"POL-1\""
    );
    loop {
        let message = within("the event", watch.message()).await.unwrap();
        if let Some(Message::Event(event)) = message.unwrap().message
            && event.r#type != "document.created"
        {
            assert_eq!(event.r#type, "document.updated");
            assert_eq!(event.document.unwrap().title, "Cleaning of vessels");
            break;
        }
    }
    // What depends on it now is known of.
    let gone = Step::Terminate("no".into());
    does(client, "POL-1", "ann", gone).await.unwrap();
    server.problem("document.depends_on_dead").await;
    let nothing = correction(named_so("SOP-1"), &["reviewer", "depends_on"]);
    let after = update(client, nothing).await.unwrap();
    assert_eq!((after.reviewer.as_str(), after.depends_on.len()), ("", 0));
    server.problem_is_over("document.depends_on_dead").await;
    // Without a mask, what is given.
    let given = pb::Document {
        document_type: "Policy".to_owned(),
        author: "bob".to_owned(),
        ..named_so("SOP-1")
    };
    let after = update(client, correction(given, &[])).await.unwrap();
    assert_eq!(
        (after.document_type.as_str(), after.author.as_str()),
        ("Policy", "bob")
    );
    does(client, "SOP-1", "bob", Step::Submit("rex".into()))
        .await
        .unwrap();
    server.stop().await;
}

async fn a_correction_that_changes_nothing_is_none(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let before = create(client, draft("SOP-1")).await;
    let same = pb::Document {
        title: before.title.clone(),
        ..named_so("SOP-1")
    };
    let after = update(client, correction(same, &["title", "reviewer"]))
        .await
        .unwrap();
    assert_eq!(after, before);
    assert_eq!(history(client, "SOP-1").await.len(), 1);
    server.stop().await;
}

async fn only_a_draft_is_corrected_and_only_by_its_author(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("SOP-1")).await;
    let titled = || {
        let document = pb::Document {
            title: "Other".to_owned(),
            ..named_so("SOP-1")
        };
        correction(document, &["title"])
    };
    let by_another = pb::UpdateDocumentRequest {
        actor: "zoe".to_owned(),
        ..titled()
    };
    let (code, ..) = refused(update(client, by_another).await);
    assert_eq!(code, Code::PermissionDenied);
    to_approval(client, "SOP-1").await;
    let before = document(client, "SOP-1").await;
    let (code, reason, status) = refused(update(client, titled()).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "ILLEGAL_TRANSITION")
    );
    assert!(
        status
            .message()
            .contains("legal now: reject, approve, terminate"),
        "{status:?}"
    );
    assert_eq!(document(client, "SOP-1").await, before);
    server.stop().await;
}

async fn what_is_wrong_with_a_correction_names_its_field(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("A")).await;
    create(client, depending("B", &["A"])).await;
    let with = |change: fn(&mut pb::Document)| {
        let mut document = named_so("A");
        change(&mut document);
        document
    };
    let wrong: Vec<(pb::UpdateDocumentRequest, &str)> = vec![
        (
            correction(with(|new| new.title = "x".repeat(501)), &["title"]),
            "document.title",
        ),
        (correction(with(|_| ()), &["title"]), "document.title"),
        (correction(with(|_| ()), &["author"]), "document.author"),
        (
            correction(with(|new| new.reviewer = "ANN".into()), &["reviewer"]),
            "document.reviewer",
        ),
        (
            correction(with(|new| new.depends_on = vec!["NOPE".into()]), &[]),
            "document.depends_on",
        ),
        (
            correction(with(|new| new.depends_on = vec!["A".into()]), &[]),
            "document.depends_on",
        ),
        (
            correction(with(|new| new.depends_on = vec!["B".into()]), &[]),
            "document.depends_on",
        ),
        (
            correction(with(|new| new.depends_on = vec!["a b".into()]), &[]),
            "document.depends_on",
        ),
        (
            correction(
                with(|new| {
                    new.author = "bob".into();
                    new.approver = "Ann".into();
                }),
                &[],
            ),
            "document.approver",
        ),
        (correction(with(|_| ()), &["status"]), "update_mask"),
        (correction(with(|_| ()), &[]), "update_mask"),
        (
            correction(with(|new| new.name = "A".into()), &["title"]),
            "document.name",
        ),
    ];
    let before = document(client, "A").await;
    for (request, field) in wrong {
        let about = format!("{request:?}");
        let (code, _, status) = refused(update(client, request).await);
        assert!(
            matches!(code, Code::InvalidArgument | Code::PermissionDenied),
            "{about}: {status:?}"
        );
        if code == Code::InvalidArgument {
            assert!(
                violations(&status).contains(&field.to_owned()),
                "{about}: {status:?}"
            );
        }
    }
    assert_eq!(document(client, "A").await, before);
    let (code, _, status) = refused(update(client, pb::UpdateDocumentRequest::default()).await);
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["document".to_owned()])
    );
    server.stop().await;
}

async fn an_etag_a_request_id_and_a_trial_hold_for_corrections(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    let before = create(client, draft("SOP-1")).await;
    let titled = |etag: &str, title: &str| {
        let document = pb::Document {
            title: title.to_owned(),
            etag: etag.to_owned(),
            ..named_so("SOP-1")
        };
        correction(document, &["title"])
    };
    let (code, reason, _) = refused(update(client, titled("old", "One")).await);
    assert_eq!((code, reason.as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let trial = pb::UpdateDocumentRequest {
        validate_only: true,
        ..titled(&before.etag, "One")
    };
    assert_eq!(update(client, trial).await.unwrap().title, "One");
    assert_eq!(document(client, "SOP-1").await, before);
    let once = pb::UpdateDocumentRequest {
        request_id: "one".to_owned(),
        ..titled(&before.etag, "One")
    };
    let first = update(client, once.clone()).await.unwrap();
    let again = update(client, once).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(first.revision, 2);
    server.stop().await;
}
