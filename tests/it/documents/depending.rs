//! What documents may depend on: what lives, and never each other in a circle, also where two begin at once.

use tonic::Code;
use watchbell_client::{client::Client, pb};

use crate::support::office::{Step, approve, approved, create, depending, does, draft, named};
use crate::support::{Database, Site, on_both, refused, violations};

on_both!(
    nothing_new_depends_on_what_is_dead,
    of_two_who_would_close_a_circle_at_once_one_is_refused,
    of_two_drafts_that_are_corrected_at_once_one_is_refused,
);

async fn nothing_new_depends_on_what_is_dead(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("GONE-1")).await;
    does(client, "GONE-1", "ann", Step::Terminate("no".into()))
        .await
        .unwrap();
    approved(client, "POL-1", "2026-03-02").await;

    let request = depending("SOP-1", &["POL-1", "GONE-1"]);
    let only = pb::CreateDocumentRequest {
        validate_only: true,
        ..request.clone()
    };
    for request in [request, only] {
        let (code, _, status) = refused(client.documents().create_document(request).await);
        assert_eq!(
            (code, violations(&status)),
            (
                Code::InvalidArgument,
                vec!["document.depends_on".to_owned()]
            )
        );
        assert!(
            status.message().contains("GONE-1@1.0, is TERMINATED"),
            "{status:?}"
        );
    }
    create(client, depending("SOP-1", &["POL-1"])).await;
    let update = pb::UpdateDocumentRequest {
        document: Some(pb::Document {
            name: named("SOP-1"),
            depends_on: vec!["GONE-1".to_owned()],
            ..Default::default()
        }),
        actor: "ann".to_owned(),
        ..Default::default()
    };
    let (_, _, status) = refused(client.documents().update_document(update).await);
    assert_eq!(violations(&status), ["document.depends_on"]);
    server.stop().await;
}

/// A second version that depends on another number.
fn second(number: &str, on: &str) -> pb::CreateDocumentRequest {
    let mut request = depending(number, &[on]);
    request.document.as_mut().unwrap().version_major = 2;
    request
}

async fn of_two_who_would_close_a_circle_at_once_one_is_refused(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    for round in 0..12 {
        let (one, other) = (format!("A-{round}"), format!("B-{round}"));
        for number in [&one, &other] {
            create(client, draft(number)).await;
            approve(client, &format!("{number}@1.0"), "2026-03-02").await;
        }
        let (mut here, mut there) = (client.documents(), client.documents());
        let both = tokio::join!(
            here.create_document(second(&one, &other)),
            there.create_document(second(&other, &one)),
        );
        let answers = [both.0, both.1];
        let created = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(created, 1, "{answers:?}");
        for refusal in answers.into_iter().filter(Result::is_err) {
            let (code, _, status) = refused(refusal);
            assert_eq!(code, Code::InvalidArgument);
            assert_eq!(violations(&status), ["document.depends_on"]);
            assert!(status.message().contains("a circle"), "{status:?}");
        }
    }
    server.stop().await;
}

async fn depend(
    client: &Client,
    number: &str,
    on: &str,
) -> Result<tonic::Response<pb::UpdateDocumentResponse>, tonic::Status> {
    let request = pb::UpdateDocumentRequest {
        document: Some(pb::Document {
            name: named(number),
            depends_on: vec![on.to_owned()],
            ..Default::default()
        }),
        actor: "ann".to_owned(),
        ..Default::default()
    };
    client.documents().update_document(request).await
}

async fn of_two_drafts_that_are_corrected_at_once_one_is_refused(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    for round in 0..12 {
        // Three, so that the circle is no pair.
        let [a, b, c] = ["A", "B", "C"].map(|letter| format!("{letter}-{round}"));
        create(client, draft(&a)).await;
        create(client, draft(&b)).await;
        create(client, depending(&c, &[&a])).await;
        let (one, other) = tokio::join!(depend(client, &a, &b), depend(client, &b, &c));
        let answers = [one, other];
        let done = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(done, 1, "{answers:?}");
        for refusal in answers.into_iter().filter(Result::is_err) {
            let (_, _, status) = refused(refusal);
            assert!(status.message().contains("a circle"), "{status:?}");
        }
    }
    server.stop().await;
}
