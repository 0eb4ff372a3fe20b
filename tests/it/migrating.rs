//! From one schema to the next, with all that a database holds in the middle of its work.

use std::sync::Arc;

use jiff::SignedDuration;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement, TransactionTrait as _};
use watchbell::store::Store;
use watchbell_client::pb;

use crate::support::{Database, Site, Stage, TaskExt as _, at, on_both, scripted, until};

on_both!(
    what_the_first_schema_held_is_read_and_goes_on,
    what_the_fourth_schema_held_of_tasks_and_problems_is_moved,
);

/// From the second schema to the first.
const BACK: &[&str] = &[
    "ALTER TABLE tasks ADD COLUMN spec text NOT NULL DEFAULT ''",
    "ALTER TABLE tasks ADD COLUMN layers text NOT NULL DEFAULT ''",
    "UPDATE tasks SET layers = (SELECT l.layers FROM task_layers l WHERE l.task_id = tasks.id), \
     spec = (SELECT r.spec FROM task_revisions r \
     WHERE r.task_id = tasks.id AND r.revision = tasks.revision)",
    "DROP TABLE task_layers",
    "UPDATE runs SET claim_at = NULL WHERE state = 'running'",
    "DROP INDEX runs_live",
    "DROP INDEX runs_task",
    "DROP INDEX runs_unsuccessful",
    "DROP INDEX runs_unsuccessful_of",
    "CREATE UNIQUE INDEX slots_after ON slots (task_id, after_at)",
    "CREATE INDEX runs_live ON runs (task_id, state, due_at, id) WHERE finished_at IS NULL",
    "CREATE INDEX runs_state ON runs (state, due_at) WHERE finished_at IS NULL",
    "CREATE INDEX runs_ready ON runs (task_id, state, claim_at) \
     WHERE state = 'queued' AND claim_at IS NOT NULL",
    "CREATE INDEX runs_line ON runs (task_id) WHERE state = 'queued' AND claim_at IS NULL",
    "CREATE INDEX runs_newest ON runs (queued_at, id)",
    "CREATE INDEX runs_task ON runs (task_id, queued_at, id)",
    "CREATE INDEX runs_finished ON runs (task_id, finished_at, id) WHERE finished_at IS NOT NULL",
    "CREATE INDEX runs_finished_all ON runs (finished_at) WHERE finished_at IS NOT NULL",
    "CREATE INDEX events_at ON events (at)",
    "DELETE FROM seaql_migrations WHERE version = 'm0002_lean'",
];

/// From the newest schema to the fourth.
const BACK_TO_THE_FOURTH: &[&str] = &[
    "DROP INDEX document_dependants_dead",
    "ALTER TABLE document_dependants DROP COLUMN dead",
    "DROP INDEX documents_author",
    "DROP INDEX documents_reviewer",
    "DROP INDEX documents_approver",
    "DROP INDEX documents_bare",
    "ALTER TABLE documents DROP COLUMN backdated_reason",
    "ALTER TABLE documents DROP COLUMN supersedes_nothing",
    "DROP TABLE document_numbers",
    "DROP TABLE task_facets",
    "DROP INDEX tasks_gone",
    "DROP INDEX tasks_paused",
    "DROP INDEX tasks_paused_due",
    "DROP INDEX tasks_failing_name",
    "DROP INDEX tasks_unaudited",
    "DROP TABLE run_log_chunks",
    "ALTER TABLE runs DROP COLUMN log_dropped_at",
    "DROP INDEX slots_undispatched",
    "ALTER TABLE replicas DROP COLUMN reads",
    "DROP INDEX tasks_stale_check",
    "DROP INDEX tasks_failing",
    "ALTER TABLE tasks DROP COLUMN retrying",
    "ALTER TABLE tasks DROP COLUMN fresh_at",
    "ALTER TABLE tasks DROP COLUMN usual_ms",
    "ALTER TABLE tasks DROP COLUMN scheduled_from",
    "ALTER TABLE tasks DROP COLUMN owed_slots",
    "ALTER TABLE tasks DROP COLUMN stale_check_at",
    "ALTER TABLE tasks DROP COLUMN failed_for",
    "ALTER TABLE tasks DROP COLUMN owed_at",
    "ALTER TABLE tasks DROP COLUMN rules",
    "ALTER TABLE replicas DROP COLUMN rules",
    "DROP TABLE configurations",
    "DROP TABLE probes",
    "DELETE FROM cluster WHERE key = 'monitor_lease'",
    "DROP TABLE problems",
    "CREATE TABLE problems (kind text NOT NULL, subject text NOT NULL, severity text NOT NULL, message text NOT NULL, \
     action text NOT NULL, since bigint NOT NULL, until bigint, PRIMARY KEY (kind, subject))",
    "DELETE FROM seaql_migrations WHERE version > 'm0004_backups'",
];

/// Every run of these tasks: of which, in which state, and whether it has a `claim_at`.
async fn runs(fate: &DatabaseConnection) -> Vec<(String, String, bool)> {
    let select = "SELECT task, state, CASE WHEN claim_at IS NULL THEN 0 ELSE 1 END \
                  FROM runs WHERE kind = 'scripted' ORDER BY id";
    let select = Statement::from_string(fate.get_database_backend(), select);
    let rows = fate.query_all_raw(select).await.unwrap();
    let run = |row: &sea_orm::QueryResult| {
        let claimable: i32 = row.try_get_by_index(2).unwrap();
        let text = |column| row.try_get_by_index(column).unwrap();
        (text(0), text(1), claimable == 1)
    };
    rows.iter().map(run).collect()
}

/// All that is kept of each task.
async fn tasks(store: &Store) -> String {
    format!("{:#?}", store.tasks_all().await.unwrap())
}

async fn what_the_first_schema_held_is_read_and_goes_on(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    for name in ["ended", "waiting", "ready", "busy"] {
        let task = scripted(&stage).attempts(3).cron("0 0 1 1 *");
        let task = task.overlap(pb::OverlapPolicy::BufferOne);
        server.create(name, task).await;
    }
    let succeeded = server.trigger("ended").await.name;
    stage.enters().await.succeeds();
    server.ended(&succeeded).await;
    let failed = server.trigger("ended").await.name;
    for attempt in 1..=3 {
        stage.enters().await.fails();
        if attempt < 3 {
            server.reaches(&failed, pb::RunState::RetryWait).await;
            server.advance(2);
        }
    }
    server.ended(&failed).await;
    let mut live = vec![server.trigger("waiting").await.name];
    stage.enters().await.fails();
    server.reaches(&live[0], pb::RunState::RetryWait).await;
    for name in ["ready", "busy"] {
        live.push(server.trigger(name).await.name);
        let _lost = stage.enters().await;
    }
    live.push(server.trigger("busy").await.name);
    server.kill().await;

    let fate = site.database.connect(site.data()).await;
    // As what was drained, or is about to be claimed.
    let ready = "UPDATE runs SET state = 'queued', lease_owner = NULL, lease_until = NULL WHERE task = 'ready'";
    fate.execute_unprepared(ready).await.unwrap();
    let clock = Arc::new(site.clock.clone());
    let store = Store::open_existing(&site.location(), clock.clone()).await;
    let before = tasks(&store.unwrap()).await;
    for step in BACK {
        let done = fate.execute_unprepared(step).await;
        done.unwrap_or_else(|error| panic!("{step}: {error}"));
    }
    let run = |task: &str, state: &str, claimable| (task.to_owned(), state.to_owned(), claimable);
    let is_running = |(_, state, _): &&(String, String, bool)| state == "running";
    let old = runs(&fate).await;
    assert_eq!(
        old.iter().find(is_running),
        Some(&run("busy", "running", false))
    );
    if site.database.is_postgresql() {
        // A server that is not yet down, for longer than a statement waits for a lock.
        let other = site.database.connect(site.data()).await;
        let holds = other.begin().await.unwrap();
        let lock = "LOCK TABLE runs IN ROW EXCLUSIVE MODE";
        holds.execute_unprepared(lock).await.unwrap();
        tokio::spawn(async move {
            let held = holds.execute_unprepared("SELECT pg_sleep(5)").await;
            held.unwrap();
            holds.commit().await.unwrap();
        });
    }

    let store = Store::open(&site.location(), clock).await.unwrap();

    assert_eq!(tasks(&store).await, before);
    drop(store);
    let new = runs(&fate).await;
    let live_rows: Vec<_> = new
        .into_iter()
        .filter(|(task, ..)| task != "ended")
        .collect();
    let expected = [
        run("waiting", "retry_wait", true),
        run("ready", "queued", true),
        run("busy", "running", true),
        run("busy", "queued", false),
    ];
    assert_eq!(live_rows, expected);

    // The lease of what was running ends, and the backoff of what waits.
    site.clock.advance(SignedDuration::from_secs(20));
    let server = site.start().await;
    for _ in &live {
        stage.enters().await.succeeds();
    }
    for name in &live {
        let run = server.ended(name).await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    }
    let ended: Vec<_> = server.runs_of("ended").await;
    let ended: Vec<_> = ended
        .iter()
        .map(|run| (run.name.as_str(), run.state()))
        .collect();
    let expected = [
        (succeeded.as_str(), pb::RunState::Succeeded),
        (failed.as_str(), pb::RunState::Failed),
    ];
    assert_eq!(ended, expected);
    server.stop().await;
}

/// The columns of each row, as text.
async fn rows(fate: &DatabaseConnection, columns: &[&str], from: &str) -> Vec<Vec<Option<String>>> {
    let texts = columns
        .iter()
        .map(|column| format!("CAST({column} AS text)"));
    let texts: Vec<String> = texts.collect();
    let select = format!("SELECT {} FROM {from}", texts.join(", "));
    let select = Statement::from_string(fate.get_database_backend(), select);
    let rows = fate.query_all_raw(select).await.unwrap();
    let row = |row: &sea_orm::QueryResult| {
        let text = |index| row.try_get_by_index(index).unwrap();
        (0..columns.len()).map(text).collect()
    };
    rows.iter().map(row).collect()
}

async fn what_the_fourth_schema_held_of_tasks_and_problems_is_moved(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let mut edited = None;
    for name in ["good", "edited", "failing", "gone"] {
        let task = scripted(&stage).cron("*/10 * * * *");
        let task = server.create(name, task).await;
        edited = edited.or((name == "edited").then_some(task));
    }
    server.advance(60);
    for name in ["good", "edited", "failing", "gone"] {
        let run = server.trigger(name).await.name;
        let entered = stage.enters().await;
        match name {
            "failing" => entered.fails(),
            _ => entered.succeeds(),
        };
        server.ended(&run).await;
    }
    server.advance(60);
    let mut task = edited.unwrap();
    task.etag = String::new();
    task.schedule.get_or_insert_default().cron = "*/15 * * * *".to_owned();
    let request = pb::UpdateTaskRequest {
        task: Some(task),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["schedule".to_owned()],
        }),
        ..Default::default()
    };
    server.client.tasks().update_task(request).await.unwrap();
    let request = pb::DeleteTaskRequest {
        name: "tasks/gone".to_owned(),
        ..Default::default()
    };
    server.client.tasks().delete_task(request).await.unwrap();
    server.stop().await;

    let fate = site.database.connect(site.data()).await;
    let columns = [
        "name",
        "fresh_at",
        "scheduled_from",
        "owed_slots",
        "owed_at",
        "last_success_at",
        "last_failure_at",
        "consecutive_failures",
        "failing_since",
        "retrying",
    ];
    let scripted = "tasks WHERE kind = 'scripted' ORDER BY name";
    let before = rows(&fate, &columns, scripted).await;
    assert_eq!(before.len(), 4);
    let trigger = match &site.database {
        Database::Sqlite => "DROP TRIGGER documents_note_numbers",
        Database::Postgresql { .. } => "DROP TRIGGER documents_note_numbers ON documents",
    };
    for step in [trigger].iter().chain(BACK_TO_THE_FOURTH) {
        let done = fate.execute_unprepared(step).await;
        done.unwrap_or_else(|error| panic!("{step}: {error}"));
    }
    for (kind, until) in [
        ("health.disk", "NULL"),
        ("content.damaged", "NULL"),
        ("task.override_misfit", "NULL"),
        ("ledger.hole", "1800000000000000"),
    ] {
        let insert = format!(
            "INSERT INTO problems VALUES ('{kind}', 'it', 'critical', 'it is so', 'mend it', 7, {until})"
        );
        fate.execute_unprepared(&insert).await.unwrap();
    }

    let store = Store::open(&site.location(), Arc::new(site.clock.clone())).await;
    store.unwrap().close().await;

    // As it is where the newest schema saw it all happen.
    assert_eq!(rows(&fate, &columns, scripted).await, before);
    let checks = ["name", "stale_check_at = updated_at", "failed_for IS NULL"];
    let yes = |text: &Option<String>| text.as_deref().map(|text| text == "1" || text == "true");
    let checks: Vec<_> = rows(&fate, &checks, scripted)
        .await
        .iter()
        .map(|row| (row[0].clone().unwrap(), yes(&row[1]), yes(&row[2])))
        .collect();
    let expected = [
        ("edited", Some(true)),
        ("failing", Some(true)),
        ("gone", None),
        ("good", Some(true)),
    ];
    let expected = expected.map(|(name, looked_at)| (name.to_owned(), looked_at, Some(true)));
    assert_eq!(checks, expected);
    let columns = [
        "kind", "subject", "replica", "probe", "severity", "since", "until",
    ];
    let moved: Vec<Vec<String>> = rows(&fate, &columns, "problems ORDER BY kind")
        .await
        .into_iter()
        .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
        .collect();
    let expected = [
        ("content.damaged", "contents", ""),
        ("health.disk", "perform-system-health-check", ""),
        ("ledger.hole", "auditor", "1800000000000000"),
        ("task.override_misfit", "catalogue", ""),
    ];
    let expected =
        expected.map(|(kind, probe, until)| [kind, "it", "", probe, "critical", "7", until]);
    assert_eq!(moved, expected);

    // And it goes on from there.
    let server = site.start().await;
    server.advance(19 * 60);
    let told = async |kind: &str, name: &str| {
        until(&format!("{kind} of {name}"), async || {
            let problems = server.status().await.problems;
            let subject = format!("tasks/{name}");
            let mut told = problems.into_iter();
            told.find(|problem| problem.r#type == kind && problem.subject == subject)
        })
        .await
    };
    let stale = told("task.stale", "good").await;
    assert_eq!(at(&stale.since_time), "2026-03-02T12:21:00Z");
    let failing = told("task.failing", "failing").await;
    assert_eq!(at(&failing.since_time), "2026-03-02T12:01:00Z");
    for _ in ["good", "edited", "failing"] {
        let context = stage.enters().await.succeeds();
        let run = format!("tasks/{}/runs/{}", context.task, context.run);
        server.ended(&run).await;
    }
    assert_eq!(server.task("failing").await.consecutive_failures, 0);
    server.stop().await;
}
