//! Databases with the newest schema and nothing else, of which stories get copies.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    os::unix::fs::MetadataExt as _,
    sync::Arc,
};

use sea_orm::{ConnectionTrait as _, Statement};
use tokio::sync::OnceCell;
use watchbell::{
    clock::ManualClock,
    store::{Location, Store},
};

use super::{
    database::{connect, url_of},
    noon,
};

/// Any number will do, as long as every program of tests takes the same.
const LOCK: i64 = 0x7465_6d70_6c61_7465;

/// A whole database file of SQLite.
pub(super) async fn sqlite() -> &'static [u8] {
    static FILE: OnceCell<Vec<u8>> = OnceCell::const_new();
    FILE.get_or_init(async || {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("watchbell.db");
        migrate(&Location::Sqlite(file.clone())).await;
        std::fs::read(file).unwrap()
    })
    .await
}

/// The name of a database on this server, to copy from.
pub(super) async fn postgresql(server: &str) -> &'static str {
    static NAME: OnceCell<String> = OnceCell::const_new();
    NAME.get_or_init(async || {
        let name = format!("watchbell_template_{:016x}", build());
        // Several programs of tests may be at it at once. The lock ends with the connection.
        let admin = connect(server).await;
        let lock = format!("SELECT pg_advisory_lock({LOCK})");
        admin.execute_unprepared(&lock).await.unwrap();
        let look = format!("SELECT 1 FROM pg_database WHERE datname = '{name}'");
        let look = Statement::from_string(admin.get_database_backend(), look);
        if admin.query_one_raw(look).await.unwrap().is_none() {
            // It gets its name once it is whole.
            let made = format!("watchbell_{}", uuid::Uuid::now_v7().simple());
            let create = format!("CREATE DATABASE {made}");
            admin.execute_unprepared(&create).await.unwrap();
            migrate(&Location::Postgres(url_of(server, &made))).await;
            let rename = format!("ALTER DATABASE {made} RENAME TO {name}");
            admin.execute_unprepared(&rename).await.unwrap();
        }
        admin.close().await.unwrap();
        name
    })
    .await
}

async fn migrate(location: &Location) {
    let clock = Arc::new(ManualClock::at(noon()));
    let store = Store::connect(location, clock).await.unwrap();
    store.migrate().await.unwrap();
    store.close().await;
}

/// Another for each build of the tests, which may know another schema.
fn build() -> u64 {
    let program = std::fs::metadata(std::env::current_exe().unwrap()).unwrap();
    let mut hasher = DefaultHasher::new();
    (program.dev(), program.ino(), program.size()).hash(&mut hasher);
    (program.mtime(), program.mtime_nsec()).hash(&mut hasher);
    hasher.finish()
}
