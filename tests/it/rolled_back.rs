//! What SQLite rolls back by itself, as it does when the disk is full: whoever writes next must not write
//! into what is over.

use std::sync::Arc;

use futures_util::poll;
use sea_orm::ConnectionTrait as _;
use watchbell::{
    error::Result,
    store::{Location, Store, StoredReply, Tx},
};

use crate::support::{Database, Site};

/// As the disk would, but in this place.
const FULL: &str = "CREATE TRIGGER full BEFORE INSERT ON requests WHEN NEW.request_id = 'full' \
                    BEGIN SELECT RAISE(ROLLBACK, 'the disk is full'); END";

async fn keep(tx: &mut Tx, id: &str) -> Result<()> {
    let reply = StoredReply {
        fingerprint: String::new(),
        response: Vec::new(),
    };
    tx.request_keep(("who", "method", id), &reply).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_behind_a_write_that_sqlite_rolled_back_is_kept() {
    let site = Site::new(Database::sqlite());
    site.start().await.stop().await;
    let beside = site.database.connect(site.data()).await;
    beside.execute_unprepared(FULL).await.unwrap();
    let location = Location::Sqlite(site.data().join("watchbell.db"));
    let store = Store::open_existing(&location, Arc::new(site.clock.clone()))
        .await
        .unwrap();

    let mut first = store.begin().await.unwrap();
    // There is one writer: these wait in line for it.
    let (mut given_up, mut kept) = (Box::pin(store.begin()), Box::pin(store.begin()));
    assert!(poll!(&mut given_up).is_pending());
    assert!(poll!(&mut kept).is_pending());
    keep(&mut first, "full").await.unwrap_err();
    drop(first);

    drop(given_up.await.unwrap());
    let mut kept = kept.await.unwrap();
    keep(&mut kept, "kept").await.unwrap();
    kept.commit().await.unwrap();
    drop(store.begin().await.unwrap());
    let found = store.request("who", "method", "kept").await.unwrap();
    assert!(found.is_some(), "it was committed");
    store.close().await;
}
