//! Documents: lists, history, verbs and watches.

use serde_json::{Value, json};
use tonic::Status;
use watchbell_client::pb::{
    Document, DocumentEvent, DocumentFigures, DocumentHistoryEntry, DocumentStatus,
    WatchDocumentsResponse, watch_documents_response::Message,
};

use crate::harness::Harness;

fn document(number: &str) -> Document {
    Document {
        name: format!("documents/{number}@1.0"),
        number: number.into(),
        title: "line\nbreak \u{1b}[31m".into(),
        status: DocumentStatus::Effective.into(),
        effective_date: "2026-03-01".into(),
        ..Document::default()
    }
}

#[tokio::test]
async fn each_verb_sends_its_fields_who_does_it_and_an_id() {
    let harness = Harness::start().await;
    let common = json!({"name": "documents/SOP-1", "actor": "ada"});
    for (line, message, fields) in [
        (
            "submit SOP-1 --reviewer grace",
            "SubmitDocumentRequest",
            json!({"reviewer": "grace"}),
        ),
        (
            "start-review SOP-1 --etag e",
            "StartReviewRequest",
            json!({"etag": "e"}),
        ),
        (
            "pass-review SOP-1 --comment ok",
            "PassReviewRequest",
            json!({"comment": "ok"}),
        ),
        (
            "reject SOP-1 --comment no",
            "RejectDocumentRequest",
            json!({"comment": "no"}),
        ),
        (
            "request-approval SOP-1 --approver alan",
            "RequestApprovalRequest",
            json!({"approver": "alan"}),
        ),
        ("start-approval SOP-1", "StartApprovalRequest", json!({})),
        (
            "approve SOP-1 --effective 2026-03-01 --comment ok --etag e",
            "ApproveDocumentRequest",
            json!({"effectiveDate": "2026-03-01", "comment": "ok", "etag": "e"}),
        ),
        (
            "approve SOP-1 --effective 2026-02-27 --backdated paper --without-file --strand soon",
            "ApproveDocumentRequest",
            json!({
                "effectiveDate": "2026-02-27", "backdatedReason": "paper", "withoutContent": true,
                "strandReason": "soon",
            }),
        ),
        (
            "withdraw SOP-1 --comment late",
            "WithdrawDocumentRequest",
            json!({"comment": "late"}),
        ),
        (
            "schedule-obsolescence SOP-1 --on 2026-12-31 --reason old",
            "ScheduleObsolescenceRequest",
            json!({"obsolescenceDate": "2026-12-31", "reason": "old"}),
        ),
        (
            "cancel-obsolescence SOP-1 --reason needed",
            "CancelObsolescenceRequest",
            json!({"reason": "needed"}),
        ),
        (
            "terminate SOP-1 --reason no",
            "TerminateDocumentRequest",
            json!({"reason": "no"}),
        ),
        (
            "new-version SOP-1 --major --title New --reason why",
            "CreateVersionRequest",
            json!({"major": true, "title": "New", "reason": "why"}),
        ),
    ] {
        let args: Vec<&str> = ["document"].into_iter().chain(line.split(' ')).collect();
        let done = harness.run(&args).await;
        assert_eq!(done.code, 0, "{done:?}");
        assert!(
            done.stdout.contains("SOP-1@1.0 pending-review: Cleaning"),
            "{done:?}"
        );
        assert!(!done.stdout.contains('\u{1b}'), "{done:?}");
        let (name, mut sent) = harness.script().documents.moved.pop().unwrap();
        assert_eq!(name, message, "{line}");
        let id = sent.as_object_mut().unwrap().remove("requestId").unwrap();
        assert_eq!(id.as_str().unwrap().len(), 36);
        let mut expected = common.clone();
        expected
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        assert_eq!(sent, expected, "{line}");
    }
}

#[tokio::test]
async fn a_document_is_created_from_flags() {
    let harness = Harness::start().await;
    let line = "doc create SOP-1 --title Cleaning --type SOP --version 2.1 --reviewer grace \
                --approver alan --supersedes SOP-1@1.0 --depends-on A --depends-on B \
                --validate-only --as eve";
    let done = harness
        .run(&line.split_whitespace().collect::<Vec<_>>())
        .await;
    assert!(
        done.stdout.starts_with("valid, not created: SOP-1@1.0"),
        "{done:?}"
    );
    let (_, sent) = harness.script().documents.moved.pop().unwrap();
    assert_eq!(sent["actor"], "eve");
    assert_eq!(sent["validateOnly"], true);
    assert_eq!(
        sent["document"],
        json!({
            "number": "SOP-1", "title": "Cleaning", "documentType": "SOP",
            "versionMajor": 2, "versionMinor": 1, "reviewer": "grace", "approver": "alan",
            "supersedes": "documents/SOP-1@1.0", "dependsOn": ["A", "B"],
        })
    );
}

#[tokio::test]
async fn a_draft_is_corrected_in_what_is_named_alone() {
    let harness = Harness::start().await;
    let args = [
        "document",
        "update",
        "SOP-1",
        "--title",
        "New",
        "--reviewer",
        "",
        "--depends-on",
        "A",
        "--as",
        "eve",
        "--etag",
        "e",
    ];
    let done = harness.run(&args).await;
    assert!(done.stdout.starts_with("updated SOP-1@1.0"), "{done:?}");
    let (_, sent) = harness.script().documents.moved.pop().unwrap();
    assert_eq!(
        sent["document"],
        json!({"name": "documents/SOP-1", "title": "New", "dependsOn": ["A"], "etag": "e"})
    );
    assert_eq!(sent["updateMask"], "title,reviewer,dependsOn");
    let nothing = harness
        .run(&["document", "update", "SOP-1", "--depends-on-nothing"])
        .await;
    assert_eq!(nothing.code, 0, "{nothing:?}");
    let (_, sent) = harness.script().documents.moved.pop().unwrap();
    assert_eq!(sent["updateMask"], "dependsOn");
    let none = harness.run(&["document", "update", "SOP-1"]).await;
    assert_eq!(none.code, 2, "{none:?}");
}

#[tokio::test]
async fn days_from_today_are_the_organisations() {
    let harness = Harness::start().await;
    harness.script().status.documents = Some(DocumentFigures {
        today: "2026-02-27".into(),
        ..DocumentFigures::default()
    });
    let line = "document approve SOP-1 --effective today+2";
    let done = harness.run(&line.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(done.code, 0, "{done:?}");
    let (_, sent) = harness.script().documents.moved.pop().unwrap();
    assert_eq!(sent["effectiveDate"], "2026-03-01");
    let line = "document list --effective-since yesterday --obsolescence-before today+30";
    harness.run(&line.split(' ').collect::<Vec<_>>()).await;
    let asked = harness.script().documents.listed.pop().unwrap();
    assert_eq!(
        (
            asked.effective_since.as_str(),
            asked.obsolescence_before.as_str()
        ),
        ("2026-02-26", "2026-03-29")
    );
    let line = "document approve SOP-1 --effective today+x";
    let wrong = harness.run(&line.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(harness.script().documents.moved.is_empty());
}

#[tokio::test]
async fn people_are_asked_for_and_shown_where_that_is_wanted() {
    let harness = Harness::start().await;
    harness.script().documents.documents = vec![Document {
        author: "ann".into(),
        reviewer: "rex".into(),
        approver: "pat".into(),
        ..document("SOP-1")
    }];
    let line = "document list --author ann --reviewer rex --approver pat --wide";
    let done = harness.run(&line.split(' ').collect::<Vec<_>>()).await;
    let asked = harness.script().documents.listed.pop().unwrap();
    assert_eq!(
        (
            asked.author.as_str(),
            asked.reviewer.as_str(),
            asked.approver.as_str()
        ),
        ("ann", "rex", "pat")
    );
    for text in ["REVIEWER", "APPROVER", "rex", "pat", "none"] {
        assert!(done.stdout.contains(text), "{text}: {done:?}");
    }
}

#[tokio::test]
async fn somebody_must_have_done_it() {
    let harness = Harness::start().await;
    let args = ["document", "start-review", "SOP-1", "-o", "json"];
    let mut nobody = harness.command(&args);
    nobody.env_remove("USER").env("LOGNAME", "");
    let output = nobody.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("--as") && told.contains("WATCHBELL_ACTOR"),
        "{told}"
    );
    let mut named = harness.command(&args);
    named.env("WATCHBELL_ACTOR", "grace");
    assert!(named.output().await.unwrap().status.success());
    let (_, sent) = harness.script().documents.moved.pop().unwrap();
    assert_eq!(sent["actor"], "grace");
}

#[tokio::test]
async fn a_list_asks_for_what_it_is_told_and_joins_its_pages() {
    let harness = Harness::start().await;
    harness.script().documents.documents = vec![document("SOP-1"), document("SOP-2")];
    let line = "documents list --status effective --status approved-pending-effective --number SOP-* \
                --type SOP --effective-since 2026-03-01 --effective-before 2026-04-01 \
                --obsolescence-since 2027-01-01 --obsolescence-before 2028-01-01 --all -o json";
    let done = harness
        .run(&line.split_whitespace().collect::<Vec<_>>())
        .await;
    assert_eq!(done.code, 0, "{done:?}");
    let listed: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(listed["documents"][1]["number"], "SOP-2");
    let asked = harness.script().documents.listed.clone();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].statuses, [8, 7]);
    assert_eq!(
        (asked[0].number.as_str(), asked[0].document_type.as_str()),
        ("SOP-*", "SOP")
    );
    assert_eq!(asked[0].effective_since, "2026-03-01");
    assert_eq!(asked[0].effective_before, "2026-04-01");
    assert_eq!(asked[0].obsolescence_since, "2027-01-01");
    assert_eq!(asked[0].obsolescence_before, "2028-01-01");
    assert_eq!(
        (asked[0].page_size, asked[1].page_token.as_str()),
        (1_000, "1")
    );

    let page = harness.run(&["document", "list"]).await;
    assert!(page.stdout.contains("SOP-1@1.0"), "{page:?}");
    assert!(!page.stdout.contains('\u{1b}'), "{page:?}");
    assert!(page.stderr.contains("--all"), "{page:?}");
}

#[tokio::test]
async fn a_document_is_shown_with_its_newest_history() {
    let harness = Harness::start().await;
    harness.script().documents.documents = vec![Document {
        legal_verbs: vec!["schedule_obsolescence".into()],
        ..document("SOP-1")
    }];
    harness.script().documents.history = (0..25)
        .map(|revision| DocumentHistoryEntry {
            revision,
            verb: "pass_review".into(),
            comment: format!("comment {revision}."),
            ..DocumentHistoryEntry::default()
        })
        .collect();
    let shown = harness.run(&["document", "show", "SOP-1"]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    for text in [
        "schedule-obsolescence",
        "pass-review",
        "comment 0.",
        "comment 19.",
    ] {
        assert!(shown.stdout.contains(text), "{text}: {shown:?}");
    }
    assert!(!shown.stdout.contains("comment 20."), "{shown:?}");
    assert!(shown.stderr.contains("--all-history"), "{shown:?}");
    // The history is that of the version that is shown.
    assert_eq!(
        harness.script().documents.histories[0].name,
        "documents/SOP-1@1.0"
    );

    let all = [
        "document",
        "show",
        "SOP-1@1.0",
        "--all-history",
        "-o",
        "json",
    ];
    let done = harness.run(&all).await;
    let shown: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(shown["document"]["number"], "SOP-1");
    assert_eq!(shown["history"].as_array().unwrap().len(), 25);

    let asked = harness.script().documents.histories.len();
    let none = harness
        .run(&["document", "show", "SOP-1", "--history", "0"])
        .await;
    assert_eq!(none.stderr, "");
    assert_eq!(harness.script().documents.histories.len(), asked);
}

fn event(token: &str, revision: i64) -> Result<WatchDocumentsResponse, Status> {
    let event = DocumentEvent {
        r#type: "document.submitted".into(),
        document: Some(Document {
            revision,
            ..document("SOP-1")
        }),
        ..DocumentEvent::default()
    };
    Ok(WatchDocumentsResponse {
        message: Some(Message::Event(event)),
        resume_token: token.into(),
    })
}

#[tokio::test]
async fn a_watch_resumes_without_gap_or_repetition() {
    let harness = Harness::start().await;
    harness.script().documents.watches = [
        Ok(vec![
            event("t1", 1),
            event("t2", 2),
            Err(Status::unavailable("gone")),
        ]),
        Ok(vec![
            event("t2", 2),
            event("t3", 3),
            Err(Status::out_of_range("too old")),
        ]),
    ]
    .into();
    let args = [
        "document",
        "watch",
        "SOP-1",
        "--skip-snapshot",
        "-o",
        "json",
    ];
    let done = harness.run(&args).await;
    assert_eq!(done.code, 7, "{done:?}");
    let lines = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let revisions: Vec<_> = lines
        .map(|line: Value| line["event"]["document"]["revision"].clone())
        .collect();
    assert_eq!(revisions, ["1", "2", "3"]);
    let watched = harness.script().documents.watched.clone();
    let asked: Vec<_> = watched
        .iter()
        .map(|asked| {
            (
                asked.number.as_str(),
                asked.skip_snapshot,
                asked.resume_token.as_str(),
            )
        })
        .collect();
    assert_eq!(asked, [("SOP-1", true, ""), ("SOP-1", true, "t2")]);
}
