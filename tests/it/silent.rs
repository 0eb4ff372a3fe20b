//! What falls silent without a word: a replica in the middle of a transaction, and the database's host.

use std::sync::Arc;

use watchbell::store::{Location, Store};

use crate::support::{Database, Site, TaskExt as _, instant, on_postgresql};

on_postgresql!(a_transaction_that_falls_silent_holds_nobody_up,);

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
