//! Watches of documents: nothing missed, nothing twice, also where a task moves many.

use std::collections::BTreeMap;

use tonic::{Code, Streaming};
use watchbell_client::pb::{self, watch_documents_response::Message};

use crate::registers::desk::{import, version};
use crate::support::office::{approve, approved, create, draft, next_version};
use crate::support::{Database, Server, Site, on_both, refused, violations, within};

on_both!(
    a_watch_shows_what_is_under_way_and_then_every_change,
    a_watch_of_one_number_shows_all_its_versions_and_resumes,
    a_whole_snapshot_shows_also_what_is_in_force_however_much_that_is,
);

async fn watch(
    server: &Server,
    request: pb::WatchDocumentsRequest,
) -> Streaming<pb::WatchDocumentsResponse> {
    let opened = server.client.documents().watch_documents(request).await;
    opened.unwrap().into_inner()
}

async fn next(watch: &mut Streaming<pb::WatchDocumentsResponse>) -> (Message, String) {
    loop {
        let message = within("a message of the watch", watch.message()).await;
        let message = message.unwrap().expect("the stream goes on");
        match message.message {
            Some(Message::Heartbeat(_)) => {}
            told => return (told.expect("a message"), message.resume_token),
        }
    }
}

/// The revisions that the snapshot showed, which may be told again: a client drops them.
type Seen = BTreeMap<String, i64>;

/// The snapshot's documents, up to its end.
async fn snapshot(watch: &mut Streaming<pb::WatchDocumentsResponse>) -> Seen {
    let mut shown = Seen::new();
    loop {
        match next(watch).await.0 {
            Message::Snapshot(document) => drop(shown.insert(document.name, document.revision)),
            Message::SnapshotEnd(end) => {
                assert_eq!(end.count, shown.len() as i64);
                return shown;
            }
            other => panic!("expected the snapshot, got {other:?}"),
        }
    }
}

/// The next event that is news.
async fn event(
    watch: &mut Streaming<pb::WatchDocumentsResponse>,
    seen: &Seen,
) -> (String, String, String) {
    loop {
        match next(watch).await {
            (Message::Event(event), token) => {
                let document = event.document.unwrap();
                let known = seen.get(&document.name).copied().unwrap_or(0);
                if known < document.revision {
                    return (event.r#type, document.name, token);
                }
            }
            (other, _) => panic!("expected an event, got {other:?}"),
        }
    }
}

async fn a_watch_shows_what_is_under_way_and_then_every_change(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    create(client, draft("SOP-1")).await;
    approved(client, "SOP-2", "2026-03-02").await;
    approved(client, "SOP-3", "2026-03-03").await;
    next_version(client, "SOP-2", false).await;
    approve(client, "SOP-2@1.1", "2026-03-03").await;

    let mut watch = watch(&server, pb::WatchDocumentsRequest::default()).await;
    let shown = snapshot(&mut watch).await;
    let names: Vec<&str> = shown.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "documents/SOP-1@1.0",
            "documents/SOP-2@1.1",
            "documents/SOP-3@1.0"
        ],
        "what is in force for good is not under way"
    );
    server.advance(24 * 3600);

    let mut told = Vec::new();
    for _ in 0..3 {
        let (kind, name, _) = event(&mut watch, &shown).await;
        told.push(format!("{kind} {name}"));
    }
    told.sort();
    assert_eq!(
        told,
        [
            "document.activated documents/SOP-2@1.1",
            "document.activated documents/SOP-3@1.0",
            "document.superseded documents/SOP-2@1.0"
        ]
    );
    server.stop().await;
}

async fn a_watch_of_one_number_shows_all_its_versions_and_resumes(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    approved(client, "SOP-1", "2026-03-02").await;
    next_version(client, "SOP-1", false).await;
    create(client, draft("SOP-2")).await;
    let one = pb::WatchDocumentsRequest {
        number: "SOP-1".to_owned(),
        ..Default::default()
    };
    let mut first = watch(&server, one.clone()).await;
    let shown = snapshot(&mut first).await;
    let names: Vec<&str> = shown.keys().map(String::as_str).collect();
    assert_eq!(names, ["documents/SOP-1@1.0", "documents/SOP-1@1.1"]);

    create(client, draft("SOP-3")).await;
    approve(client, "SOP-1@1.1", "2026-03-02").await;

    let (kind, name, token) = event(&mut first, &shown).await;
    assert_eq!(
        (kind.as_str(), name.as_str()),
        ("document.submitted", "documents/SOP-1@1.1")
    );
    let mut rest = Vec::new();
    for _ in 0..6 {
        rest.push(event(&mut first, &shown).await.0);
    }
    let mut resumed = watch(
        &server,
        pb::WatchDocumentsRequest {
            resume_token: token.clone(),
            ..one.clone()
        },
    )
    .await;
    let mut again = Vec::new();
    for _ in 0..6 {
        again.push(event(&mut resumed, &shown).await.0);
    }
    assert_eq!(again, rest);
    assert_eq!(&rest[4..], ["document.superseded", "document.approved"]);
    let other = pb::WatchDocumentsRequest {
        number: "SOP-2".to_owned(),
        resume_token: token,
        ..Default::default()
    };
    let (code, _, status) = refused(
        server
            .client
            .documents()
            .watch_documents(other)
            .await
            .map(|_| ()),
    );
    assert_eq!(
        (code, violations(&status)),
        (Code::InvalidArgument, vec!["resume_token".to_owned()])
    );
    server.stop().await;
}

async fn a_whole_snapshot_shows_also_what_is_in_force_however_much_that_is(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    approved(client, "SOP-1", "2026-03-02").await;
    // More than is read at once.
    let row = |n: usize| pb::DocumentRow {
        effective_date: "2026-01-01".to_owned(),
        author: "ann".to_owned(),
        reviewer: "rob".to_owned(),
        approver: "ida".to_owned(),
        ..version(&format!("WI-{n:03}@1.0"), "EFFECTIVE")
    };
    let told = import(client, (0..600).map(row).collect()).await;
    assert_eq!(told.counts(), (600, 0, 0));
    let whole = pb::WatchDocumentsRequest {
        whole_snapshot: true,
        ..Default::default()
    };
    let mut first = watch(&server, whole.clone()).await;
    let shown = snapshot(&mut first).await;
    assert_eq!(shown.len(), 601);
    assert!(shown.contains_key("documents/SOP-1@1.0"), "{shown:?}");

    create(client, draft("SOP-2")).await;
    let (kind, name, token) = event(&mut first, &shown).await;
    assert_eq!(
        (kind.as_str(), name.as_str()),
        ("document.created", "documents/SOP-2@1.0")
    );
    create(client, draft("SOP-3")).await;
    let resumed = pb::WatchDocumentsRequest {
        resume_token: token,
        ..whole
    };
    let (_, name, _) = event(&mut watch(&server, resumed).await, &Seen::new()).await;
    assert_eq!(name, "documents/SOP-3@1.0");
    server.stop().await;
}
