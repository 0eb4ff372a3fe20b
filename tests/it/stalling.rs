//! The log where someone holds a transaction open: a stranger's silences nobody; one that has drawn numbers of the log is
//! waited for, which is told.

use std::{collections::BTreeSet, time::Duration};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use tonic::Code;
use watchbell::clock::Stopwatch;
use watchbell_client::pb::{self, watch_runs_response::Message};

use crate::{
    following::{Watch, next, watch},
    support::{Database, Server, Site, TaskExt as _, at, instant, on_postgresql, refused, until},
};

on_postgresql!(
    a_strangers_transaction_silences_no_watch_and_holds_no_start_up,
    numbers_that_are_held_are_waited_for_and_that_is_told,
    numbers_that_are_given_up_are_passed_over,
    a_start_decides_while_numbers_are_held_and_its_watches_come_later,
    no_number_is_drawn_before_it_is_held,
    a_tail_does_not_begin_where_numbers_are_not_held,
    an_upgrade_waits_for_numbers_that_an_older_server_does_not_hold,
);

/// Longest time until who looks is told that the log stands still.
const PROBLEM_WITHIN: Duration = Duration::from_secs(2);
/// Of the trigger: a lock that whoever writes events holds.
const NUMBERS: i64 = 0x5761_7463_686e_756d;

async fn run(database: &DatabaseConnection, text: &str) {
    database.execute_unprepared(text).await.unwrap();
}

/// The number that a query gives.
pub(crate) async fn number(database: &DatabaseConnection, query: &str) -> i64 {
    let statement = Statement::from_string(database.get_database_backend(), query);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// An event as a server of an older version writes it, in a transaction that is left open.
pub(crate) async fn hold_numbers(site: &Site, run_name: &str) -> DatabaseConnection {
    let database = site.database.connect(site.data()).await;
    run(&database, "BEGIN").await;
    // An event of a run tells its task alone; the newest is that of this run.
    let task = run_name.split('/').nth(1).unwrap();
    let insert = format!(
        "INSERT INTO events (at, kind, task_id, subject, payload) SELECT at, 'run.pondered', task_id, subject, payload \
         FROM events WHERE kind = 'run.succeeded' AND subject IN ('{task}', '{run_name}') ORDER BY sequence DESC LIMIT 1"
    );
    let inserted = database.execute_unprepared(&insert).await.unwrap();
    assert_eq!(inserted.rows_affected(), 1);
    database
}

/// The next event.
async fn event(watch: &mut Watch) -> pb::RunEvent {
    loop {
        match next(watch).await.message {
            Some(Message::Event(event)) => return event,
            Some(Message::Heartbeat(_)) => {}
            other => panic!("expected an event, got {other:?}"),
        }
    }
}

/// The next heartbeat, before any event.
async fn beat(watch: &mut Watch) -> pb::Heartbeat {
    match next(watch).await.message {
        Some(Message::Heartbeat(beat)) => beat,
        other => panic!("expected a heartbeat, got {other:?}"),
    }
}

/// A watch that has told all of a run, and that run's name: the log may be told a little later than the row is written.
async fn behind_a_run(server: &Server) -> (Watch, String) {
    let mut told = watch(server, news()).await;
    let before = server.trigger("task").await.name;
    loop {
        let event = event(&mut told).await;
        if event.r#type == "run.succeeded" && event.run.unwrap().name == before {
            return (told, before);
        }
    }
}

/// How long it takes, once more, until who looks is told that the log stands still.
async fn stands_still(site: &Site, server: &Server) -> Duration {
    let (mut told, before) = behind_a_run(server).await;
    let fate = hold_numbers(site, &before).await;
    server.trigger("task").await;
    let since = Stopwatch::start();
    beat(&mut told).await;
    server.problem("log.stalled").await;
    let took = since.elapsed();
    run(&fate, "COMMIT").await;
    is_over(server).await;
    took
}

fn news() -> pb::WatchRunsRequest {
    pb::WatchRunsRequest {
        skip_snapshot: true,
        ..Default::default()
    }
}

async fn a_strangers_transaction_silences_no_watch_and_holds_no_start_up(database: Database) {
    const WRITERS: usize = 4;
    const EACH: usize = 15;
    let elsewhere = database.empty().await;
    let site = Site::new(database);
    let one = site.start().await;
    let overlap = instant().overlap(pb::OverlapPolicy::Allow);
    one.create("task", overlap).await;
    let stranger = elsewhere.connect(site.data()).await;
    run(&stranger, "BEGIN; CREATE TABLE strange (thing TEXT)").await;

    let other = site.start().await;
    let mut watches = [watch(&one, news()).await, watch(&other, news()).await];
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let server = if writer % 2 == 0 { &one } else { &other };
        let mut tasks = server.client.tasks();
        writers.spawn(async move {
            let mut runs = BTreeSet::new();
            for _ in 0..EACH {
                let request = pb::TriggerTaskRequest {
                    name: "tasks/task".to_owned(),
                    ..Default::default()
                };
                let answer = tasks.trigger_task(request).await.unwrap();
                runs.insert(answer.into_inner().run.unwrap().name);
            }
            runs
        });
    }
    // Numbers that are never used, all the while.
    let given_up = site.database.connect(site.data()).await;
    let giving_up = tokio::spawn(async move {
        let insert = "BEGIN; INSERT INTO events (at, kind, subject, payload) \
                      SELECT 0, 'thing.happened', '', '{}' FROM generate_series(1, 3); ROLLBACK";
        loop {
            run(&given_up, insert).await;
            tokio::task::yield_now().await;
        }
    });
    let written: BTreeSet<String> = writers.join_all().await.into_iter().flatten().collect();
    let mut seen = Vec::new();
    for watch in &mut watches {
        let (mut told, mut ended) = (Vec::new(), BTreeSet::new());
        while ended.len() < WRITERS * EACH {
            let event = event(watch).await;
            let run = event.run.unwrap();
            if event.r#type == "run.succeeded" {
                ended.insert(run.name.clone());
            }
            told.push((event.sequence, event.r#type, run.name));
        }
        assert_eq!(ended, written);
        assert!(told.is_sorted_by(|one, next| one.0 < next.0), "in order");
        // Of each run three, and none twice.
        assert_eq!(told.len(), 3 * WRITERS * EACH);
        seen.push(told);
    }
    assert_eq!(seen[0], seen[1], "both replicas told the same");
    giving_up.abort();

    let stalled =
        "SELECT count(*) FROM events WHERE kind LIKE 'problem.%' AND payload LIKE '%log.stalled%'";
    let fate = site.database.connect(site.data()).await;
    assert_eq!(number(&fate, stalled).await, 0, "it was never silent");
    run(&stranger, "ROLLBACK").await;
    other.stop().await;
    one.stop().await;
}

async fn numbers_that_are_held_are_waited_for_and_that_is_told(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    let (mut told, before) = behind_a_run(&server).await;
    let fate = hold_numbers(&site, &before).await;
    let process = number(&fate, "SELECT pg_backend_pid()::bigint").await;

    let after = server.trigger("task").await.name;
    let since = Stopwatch::start();
    let stalled = beat(&mut told).await;
    assert_eq!(at(&stalled.stalled_since), server.now().to_string());
    assert_eq!(at(&stalled.as_of), server.now().to_string());
    let problem = server.problem("log.stalled").await;
    let mut took = since.elapsed();
    assert!(
        problem.message.contains(&process.to_string()),
        "{problem:?}"
    );
    // Who comes now hears of it at once.
    assert!(
        beat(&mut watch(&server, news()).await)
            .await
            .stalled_since
            .is_some()
    );
    let ended = server.ended(&after).await;
    assert_eq!(
        ended.state(),
        pb::RunState::Succeeded,
        "who waits for it is answered"
    );
    run(&fate, "COMMIT").await;

    let event = event(&mut told).await;
    assert_eq!(
        (event.r#type.as_str(), event.run.unwrap().name),
        ("run.pondered", before)
    );
    let mut types = Vec::new();
    let mut goes_on = false;
    while types.len() < 3 || !goes_on {
        match next(&mut told).await.message {
            Some(Message::Event(event)) => {
                assert_eq!(event.run.unwrap().name, after);
                types.push(event.r#type);
            }
            Some(Message::Heartbeat(beat)) => goes_on |= beat.stalled_since.is_none(),
            other => panic!("expected an event, got {other:?}"),
        }
    }
    assert_eq!(types, ["run.queued", "run.started", "run.succeeded"]);
    is_over(&server).await;
    // A machine that is busy may be late for it: the best of some tries counts.
    for _ in 0..4 {
        if took < PROBLEM_WITHIN {
            break;
        }
        took = stands_still(&site, &server).await;
    }
    assert!(took < PROBLEM_WITHIN, "it took {took:?}");
    server.stop().await;
}

async fn is_over(server: &Server) {
    until("the log to be told as well", async || {
        let problems = server.status().await.problems;
        let stalled = |problem: &pb::Problem| problem.r#type == "log.stalled";
        (!problems.iter().any(stalled)).then_some(())
    })
    .await;
}

async fn numbers_that_are_given_up_are_passed_over(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    let (mut told, before) = behind_a_run(&server).await;
    let fate = hold_numbers(&site, &before).await;
    let after = server.trigger("task").await.name;
    assert!(beat(&mut told).await.stalled_since.is_some());
    run(&fate, "ROLLBACK").await;

    for what in ["run.queued", "run.started", "run.succeeded"] {
        let event = event(&mut told).await;
        assert_eq!(
            (event.r#type.as_str(), event.run.unwrap().name),
            (what, after.clone())
        );
    }
    is_over(&server).await;
    server.stop().await;
}

async fn a_start_decides_while_numbers_are_held_and_its_watches_come_later(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("* * * * *")).await;
    let before = server.trigger("task").await.name;
    server.ended(&before).await;
    server.stop().await;
    let fate = hold_numbers(&site, &before).await;

    let server = site.start().await;
    server.advance(60);
    let decided = server.decided("task", server.now()).await;
    assert_eq!(decided, [("DISPATCHED".to_owned(), 1)]);
    let (code, reason, status) = refused(server.client.runs().watch_runs(news()).await);
    assert_eq!((code, reason.as_str()), (Code::Unavailable, "UNAVAILABLE"));
    let details = tonic_types::StatusExt::get_error_details(&status);
    assert!(details.retry_info().is_some(), "{status:?}");
    server.problem("log.stalled").await;
    // Who waits for a run is answered.
    let run = server.trigger("task").await.name;
    server.ended(&run).await;
    self::run(&fate, "COMMIT").await;

    is_over(&server).await;
    let mut told = watch(&server, news()).await;
    let after = server.trigger("task").await.name;
    // What happened before may be told until now.
    while event(&mut told).await.run.unwrap().name != after {}
    server.stop().await;
}

async fn no_number_is_drawn_before_it_is_held(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    let fate = site.database.connect(site.data()).await;
    let other = site.database.connect(site.data()).await;
    let drawn = "SELECT last_value FROM events_sequence_seq";

    // What nobody ever does: to ask for it alone.
    run(&fate, &format!("SELECT pg_advisory_lock({NUMBERS})")).await;
    let before = number(&other, drawn).await;
    let mut tasks = server.client.tasks();
    let request = pb::TriggerTaskRequest {
        name: "tasks/task".to_owned(),
        ..Default::default()
    };
    let triggered = tokio::spawn(async move { tasks.trigger_task(request).await });
    until("the write to wait", async || {
        let waiting = format!(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
             AND objid::bigint = {} AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            NUMBERS & 0xffff_ffff
        );
        (0 < number(&other, &waiting).await).then_some(())
    })
    .await;
    assert_eq!(number(&other, drawn).await, before);
    run(&fate, &format!("SELECT pg_advisory_unlock({NUMBERS})")).await;

    let answer = triggered.await.unwrap().unwrap().into_inner();
    server.ended(&answer.run.unwrap().name).await;
    assert!(before < number(&other, drawn).await);
    server.stop().await;
}

async fn a_tail_does_not_begin_where_numbers_are_not_held(database: Database) {
    let site = Site::new(database);
    site.start().await.stop().await;
    let fate = site.database.connect(site.data()).await;
    run(
        &fate,
        "ALTER TABLE events DISABLE TRIGGER events_hold_numbers",
    )
    .await;

    let server = site.start().await;
    let (code, ..) = refused(server.client.runs().watch_runs(news()).await);
    assert_eq!(code, Code::Unavailable);
    run(
        &fate,
        "ALTER TABLE events ENABLE TRIGGER events_hold_numbers",
    )
    .await;

    until("watches to begin", async || {
        server.client.runs().watch_runs(news()).await.ok()
    })
    .await;
    server.stop().await;
}

async fn an_upgrade_waits_for_numbers_that_an_older_server_does_not_hold(database: Database) {
    let site = Site::new(database);
    site.start().await.stop().await;
    let fate = site.database.connect(site.data()).await;
    let other = site.database.connect(site.data()).await;
    let before = "DROP TRIGGER events_hold_numbers ON events; DROP FUNCTION events_hold_numbers; \
                  DELETE FROM seaql_migrations WHERE version = 'm0017_held_numbers'";
    run(&fate, before).await;
    let write =
        "INSERT INTO events (at, kind, subject, payload) VALUES (0, 'thing.happened', '', '{}')";
    run(&fate, &format!("BEGIN; {write}")).await;
    let held = format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = {} \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        NUMBERS & 0xffff_ffff
    );
    assert_eq!(number(&other, &held).await, 0, "as an older server writes");

    let written = async {
        until("the upgrade to wait", async || {
            let waiting =
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass";
            (0 < number(&other, waiting).await).then_some(())
        })
        .await;
        run(&fate, "COMMIT").await;
    };
    let (server, ()) = tokio::join!(site.start(), written);

    // It goes on writing as before, and holds what it draws.
    run(&fate, &format!("BEGIN; {write}")).await;
    assert_eq!(number(&other, &held).await, 1);
    run(&fate, "COMMIT").await;
    server.stop().await;
}
