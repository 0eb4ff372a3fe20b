//! What SQLite means to do, for the tests that hold statements to their indexes.

use std::sync::Arc;

use jiff::Timestamp;
use sea_orm::{FromQueryResult, Statement};

use super::{Location, Store};
use crate::clock::ManualClock;

#[derive(FromQueryResult)]
struct Step {
    detail: String,
}

/// An empty database, and the directory that holds it.
pub(crate) async fn empty_store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let location = Location::Sqlite(dir.path().join("watchbell.db"));
    let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let store = Store::open(&location, clock).await.unwrap();
    (dir, store)
}

/// The steps by which SQLite would carry out a statement.
pub(super) async fn plan(store: &Store, mut statement: Statement) -> Vec<String> {
    statement.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
    let steps: Vec<Step> = store.all(statement).await.unwrap();
    steps.into_iter().map(|step| step.detail).collect()
}
