//! A look into the server's database, and a hand in it, from another process.

use std::path::Path;

use sea_orm::sqlx::{
    Connection as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use tokio::runtime::Runtime;

/// A connection to the file, from outside the server.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: SqliteConnection,
    runtime: Runtime,
}

impl Sqlite {
    pub(super) fn open(file: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let options = SqliteConnectOptions::new().filename(file);
        let connection = runtime.block_on(SqliteConnection::connect_with(&options));
        Self {
            connection: connection.unwrap(),
            runtime,
        }
    }

    /// Does it, and says how many rows it touched.
    #[track_caller]
    pub(super) fn execute(&mut self, statement: &'static str) -> u64 {
        let query = sea_orm::sqlx::query(statement).execute(&mut self.connection);
        self.runtime.block_on(query).unwrap().rows_affected()
    }

    /// The first column of each row, as text.
    #[track_caller]
    pub(super) fn texts(&mut self, query: &'static str) -> Vec<String> {
        self.rows(query).iter().map(|row| row.get(0)).collect()
    }

    fn rows(&mut self, query: &'static str) -> Vec<SqliteRow> {
        let query = sea_orm::sqlx::query(query).fetch_all(&mut self.connection);
        self.runtime.block_on(query).unwrap()
    }

    /// Closes it in order, so that the file holds all that was written.
    pub(super) fn close(self) {
        self.runtime.block_on(self.connection.close()).unwrap();
    }
}
