//! Documents that take another number's place: who would be left depending on it, and what takes no place at all.

use tonic::Code;
use watchbell_client::client::Client;
use watchbell_client::pb::{self, DocumentStatus};

use crate::support::office::{
    Step, approve, approved, create, depending, document, does, draft, history, named,
    next_version, status, superseding, to_approval,
};
use crate::support::{Database, Site, on_both, refused, until};

on_both!(
    who_would_be_stranded_is_named_at_the_approval,
    an_activation_strands_and_the_problem_is_told_until_it_is_mended,
    what_supersedes_nothing_says_so,
    a_number_that_lives_again_strands_nobody,
);

fn on(day: &str, strand_reason: &str) -> Step {
    Step::ApproveAs(pb::ApproveDocumentRequest {
        effective_date: day.to_owned(),
        without_content: true,
        strand_reason: strand_reason.to_owned(),
        ..Default::default()
    })
}

/// OLD-7 is in force, USER-1 too and USER-2 a draft, both of which depend on it; NEW-7 waits to take its place.
async fn scene(client: &Client) {
    approved(client, "OLD-7", "2026-03-02").await;
    create(client, depending("USER-1", &["OLD-7"])).await;
    approve(client, "USER-1@1.0", "2026-03-02").await;
    create(client, depending("USER-2", &["OLD-7"])).await;
    create(client, superseding("NEW-7", "OLD-7")).await;
    to_approval(client, "NEW-7").await;
}

async fn who_would_be_stranded_is_named_at_the_approval(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    scene(client).await;

    for day in ["2026-03-02", "2026-03-09"] {
        let (code, reason, refusal) = refused(does(client, "NEW-7", "pat", on(day, " ")).await);
        assert_eq!(
            (code, reason.as_str()),
            (Code::FailedPrecondition, "HAS_DEPENDANTS"),
            "{day}"
        );
        for part in ["USER-1@1.0", "USER-2@1.0", "OLD-7@1.0", "strand_reason"] {
            assert!(refusal.message().contains(part), "{part}: {refusal:?}");
        }
    }
    assert_eq!(status(client, "OLD-7").await, DocumentStatus::Effective);
    let done = does(client, "NEW-7", "pat", on("2026-03-02", "they follow")).await;
    assert_eq!(done.unwrap().status(), DocumentStatus::Effective);
    assert_eq!(status(client, "OLD-7").await, DocumentStatus::Superseded);
    let told = history(client, "NEW-7").await;
    let last = &told.last().unwrap().2;
    assert!(
        last.contains("leaves USER-1@1.0, USER-2@1.0 without OLD-7 (they follow)"),
        "{last}"
    );
    // Of its own number nobody is left behind.
    let own = next_version(client, "NEW-7", false).await;
    assert_eq!(own.supersedes, named("NEW-7@1.0"));
    create(client, depending("USER-3", &["NEW-7"])).await;
    to_approval(client, "NEW-7@1.1").await;
    let done = does(client, "NEW-7@1.1", "pat", on("2026-03-02", "")).await;
    assert_eq!(done.unwrap().status(), DocumentStatus::Effective);
    server.stop().await;
}

async fn an_activation_strands_and_the_problem_is_told_until_it_is_mended(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    scene(client).await;
    does(client, "NEW-7", "pat", on("2026-03-03", "they follow"))
        .await
        .unwrap();
    // Who comes to depend on it meanwhile is not asked about any more.
    create(client, depending("USER-3", &["OLD-7"])).await;

    server.advance(12 * 3600 + 60);

    until("NEW-7 to become effective", async || {
        (status(client, "NEW-7").await == DocumentStatus::Effective).then_some(())
    })
    .await;
    let stranded = async || {
        let problems = server.status().await.problems;
        let mut subjects: Vec<String> = problems
            .into_iter()
            .filter(|problem| problem.r#type == "document.depends_on_dead")
            .map(|problem| {
                assert!(problem.message.contains("OLD-7"), "{problem:?}");
                problem.subject
            })
            .collect();
        subjects.sort();
        subjects
    };
    until("three to be told", async || {
        let wanted = ["USER-1@1.0", "USER-2@1.0", "USER-3@1.0"].map(named);
        (stranded().await == wanted).then_some(())
    })
    .await;
    let told = history(client, "NEW-7").await;
    let last = told.last().unwrap();
    assert_eq!(last.0, "activate");
    assert!(last.2.contains("without OLD-7"), "{}", last.2);

    // One is corrected, one given up, and one gets a next version, which inherits it until it is corrected.
    let other = |key: &str| pb::UpdateDocumentRequest {
        document: Some(pb::Document {
            name: named(key),
            depends_on: vec!["NEW-7".to_owned()],
            ..Default::default()
        }),
        actor: "ann".to_owned(),
        ..Default::default()
    };
    client
        .documents()
        .update_document(other("USER-2"))
        .await
        .unwrap();
    does(client, "USER-3", "ann", Step::Terminate("no".into()))
        .await
        .unwrap();
    next_version(client, "USER-1", false).await;
    until("two to be told", async || {
        let wanted = ["USER-1@1.0", "USER-1@1.1"].map(named);
        (stranded().await == wanted).then_some(())
    })
    .await;
    client
        .documents()
        .update_document(other("USER-1@1.1"))
        .await
        .unwrap();
    approve(client, "USER-1@1.1", "2026-03-03").await;
    server.problem_is_over("document.depends_on_dead").await;
    server.stop().await;
}

async fn what_supersedes_nothing_says_so(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    approved(client, "OLD-7", "2026-03-02").await;
    for number in ["NEW-7", "LATE-7", "LATER-7"] {
        create(client, superseding(number, "OLD-7")).await;
        to_approval(client, number).await;
    }
    let later = does(client, "LATER-7", "pat", on("2026-03-03", "")).await;
    let later = later.unwrap();
    assert_eq!(
        later.supersedes_nothing, "",
        "it still stands to be superseded"
    );
    let first = does(client, "NEW-7", "pat", on("2026-03-02", "")).await;
    assert_eq!(first.unwrap().supersedes_nothing, "");

    let late = does(client, "LATE-7", "pat", on("2026-03-02", "")).await;

    let late = late.unwrap();
    assert_eq!(late.status(), DocumentStatus::Effective);
    assert_eq!(late.supersedes_nothing, "OLD-7@1.0 is SUPERSEDED");
    let told = history(client, "LATE-7").await;
    let last = &told.last().unwrap().2;
    assert!(
        last.contains("supersedes nothing: OLD-7@1.0 is SUPERSEDED"),
        "{last}"
    );
    server.advance(12 * 3600 + 60);
    let later = until("LATER-7 to become effective", async || {
        let found = document(client, "LATER-7").await;
        (found.status() == DocumentStatus::Effective).then_some(found)
    })
    .await;
    assert_eq!(later.supersedes_nothing, "OLD-7@1.0 is SUPERSEDED");
    let told = history(client, "LATER-7").await;
    assert_eq!(
        told.last().unwrap().2,
        "supersedes nothing: OLD-7@1.0 is SUPERSEDED"
    );
    server.stop().await;
}

async fn a_number_that_lives_again_strands_nobody(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    create(client, draft("POL-1")).await;
    create(client, depending("SOP-1", &["POL-1"])).await;
    does(client, "POL-1", "ann", Step::Terminate("no".into()))
        .await
        .unwrap();
    let problem = server.problem("document.depends_on_dead").await;
    assert_eq!(problem.subject, named("SOP-1@1.0"));
    let mut again = draft("POL-1");
    again.document.as_mut().unwrap().version_major = 2;
    create(client, again).await;
    server.problem_is_over("document.depends_on_dead").await;
    does(client, "POL-1@2.0", "ann", Step::Terminate("no".into()))
        .await
        .unwrap();
    server.problem("document.depends_on_dead").await;
    server.stop().await;
}
