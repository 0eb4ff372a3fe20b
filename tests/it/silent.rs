//! What falls silent without a word: a replica in the middle of a transaction, and the database's host.

use std::{sync::Arc, time::Duration};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchbell::{
    error::Error,
    journal,
    store::{Location, Store},
};
use watchbell_client::pb;

use crate::support::{Database, Proxy, Server, Site, TaskExt as _, instant, on_postgresql, until};

on_postgresql!(
    a_transaction_that_falls_silent_holds_nobody_up,
    a_server_goes_on_when_its_connections_never_answer_again,
    a_begin_that_is_given_up_leaves_no_transaction_open,
    a_replica_that_is_behind_says_so_and_not_that_the_log_is_gone,
);

async fn a_transaction_that_falls_silent_holds_nobody_up(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("* * * * *")).await;
    let wire = Proxy::to(&site.database.url()).await;
    let location = Location::Postgres(wire.url(&site.database.url()));
    let other = Store::open_existing(&location, Arc::new(site.clock.clone()))
        .await
        .unwrap();
    let mut silent = other.begin().await.unwrap();
    silent.global_pause_to_set().await.unwrap();
    // What else that replica is at waits for this one, and is as silent once it has waited.
    let behind: Vec<_> = (0..6)
        .map(|_| tokio::spawn(wait_behind(other.clone())))
        .collect();
    let database = site.database.connect(site.data()).await;
    until("them all to wait", async || {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND wait_event_type = 'Lock'";
        (6 <= number(&database, waiting).await).then_some(())
    })
    .await;

    wire.stall();
    server.advance(60);
    server.decided("task", server.now()).await;

    wire.mend();
    let late = silent.commit().await.unwrap_err();
    assert!(late.is_transient(), "who wakes tries again: {late:?}");
    behind.iter().for_each(JoinHandle::abort);
    server.stop().await;
}

async fn wait_behind(store: Store) {
    let mut tx = store.begin().await.unwrap();
    let waited = tx.global_pause_to_set().await;
    std::future::pending::<()>().await;
    drop((waited, tx));
}

/// The number that a query gives.
async fn number(database: &DatabaseConnection, query: &str) -> i64 {
    let statement = Statement::from_string(database.get_database_backend(), query);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

async fn a_server_goes_on_when_its_connections_never_answer_again(database: Database) {
    let site = Site::new(database);
    let wire = Proxy::to(&site.database.url()).await;
    let server = site.start_on(&wire.url(&site.database.url())).await;
    server.create("task", instant().cron("* * * * *")).await;

    wire.stall();
    server.problem("database.unreachable").await;
    wire.mend_for_new_connections();
    reached(&server).await;
    server.recovers().await;
    server.advance(60);
    server.decided("task", server.now()).await;

    let run = server.trigger("task").await;
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded);
    server.stop().await;
}

async fn reached(server: &Server) {
    until("the database to answer again", async || {
        let database = server.status().await.database?;
        database.reachable.then_some(())
    })
    .await;
}

async fn a_begin_that_is_given_up_leaves_no_transaction_open(database: Database) {
    let site = Site::new(database);
    site.start().await.stop().await;
    let wire = Proxy::to(&site.database.url()).await;
    let location = Location::Postgres(wire.url(&site.database.url()));
    let store = Store::open_existing(&location, Arc::new(site.clock.clone()))
        .await
        .unwrap();
    let database = site.database.connect(site.data()).await;

    // As a caller who goes away in that moment.
    for _ in 0..3 {
        store.ping().await.unwrap();
        wire.stall();
        let given_up = tokio::time::timeout(Duration::from_millis(200), store.begin()).await;
        assert!(given_up.is_err(), "the wire holds it back");
        wire.mend();
        store.ping().await.unwrap();
    }

    until("every transaction to be over", async || {
        // A connection that is used is not idle, and nobody ends what it has open.
        store.ping().await.unwrap();
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND pid <> pg_backend_pid() AND xact_start IS NOT NULL";
        (number(&database, open).await == 0).then_some(())
    })
    .await;
    store.close().await;
}

async fn a_replica_that_is_behind_says_so_and_not_that_the_log_is_gone(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let location = Location::Postgres(site.database.url());
    let other = Store::open_existing(&location, Arc::new(site.clock.clone()))
        .await
        .unwrap();
    other.start_tail(&CancellationToken::new()).await.unwrap();
    // Nobody reads on there, as where who reads waits for an answer that never comes.
    server.create("task", instant()).await;
    let told = until("the task to be told", async || {
        let highest = other.events_highest().await.unwrap();
        (other.tail().last() < highest).then_some(highest)
    })
    .await;

    let behind = journal::reach(&other, told).await.unwrap_err();
    assert!(behind.is_transient(), "another may reach it: {behind:?}");
    let beyond = journal::reach(&other, told + 1).await.unwrap_err();
    assert!(
        matches!(beyond, Error::OutOfRange { .. }),
        "nobody does: {beyond:?}"
    );
    other.close().await;
    server.stop().await;
}
