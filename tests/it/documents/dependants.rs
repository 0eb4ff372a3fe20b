//! Documents that others depend on, when all of them go.

use sea_orm::ConnectionTrait as _;
use tonic::Code;
use watchbell_client::pb::{DocumentStatus, RunOutcome, RunState};

use crate::support::{
    Database, Site,
    office::{Step, approve, approved, create, document, does, draft, next_version, status},
    on_both, refused, until,
};

on_both!(
    what_depends_on_another_goes_first,
    many_dependants_go_with_what_they_depend_on,
);

async fn what_depends_on_another_goes_first(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    // A depends on B, B on C; all go on one day. D stays, and keeps E.
    for (number, on) in [("C", ""), ("B", "C"), ("A", "B"), ("E", ""), ("D", "E")] {
        let mut request = draft(number);
        request.document.as_mut().unwrap().depends_on = [on]
            .iter()
            .filter(|on| !on.is_empty())
            .map(ToString::to_string)
            .collect();
        create(client, request).await;
        approve(client, &format!("{number}@1.0"), "2026-03-01").await;
    }
    let (_, reason, _) = refused(
        does(
            client,
            "C",
            "pat",
            Step::ScheduleObsolescence("2026-03-03".into(), "x".into()),
        )
        .await,
    );
    assert_eq!(reason, "HAS_DEPENDANTS");
    // As history that was brought in may have it.
    let db = site.database.connect(site.data()).await;
    for number in ["A", "B", "C", "E"] {
        let schedule = format!(
            "UPDATE documents SET status = 'scheduled_for_obsolescence', obsolescence_date = '2026-03-03' WHERE number = '{number}'"
        );
        db.execute_unprepared(&schedule).await.unwrap();
    }
    server.advance(23 * 3600);

    let run = until("the run", async || {
        let runs = server.runs_of("process-document-obsoletion-dates").await;
        runs.into_iter()
            .find(|run| run.outcome() == RunOutcome::Partial)
    })
    .await;

    assert_eq!(
        (
            run.counters["documents_retired"],
            run.counters["documents_failed"]
        ),
        (3, 1)
    );
    assert!(run.message.contains("D@1.0 depend on E"), "{}", run.message);
    for number in ["A", "B", "C"] {
        let gone = document(client, number).await;
        assert_eq!(gone.status(), DocumentStatus::Obsolete, "{number}");
        assert!(gone.retire_time.is_some());
    }
    assert_eq!(
        status(client, "E").await,
        DocumentStatus::ScheduledForObsolescence
    );
    next_version(client, "D", false).await;
    let (code, ..) = refused(does(client, "D@1.1", "zoe", Step::Terminate("x".into())).await);
    assert_eq!(code, Code::PermissionDenied);
    let failed = server.trigger("process-document-obsoletion-dates").await;
    server.reaches(&failed.name, RunState::RetryWait).await;
    retire_all_but(client).await;
    server.advance(60);
    server.ended(&failed.name).await;
    assert_eq!(status(client, "E").await, DocumentStatus::Obsolete);
    server.stop().await;
}

/// D goes, in both its versions.
async fn retire_all_but(client: &watchbell_client::client::Client) {
    does(client, "D@1.1", "ann", Step::Terminate("not needed".into()))
        .await
        .unwrap();
    let mut other = draft("F");
    other.document.as_mut().unwrap().supersedes = "documents/D@1.0".to_owned();
    create(client, other).await;
    approve(client, "F@1.0", "2026-03-02").await;
    assert_eq!(status(client, "D@1.0").await, DocumentStatus::Superseded);
}

/// More than a refusal names: those that it does not name count as well.
async fn many_dependants_go_with_what_they_depend_on(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.without_backups().await;
    let client = &server.client;
    approved(client, "BASE", "2026-03-01").await;
    for number in 0..8 {
        let mut request = draft(&format!("USER-{number}"));
        request.document.as_mut().unwrap().depends_on = vec!["BASE".to_owned()];
        create(client, request).await;
        approve(client, &format!("USER-{number}@1.0"), "2026-03-01").await;
    }
    let plan = Step::ScheduleObsolescence("2026-03-03".into(), "x".into());
    let (_, _, refusal) = refused(does(client, "BASE", "pat", plan).await);
    assert!(refusal.message().contains("3 more"), "{refusal:?}");
    let db = site.database.connect(site.data()).await;
    let schedule = "UPDATE documents SET status = 'scheduled_for_obsolescence', obsolescence_date = '2026-03-03' \
         WHERE number <> 'USER-7'";
    db.execute_unprepared(schedule).await.unwrap();
    server.advance(23 * 3600);

    let run = until("the run", async || {
        let runs = server.runs_of("process-document-obsoletion-dates").await;
        runs.into_iter()
            .find(|run| run.outcome() == RunOutcome::Partial)
    })
    .await;

    assert_eq!(run.counters["documents_retired"], 7);
    assert!(
        run.message.contains("USER-7@1.0 depend on BASE") || run.message.contains("1 more"),
        "{}",
        run.message
    );
    assert_eq!(
        status(client, "BASE").await,
        DocumentStatus::ScheduledForObsolescence,
        "the eighth still depends on it"
    );
    does(
        client,
        "USER-7",
        "pat",
        Step::ScheduleObsolescence("2026-03-04".into(), "x".into()),
    )
    .await
    .unwrap();
    server.advance(24 * 3600);
    until("the base to go with the last", async || {
        (status(client, "BASE").await == DocumentStatus::Obsolete).then_some(())
    })
    .await;
    server.stop().await;
}
