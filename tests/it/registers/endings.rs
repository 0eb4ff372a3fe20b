//! Imports that end too soon: by their client, by the server, by the database.

use std::time::Duration;

use sea_orm::ConnectionTrait as _;
use tokio_stream::StreamExt as _;
use tonic::{Code, Request};
use watchbell_client::pb;

use super::desk::{header, hear, import, kept, lined, message, row, say};
use crate::support::{
    Database, Proxy, Server, Site, on_both, on_postgresql, refused, until, within,
};

on_both!(
    an_import_that_is_given_up_leaves_nothing_and_lets_the_next_one_in,
    one_import_is_under_way_at_a_time,
    a_server_that_stops_ends_imports_and_exports,
    a_caller_that_does_not_wait_is_told_so,
    a_client_that_does_not_read_is_not_read_from,
    a_database_that_is_busy_for_too_long_ends_it_and_the_same_file_goes_on,
);
on_postgresql!(
    a_database_that_goes_away_ends_it_and_the_same_file_goes_on,
    two_replicas_bring_in_the_same_file_once,
);

fn rows(count: usize) -> Vec<pb::DocumentRow> {
    lined(
        (0..count)
            .map(|number| row(&format!("SOP-{number:06}")))
            .collect(),
    )
}

/// An import whose rows come until its sender goes.
struct Open {
    sender: tokio::sync::mpsc::Sender<pb::ImportDocumentsRequest>,
    answers: tonic::Streaming<pb::ImportDocumentsResponse>,
}

impl Open {
    async fn new(server: &Server) -> Self {
        let (sender, sent) = tokio::sync::mpsc::channel(64);
        let sent = tokio_stream::wrappers::ReceiverStream::new(sent);
        let mut documents = server.client.documents();
        let answers = documents.import_documents(sent);
        let mut open = Self {
            sender,
            answers: answers.await.unwrap().into_inner(),
        };
        open.sender.send(header("ann", false)).await.unwrap();
        open.sender.send(message(&rows(600))).await.unwrap();
        // So that it is under way.
        open.progress().await;
        open
    }

    async fn progress(&mut self) -> pb::ImportProgress {
        let answer = within("an answer", self.answers.next()).await;
        match answer.unwrap().unwrap().message {
            Some(pb::import_documents_response::Message::Progress(progress)) => progress,
            other => panic!("{other:?}"),
        }
    }
}

async fn an_import_that_is_given_up_leaves_nothing_and_lets_the_next_one_in(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let open = Open::new(&server).await;
    drop(open);
    let told = import(&server.client, rows(3)).await;
    assert_eq!(told.counts(), (3, 0, 0));
    assert_eq!(kept(&server.client).await.len(), 3);
    let left = std::fs::read_dir(site.data().join("imports")).unwrap();
    assert_eq!(left.count(), 0);
    server.stop().await;
}

async fn one_import_is_under_way_at_a_time(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let open = Open::new(&server).await;
    let messages = vec![header("bob", false), message(&rows(1))];
    let (code, _, status) = refused(say(&server.client, messages).await);
    assert_eq!(code, Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("another import"), "{status:?}");
    drop(open.sender);
    let told = within("the first one", hear(open.answers)).await.unwrap();
    assert_eq!(told.counts(), (600, 0, 0));
    server.stop().await;
}

async fn a_server_that_stops_ends_imports_and_exports(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let open = Open::new(&server).await;
    server.drain();
    let (code, _, status) = refused(within("the end", hear(open.answers)).await);
    assert_eq!(code, Code::Unavailable, "{status:?}");
    assert!(
        status.message().contains("send the file again"),
        "{status:?}"
    );
    server.stopped().await;
}

async fn a_caller_that_does_not_wait_is_told_so(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let (sender, sent) = tokio::sync::mpsc::channel(1);
    sender.send(header("ann", false)).await.unwrap();
    let mut request = Request::new(tokio_stream::wrappers::ReceiverStream::new(sent));
    request.set_timeout(Duration::from_secs(2));
    let answers = server.client.documents().import_documents(request).await;
    let heard = within("the deadline", hear(answers.unwrap().into_inner())).await;
    let (code, reason, _) = refused(heard);
    assert_eq!(
        (code, reason.as_str()),
        (Code::DeadlineExceeded, "DEADLINE")
    );
    server.stop().await;
}

async fn a_client_that_does_not_read_is_not_read_from(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let Open { sender, answers } = Open::new(&server).await;
    // In the end more, both ways, than any window takes.
    let nameless = pb::DocumentRow {
        title: "A document about something".repeat(9),
        ..Default::default()
    };
    let bad = vec![nameless; 1000];
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_secs(3), sender.send(message(&bad)))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(
            sent < 900,
            "{sent} messages were taken from who reads no answers"
        );
    }
    // It goes on once they are read.
    drop(sender);
    let mut answers = answers;
    let mut bad_count = 0;
    loop {
        let answer = within("an answer", answers.next()).await.unwrap().unwrap();
        match answer.message.unwrap() {
            pb::import_documents_response::Message::BadRow(_) => bad_count += 1,
            pb::import_documents_response::Message::Progress(_)
            | pb::import_documents_response::Message::Note(_) => {}
            pb::import_documents_response::Message::Summary(summary) => {
                assert_eq!(summary.created_count, 600);
                assert_eq!(summary.bad_count, bad_count);
                break;
            }
        }
    }
    assert_eq!(bad_count, sent * 1000);
    server.stop().await;
}

/// An import of many rows, heard until some of them are written.
async fn half_done(
    server: &Server,
    rows: &[pb::DocumentRow],
) -> tonic::Streaming<pb::ImportDocumentsResponse> {
    let mut messages = vec![header("ann", false)];
    messages.extend(rows.chunks(1000).map(message));
    let mut documents = server.client.documents();
    let answers = documents.import_documents(tokio_stream::iter(messages));
    let mut answers = answers.await.unwrap().into_inner();
    loop {
        let answer = within("progress", answers.next()).await.unwrap().unwrap();
        if let Some(pb::import_documents_response::Message::Progress(progress)) = answer.message
            && 0 < progress.done_count
        {
            return answers;
        }
    }
}

/// The rest of an import that must fail, and the same file again.
async fn goes_on(server: &Server, rows: Vec<pb::DocumentRow>) {
    let count = rows.len() as i64;
    let told = import(&server.client, rows).await;
    let (created, unchanged, bad) = told.counts();
    assert!(0 < created && 0 < unchanged, "{told:?}");
    assert_eq!((created + unchanged, bad), (count, 0));
    assert_eq!(kept(&server.client).await.len() as i64, count);
}

async fn a_database_that_is_busy_for_too_long_ends_it_and_the_same_file_goes_on(
    database: Database,
) {
    let site = Site::new(database);
    let server = site.start().await;
    let rows = rows(20_000);
    let fate = site.database.connect(site.data()).await;
    let answers = half_done(&server, &rows).await;
    let lock = match site.database.is_postgresql() {
        true => "BEGIN; LOCK TABLE documents",
        false => "BEGIN IMMEDIATE",
    };
    until("the lock", async || {
        fate.execute_unprepared(lock).await.ok()
    })
    .await;
    let (code, _, status) = refused(within("its end", hear(answers)).await);
    assert_eq!(code, Code::Unavailable, "{status:?}");
    fate.execute_unprepared("ROLLBACK").await.unwrap();
    goes_on(&server, rows).await;
    server.stop().await;
}

async fn a_database_that_goes_away_ends_it_and_the_same_file_goes_on(database: Database) {
    let site = Site::new(database);
    let wire = Proxy::to(&site.database.url()).await;
    let server = site.start_on(&wire.url(&site.database.url())).await;
    let rows = rows(20_000);
    let answers = half_done(&server, &rows).await;
    wire.cut();
    let (code, _, status) = refused(within("its end", hear(answers)).await);
    assert_eq!(code, Code::Unavailable, "{status:?}");
    wire.mend();
    until("the database", async || {
        let request = pb::ListDocumentsRequest::default();
        server.client.documents().list_documents(request).await.ok()
    })
    .await;
    server.recovers().await;
    goes_on(&server, rows).await;
    server.stop().await;
}

async fn two_replicas_bring_in_the_same_file_once(database: Database) {
    let site = Site::new(database);
    let (one, other) = (site.start().await, site.start().await);
    let rows = rows(5_000);
    let (one_told, other_told) = tokio::join!(
        import(&one.client, rows.clone()),
        import(&other.client, rows.clone())
    );
    let counts = [one_told.counts(), other_told.counts()];
    let created: i64 = counts.iter().map(|count| count.0).sum();
    assert_eq!(created, 5_000, "{counts:?}");
    assert_eq!((counts[0].2, counts[1].2), (0, 0));
    assert_eq!(kept(&one.client).await.len(), 5_000);
    one.stop().await;
    other.stop().await;
}
