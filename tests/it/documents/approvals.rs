//! What an approval takes besides its status: a day that is not past, and a file; and what is told of those without.

use tonic::Code;
use watchbell_client::pb::{self, DocumentStatus};

use crate::contents::desk::{bytes, header_for, upload};
use crate::support::office::{
    Step, create, document, does, draft, history, named, next_version, to_approval,
};
use crate::support::{Database, Site, at, on_both, refused, until, violations};

on_both!(
    a_day_that_is_past_takes_a_reason_and_both_days_are_kept,
    a_reason_for_a_day_that_is_not_past_is_refused,
    without_a_file_it_takes_a_word_and_activation_asks_for_none,
    types_that_have_no_file_need_none_and_are_not_counted,
);

fn on(day: &str) -> pb::ApproveDocumentRequest {
    pb::ApproveDocumentRequest {
        effective_date: day.to_owned(),
        without_content: true,
        ..Default::default()
    }
}

async fn a_day_that_is_past_takes_a_reason_and_both_days_are_kept(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("SOP-1")).await;
    to_approval(client, "SOP-1").await;
    let before = document(client, "SOP-1").await;

    let past = Step::ApproveAs(on("2026-02-27"));
    let (code, reason, status) = refused(does(client, "SOP-1", "pat", past).await);
    assert_eq!(
        (code, reason.as_str(), violations(&status)),
        (
            Code::InvalidArgument,
            "INVALID_FIELD",
            vec!["effective_date".to_owned()]
        )
    );
    assert!(status.message().contains("backdated_reason"), "{status:?}");
    assert_eq!(document(client, "SOP-1").await, before);

    let long = Step::ApproveAs(pb::ApproveDocumentRequest {
        backdated_reason: "x".repeat(1001),
        ..on("2026-02-27")
    });
    let (_, _, status) = refused(does(client, "SOP-1", "pat", long).await);
    assert_eq!(violations(&status), ["backdated_reason"]);
    let meant = Step::ApproveAs(pb::ApproveDocumentRequest {
        backdated_reason: "signed on paper".to_owned(),
        comment: "fine".to_owned(),
        ..on("2026-02-27")
    });
    let done = does(client, "SOP-1", "pat", meant).await.unwrap();
    assert_eq!(done.status(), DocumentStatus::Effective);
    assert_eq!(done.effective_date, "2026-02-27");
    assert_eq!(at(&done.activate_time), "2026-03-02T12:00:00Z");
    assert_eq!(done.backdated_reason, "signed on paper");
    let kept = document(client, "SOP-1").await;
    assert_eq!(kept.backdated_reason, "signed on paper");
    let told = history(client, "SOP-1").await;
    assert_eq!(
        told.last().unwrap().2,
        "effective on 2026-02-27, backdated (signed on paper), without a file: fine"
    );
    server.stop().await;
}

async fn a_reason_for_a_day_that_is_not_past_is_refused(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("SOP-1")).await;
    to_approval(client, "SOP-1").await;
    for day in ["2026-03-02", "2026-03-09"] {
        let step = Step::ApproveAs(pb::ApproveDocumentRequest {
            backdated_reason: "because".to_owned(),
            ..on(day)
        });
        let (code, _, status) = refused(does(client, "SOP-1", "pat", step).await);
        assert_eq!(
            (code, violations(&status)),
            (Code::InvalidArgument, vec!["backdated_reason".to_owned()]),
            "{day}"
        );
    }
    server.stop().await;
}

async fn without_a_file_it_takes_a_word_and_activation_asks_for_none(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    let bare = |day: &str| {
        Step::ApproveAs(pb::ApproveDocumentRequest {
            effective_date: day.to_owned(),
            ..Default::default()
        })
    };
    for number in ["SOP-1", "SOP-2"] {
        create(client, draft(number)).await;
    }
    let file = bytes(1000, 1);
    upload(client, header_for("SOP-1@1.0", &file), &file)
        .await
        .unwrap();
    for number in ["SOP-1", "SOP-2"] {
        to_approval(client, number).await;
    }

    let with = does(client, "SOP-1", "pat", bare("2026-03-02"))
        .await
        .unwrap();
    assert_eq!(with.status(), DocumentStatus::Effective);
    let told = history(client, "SOP-1").await;
    assert_eq!(told.last().unwrap().2, "effective on 2026-03-02");
    for day in ["2026-03-02", "2026-03-03"] {
        let (code, reason, status) = refused(does(client, "SOP-2", "pat", bare(day)).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::FailedPrecondition, "NO_CONTENT"),
            "{day}"
        );
        assert!(status.message().contains("without_content"), "{status:?}");
    }
    let meant = Step::ApproveAs(on("2026-03-03"));
    does(client, "SOP-2", "pat", meant).await.unwrap();
    server.advance(12 * 3600 + 60);
    until("SOP-2 to become effective", async || {
        let found = document(client, "SOP-2").await;
        (found.status() == DocumentStatus::Effective).then_some(())
    })
    .await;
    // A next version has none of the file of the one before.
    next_version(client, "SOP-1", false).await;
    to_approval(client, "SOP-1@1.1").await;
    let (_, reason, _) = refused(does(client, "SOP-1@1.1", "pat", bare("2026-03-09")).await);
    assert_eq!(reason, "NO_CONTENT");
    until("the figure", async || {
        let figures = server.status().await.documents.unwrap();
        (figures.without_content_count == 1 && figures.today == "2026-03-03").then_some(())
    })
    .await;
    server.stop().await;
}

async fn types_that_have_no_file_need_none_and_are_not_counted(database: Database) {
    let site = Site::configured(database, "[document_types.Record]\ncontent = false\n");
    let server = site.start().await;
    let client = &server.client;
    let of = |number: &str, document_type: &str| {
        let mut request = draft(number);
        request.document.as_mut().unwrap().document_type = document_type.to_owned();
        request
    };
    for (number, document_type) in [("REC-1", "Record"), ("REC-2", "RECORD"), ("SOP-1", "SOP")] {
        create(client, of(number, document_type)).await;
        to_approval(client, number).await;
    }
    let approve = async |number: &str| {
        let request = pb::ApproveDocumentRequest {
            name: named(number),
            actor: "pat".to_owned(),
            effective_date: "2026-03-02".to_owned(),
            ..Default::default()
        };
        client.documents().approve_document(request).await
    };
    for number in ["REC-1", "REC-2"] {
        approve(number).await.unwrap();
    }
    let (_, reason, _) = refused(approve("SOP-1").await);
    assert_eq!(reason, "NO_CONTENT");
    let figures = server.status().await.documents.unwrap();
    assert_eq!(figures.without_content_count, 0);
    let meant = Step::ApproveAs(on("2026-03-02"));
    does(client, "SOP-1", "pat", meant).await.unwrap();
    until("one to be counted", async || {
        let figures = server.status().await.documents.unwrap();
        (figures.without_content_count == 1).then_some(())
    })
    .await;
    let status = server.status().await;
    let problems = status.problems.iter();
    let of_documents = problems.filter(|problem| problem.r#type.starts_with("document."));
    assert_eq!(of_documents.count(), 0, "it is a figure: {status:?}");
    server.stop().await;
}
