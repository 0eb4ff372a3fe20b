//! What falls silent without a word: a replica in the middle of a transaction, and the database's host.

use std::sync::Arc;

use watchbell::store::{Location, Store};
use watchbell_client::pb;

use crate::support::{Database, Proxy, Server, Site, TaskExt as _, instant, on_postgresql, until};

on_postgresql!(
    a_transaction_that_falls_silent_holds_nobody_up,
    a_server_goes_on_when_its_connections_never_answer_again,
);

async fn a_transaction_that_falls_silent_holds_nobody_up(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("* * * * *")).await;
    // As a replica that was stopped between two statements.
    let location = Location::Postgres(site.database.url());
    let other = Store::open_existing(&location, Arc::new(site.clock.clone()));
    let mut silent = other.await.unwrap().begin().await.unwrap();
    silent.global_pause_to_set().await.unwrap();

    server.advance(60);
    server.decided("task", server.now()).await;

    let late = silent.commit().await.unwrap_err();
    assert!(late.is_transient(), "who wakes tries again: {late:?}");
    server.stop().await;
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
