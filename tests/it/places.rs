//! Transactions that wait: for their commit while they hold a place, or for each other.

use std::{sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use watchbell::{
    domain::log::{LogChunk, Stream},
    store::{Location, Store},
};
use watchbell_client::pb;

use crate::support::{
    Database, Server, Site, Stage, instant, on_postgresql, scripted, until, within,
};

on_postgresql!(
    a_run_that_is_hosted_after_the_cut_is_asked_to_stop,
    a_place_that_was_held_for_nothing_is_given_to_the_next,
    two_who_write_the_same_lines_wait_for_each_other_in_one_order,
);

/// Whoever starts a run waits at its commit for this lock.
const GATE: i64 = 42;

/// A gate at the commit of each transaction that starts a run of the kind `scripted`: shut until
/// [`open`].
async fn gate(site: &Site, then: &str) -> DatabaseConnection {
    let database = site.database.connect(site.data()).await;
    let make = format!(
        "SELECT pg_advisory_lock({GATE}); \
         CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         PERFORM pg_advisory_xact_lock_shared({GATE}); {then} RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER gate AFTER INSERT OR UPDATE ON runs DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW WHEN (NEW.state = 'running' AND NEW.kind = 'scripted') \
         EXECUTE FUNCTION wait_at_gate()"
    );
    database.execute_unprepared(&make).await.unwrap();
    database
}

async fn waits(database: &DatabaseConnection, event: &str) {
    let waiting = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND wait_event_type = 'Lock' AND wait_event = '{event}'"
    );
    until("someone to wait for a lock", async || {
        let statement = Statement::from_string(database.get_database_backend(), &waiting);
        let row = database.query_one_raw(statement).await.unwrap().unwrap();
        let count: i64 = row.try_get_by_index(0).unwrap();
        (0 < count).then_some(())
    })
    .await;
}

async fn open(database: &DatabaseConnection) {
    let open = format!("SELECT pg_advisory_unlock({GATE})");
    database.execute_unprepared(&open).await.unwrap();
}

/// Shuts the gate once more.
async fn shut(database: &DatabaseConnection) {
    let shut = format!("SELECT pg_advisory_lock({GATE})");
    database.execute_unprepared(&shut).await.unwrap();
}

/// How often the round has rung that has every server look into the queue.
async fn refills(server: &Server) -> i64 {
    let rounds = server.status().await.rounds;
    let refill = rounds.iter().find(|round| round.name == "refill");
    refill.expect("the round is there").ring_count
}

/// A trigger that nobody waits for.
fn triggered(server: &Server, name: &str) -> tokio::task::JoinHandle<bool> {
    let mut tasks = server.client.tasks();
    let request = pb::TriggerTaskRequest {
        name: format!("tasks/{name}"),
        ..Default::default()
    };
    tokio::spawn(async move { tasks.trigger_task(request).await.is_ok() })
}

async fn a_run_that_is_hosted_after_the_cut_is_asked_to_stop(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    let fate = gate(&site, "").await;
    let call = triggered(&server, "task");
    waits(&fate, "advisory").await;

    server.cut();
    open(&fate).await;
    // It hangs on until it is asked to stop.
    let _hosted = stage.enters().await;
    server.stopped().await;
    call.abort();
}

async fn a_place_that_was_held_for_nothing_is_given_to_the_next(database: Database) {
    let stage = Stage::new();
    let site = Site::configured(database, "max_running = 1");
    let server = site.start().await;
    server.create("refused", scripted(&stage)).await;
    server.create("next", instant()).await;
    let fate = gate(&site, "RAISE EXCEPTION 'not this one';").await;
    // A round rings as well: what came after one says nothing, and is tried again.
    until("a place that is given before a round rings", async || {
        let before = refills(&server).await;
        let call = triggered(&server, "refused");
        waits(&fate, "advisory").await;
        let next = server.trigger("next").await;
        assert_eq!(next.state(), pb::RunState::Queued);
        // Long enough for the bell to have been heard, and no place to have been found.
        let _ = tokio::time::timeout(Duration::from_millis(300), server.ended(&next.name)).await;

        open(&fate).await;
        assert!(!within("the call to end", call).await.unwrap());
        let ended = server.ended(&next.name).await;
        assert_eq!(ended.state(), pb::RunState::Succeeded);
        if before == refills(&server).await {
            return Some(());
        }
        shut(&fate).await;
        None
    })
    .await;
    server.stop().await;
}

async fn two_who_write_the_same_lines_wait_for_each_other_in_one_order(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    let run = server.trigger("task").await;
    server.ended(&run.name).await;
    let id: uuid::Uuid = run.name.rsplit('/').next().unwrap().parse().unwrap();
    let line = |line| {
        let mut chunk = LogChunk::new((watchbell::domain::RunId(id), 7), line);
        chunk.push(server.now(), Stream::Log, "a line");
        chunk
    };
    let location = Location::Postgres(site.database.url());
    let store = Store::open_existing(&location, Arc::new(site.clock.clone()))
        .await
        .unwrap();
    let fate = site.database.connect(site.data()).await;

    let mut first = store.begin().await.unwrap();
    first.log_insert(&[line(1)]).await.unwrap();
    let mut second = store.begin().await.unwrap();
    let lines = [line(2), line(1)];
    let second = tokio::spawn(async move {
        second.log_insert(&lines).await?;
        second.commit().await
    });
    waits(&fate, "transactionid").await;
    first.log_insert(&[line(2)]).await.unwrap();
    first.commit().await.unwrap();
    within("the other to write them", second)
        .await
        .unwrap()
        .unwrap();
    store.close().await;
    server.stop().await;
}
