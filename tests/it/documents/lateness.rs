//! Documents past their day: what the status says of them, and what a server does that was not there.

use watchbell_client::pb::{self, DocumentStatus, RunOutcome, Severity};

use crate::support::office::{activate, approved, document, retire, status};
use crate::support::{Database, Site, at, on_both, until};

on_both!(
    a_document_past_its_day_is_critical_whatever_the_task_said,
    a_day_that_nobody_was_there_for_is_caught_up_with,
);

async fn a_document_past_its_day_is_critical_whatever_the_task_said(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    let pause = pb::PauseTaskRequest {
        name: "tasks/process-document-effective-dates".to_owned(),
        ..Default::default()
    };
    server.client.tasks().pause_task(pause).await.unwrap();
    approved(client, "SOP-1", "2026-03-03").await;
    approved(client, "SOP-2", "2026-03-02").await;
    // A status that was being read between the two approvals knows of the first alone.
    let figures = until("the figures", async || {
        let figures = server.status().await.documents.unwrap();
        let both = (
            figures.pending_effective_count,
            figures.activated_today_count,
        );
        (both == (1, 1)).then_some(figures)
    })
    .await;
    assert_eq!(figures.overdue_count, 0);

    // At 01:30 of its day one slot has passed that should have moved it, and one more.
    server.advance(13 * 3600 + 1800);
    let status = server.status().await;
    assert!(
        !status
            .problems
            .iter()
            .any(|problem| problem.r#type.starts_with("document.")),
        "{status:?}"
    );
    server.advance(1801);

    let problem = server.problem("document.effective_overdue").await;
    assert_eq!(problem.severity(), Severity::Critical);
    assert_eq!(problem.subject, "tasks/process-document-effective-dates");
    assert!(
        problem.message.contains("SOP-1@1.0 (2026-03-03)"),
        "{problem:?}"
    );
    assert_eq!(at(&problem.since_time), "2026-03-03T00:00:00Z");
    let status = server.status().await;
    assert_eq!(status.overall(), Severity::Critical);
    assert_eq!(status.documents.unwrap().overdue_count, 1);
    let resume = pb::ResumeTaskRequest {
        name: "tasks/process-document-effective-dates".to_owned(),
        ..Default::default()
    };
    server.client.tasks().resume_task(resume).await.unwrap();
    assert_eq!(activate(&server).await.outcome(), RunOutcome::Worked);
    until("the problem to be over", async || {
        let status = server.status().await;
        let figures = status.documents.unwrap();
        let over = !status
            .problems
            .iter()
            .any(|problem| problem.r#type.starts_with("document."));
        (over && figures.overdue_count == 0 && figures.activated_today_count == 1).then_some(())
    })
    .await;
    server.stop().await;
}

async fn a_day_that_nobody_was_there_for_is_caught_up_with(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    approved(client, "SOP-1", "2026-03-03").await;
    let found = document(client, "SOP-1").await;
    assert_eq!(found.status(), DocumentStatus::ApprovedPendingEffective);
    server.kill().await;
    site.clock.advance(jiff::SignedDuration::from_hours(13));

    let server = site.start().await;

    // Nobody was there at midnight; the slot is caught up with.
    until("SOP-1 to become effective", async || {
        (status(&server.client, "SOP-1").await == DocumentStatus::Effective).then_some(())
    })
    .await;
    assert_eq!(retire(&server).await.outcome(), RunOutcome::NothingToDo);
    server.stop().await;
}
