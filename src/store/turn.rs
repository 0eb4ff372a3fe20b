//! What is done by one server at a time, of those that share a database.

use std::time::Duration;

use sea_orm::{
    DbBackend, DbErr, RuntimeErr,
    sqlx::{self, Connection as _, PgConnection},
};

use super::Store;
use crate::error::{Error, Result};

/// Any number will do, as long as every server takes the same.
const START_LOCK: i64 = 0x5761_7463_6873_7472;
/// A start takes seconds; one that hangs must not keep the others from theirs.
const START_WITHIN: Duration = Duration::from_secs(20);

/// A turn. It is over by [`Turn::end`], and where it is dropped: its connection, which is none of the pool's, goes
/// with it.
#[derive(Debug)]
pub struct Turn(Option<PgConnection>);

impl Store {
    /// The turn to judge a configuration and to bring it into force. None where another server has it for longer than
    /// 20 s.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn turn_to_configure(&self) -> Result<Option<Turn>> {
        self.turn(START_LOCK, START_WITHIN).await
    }

    /// The turn of this lock, for which it waits for so long; none where another has it for longer. SQLite has one
    /// server, whose turn it always is.
    pub(super) async fn turn(&self, lock: i64, within: Duration) -> Result<Option<Turn>> {
        if self.inner.backend != DbBackend::Postgres {
            return Ok(Some(Turn(None)));
        }
        let pool = self.inner.write.get_postgres_connection_pool();
        let mut own = pool.acquire().await.map_err(failed)?.detach();
        let wait = sqlx::query("SELECT set_config('lock_timeout', $1, false)")
            .bind(within.as_millis().to_string())
            .execute(&mut own)
            .await;
        wait.map_err(failed)?;
        let taken = sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(lock)
            .execute(&mut own)
            .await;
        match taken {
            Ok(_) => Ok(Some(Turn(Some(own)))),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

impl Turn {
    /// Gives it to the next.
    pub async fn end(self) {
        let Some(own) = self.0 else { return };
        // Closing the connection frees the lock, whatever becomes of the good-bye.
        if let Err(error) = own.close().await {
            tracing::warn!(%error, "could not close the connection of a turn in order");
        }
    }
}

fn failed(error: sqlx::Error) -> Error {
    DbErr::Query(RuntimeErr::SqlxError(error.into())).into()
}
