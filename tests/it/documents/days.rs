//! Documents whose day comes: what is moved, what is not and why, and what the status says.

use jiff::SignedDuration;
use sea_orm::ConnectionTrait as _;
use watchbell_client::pb::{self, DocumentStatus, RunOutcome, RunState};

use crate::support::office::{
    activate, approve, approved, create, document, draft, history, next_version, status,
};
use crate::support::{Database, Server, Site, at, noon, on_both, until};

on_both!(
    a_document_becomes_effective_at_the_first_slot_of_its_day,
    today_is_the_organisations_day,
    one_bad_document_does_not_stop_the_rest,
    a_dry_run_says_what_would_happen_and_changes_nothing,
    two_versions_due_at_once_leave_the_newer_in_force,
);

/// Waits until the slots of an evening, up to so many hours after noon, are done with: a slot that comes while the run of
/// another is under way is skipped.
async fn evening_is_over(server: &Server, hours: i64) {
    let last = noon() + SignedDuration::from_hours(hours);
    server.done("process-document-effective-dates", last).await;
}

async fn a_document_becomes_effective_at_the_first_slot_of_its_day(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    approved(client, "SOP-1", "2026-03-01").await;
    next_version(client, "SOP-1", false).await;
    let later = approve(client, "SOP-1@1.1", "2026-03-03").await;
    assert_eq!(later.status(), DocumentStatus::ApprovedPendingEffective);
    let nothing = activate(&server).await;
    assert_eq!(nothing.outcome(), RunOutcome::NothingToDo);

    server.advance(11 * 3600 + 1800);
    assert_eq!(
        status(client, "SOP-1@1.1").await,
        DocumentStatus::ApprovedPendingEffective
    );
    evening_is_over(&server, 11).await;
    server.advance(1801);

    let now = until("1.1 to become effective", async || {
        let found = document(client, "SOP-1@1.1").await;
        (found.status() == DocumentStatus::Effective).then_some(found)
    })
    .await;
    assert_eq!(now.effective_date, "2026-03-03");
    assert_eq!(at(&now.activate_time), "2026-03-03T00:00:01Z");
    let old = document(client, "SOP-1@1.0").await;
    assert_eq!(old.status(), DocumentStatus::Superseded);
    assert_eq!(
        old.effective_date, "2026-03-01",
        "what was approved is never overwritten"
    );
    let run = until("the end of the run", async || {
        let runs = server.runs_of("process-document-effective-dates").await;
        runs.into_iter()
            .find(|run| run.outcome() == RunOutcome::Worked)
    })
    .await;
    assert_eq!(
        (
            run.counters["documents_activated"],
            run.counters["documents_superseded"]
        ),
        (1, 1)
    );
    let entry = pb::ListDocumentHistoryRequest {
        name: now.name.clone(),
        ..Default::default()
    };
    let entry = client
        .documents()
        .list_document_history(entry)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        entry.entries[0].run, run.name,
        "the run that did it is named"
    );
    assert_eq!(
        (
            entry.entries[0].verb.as_str(),
            entry.entries[0].actor.as_str()
        ),
        ("activate", "system")
    );
    server.stop().await;
}

async fn today_is_the_organisations_day(database: Database) {
    // At noon in UTC, the 3rd has begun in Auckland.
    let site = Site::configured(database, "time_zone = \"Pacific/Auckland\"\n");
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;

    let there = approved(client, "SOP-1", "2026-03-03").await;
    assert_eq!(there.status(), DocumentStatus::Effective);
    let later = approved(client, "SOP-2", "2026-03-04").await;
    assert_eq!(later.status(), DocumentStatus::ApprovedPendingEffective);
    // Midnight there is 11:00 in UTC.
    server.advance(22 * 3600 + 3599);
    evening_is_over(&server, 22).await;
    assert_eq!(activate(&server).await.outcome(), RunOutcome::NothingToDo);
    server.advance(2);
    until("SOP-2 to become effective", async || {
        (status(client, "SOP-2").await == DocumentStatus::Effective).then_some(())
    })
    .await;
    server.stop().await;
}

async fn one_bad_document_does_not_stop_the_rest(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let client = &server.client;
    for number in ["SOP-1", "SOP-2", "SOP-3", "SOP-4"] {
        approved(client, number, "2026-03-03").await;
    }
    // 2.0 is in force already, so that 1.1 cannot be.
    approved(client, "OLD-1", "2026-03-01").await;
    next_version(client, "OLD-1", false).await;
    approve(client, "OLD-1@1.1", "2026-03-03").await;
    let mut newer = draft("OLD-1");
    newer.document.as_mut().unwrap().version_major = 2;
    create(client, newer).await;
    approve(client, "OLD-1@2.0", "2026-03-02").await;
    // And the database itself refuses another.
    let new = "ROW.number = 'SOP-3' AND ROW.status = 'effective'";
    site.refuse("UPDATE", "documents", new).await;
    server.advance(12 * 3600 - 1800);
    evening_is_over(&server, 11).await;
    server.advance(1700);

    server.advance(101);
    let run = until("the run of midnight", async || {
        let runs = server.runs_of("process-document-effective-dates").await;
        runs.into_iter()
            .find(|run| run.outcome() == RunOutcome::Partial)
    })
    .await;

    assert_eq!(run.state(), RunState::Succeeded);
    assert_eq!(
        (
            run.counters["documents_activated"],
            run.counters["documents_failed"]
        ),
        (3, 2)
    );
    assert!(
        run.message.contains("OLD-1@1.1") && run.message.contains("newer version 2.0"),
        "{}",
        run.message
    );
    assert!(run.message.contains("SOP-3@1.0"), "{}", run.message);
    for number in ["SOP-1", "SOP-2", "SOP-4"] {
        assert_eq!(
            status(client, number).await,
            DocumentStatus::Effective,
            "{number}"
        );
    }
    assert_eq!(
        status(client, "SOP-3").await,
        DocumentStatus::ApprovedPendingEffective
    );
    assert_eq!(status(client, "OLD-1@2.0").await, DocumentStatus::Effective);
    // Where none can be moved, that is no success.
    let failed = server.trigger("process-document-effective-dates").await;
    let failed = server.reaches(&failed.name, RunState::RetryWait).await;
    assert!(failed.message.contains("none of 2"), "{}", failed.message);
    let undo = if site.database.is_postgresql() {
        "DROP TRIGGER refuse ON documents"
    } else {
        "DROP TRIGGER refuse"
    };
    let db = site.database.connect(site.data()).await;
    db.execute_unprepared(undo).await.unwrap();
    server.advance(60);
    server.ended(&failed.name).await;
    assert_eq!(
        status(client, "SOP-3").await,
        DocumentStatus::Effective,
        "once it can be, it is"
    );
    server.stop().await;
}

async fn a_dry_run_says_what_would_happen_and_changes_nothing(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    approved(client, "SOP-1", "2026-03-01").await;
    next_version(client, "SOP-1", true).await;
    approve(client, "SOP-1@2.0", "2026-03-03").await;
    let pause = pb::PauseTaskRequest {
        name: "tasks/process-document-effective-dates".to_owned(),
        ..Default::default()
    };
    server.client.tasks().pause_task(pause).await.unwrap();
    server.advance(24 * 3600);
    let before = document(client, "SOP-1@2.0").await;
    let entries = history(client, "SOP-1@1.0").await;

    let order = pb::TriggerTaskRequest {
        name: "tasks/process-document-effective-dates".to_owned(),
        dry_run: true,
        ignore_pause: true,
        ..Default::default()
    };
    let run = server
        .client
        .tasks()
        .trigger_task(order)
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    let run = server.ended(&run.name).await;

    assert_eq!(
        run.message,
        "1 document would become effective, 1 would become superseded"
    );
    assert_eq!(run.counters["documents_activated"], 1);
    assert_eq!(document(client, "SOP-1@2.0").await, before);
    assert_eq!(history(client, "SOP-1@1.0").await, entries);
    server.stop().await;
}

async fn two_versions_due_at_once_leave_the_newer_in_force(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    approved(client, "SOP-1", "2026-03-01").await;
    next_version(client, "SOP-1", false).await;
    approve(client, "SOP-1@1.1", "2026-03-03").await;
    let mut newer = draft("SOP-1");
    newer.document.as_mut().unwrap().version_major = 2;
    create(client, newer).await;
    approve(client, "SOP-1@2.0", "2026-03-03").await;
    // And another number that says that it takes the place of one.
    approved(client, "OLD-7", "2026-03-01").await;
    let mut other = draft("NEW-7");
    other.document.as_mut().unwrap().supersedes = "documents/OLD-7".to_owned();
    create(client, other).await;
    approve(client, "NEW-7@1.0", "2026-03-03").await;

    server.advance(24 * 3600);
    until("all to be moved", async || {
        (status(client, "SOP-1@2.0").await == DocumentStatus::Effective
            && status(client, "NEW-7").await == DocumentStatus::Effective)
            .then_some(())
    })
    .await;

    assert_eq!(
        status(client, "SOP-1@1.0").await,
        DocumentStatus::Superseded
    );
    let between = history(client, "SOP-1@1.1").await;
    let verbs: Vec<&str> = between
        .iter()
        .rev()
        .take(2)
        .map(|(verb, ..)| verb.as_str())
        .collect();
    assert_eq!(
        verbs,
        ["supersede", "activate"],
        "it was effective for a moment, and that is told"
    );
    assert_eq!(status(client, "OLD-7").await, DocumentStatus::Superseded);
    server.stop().await;
}
