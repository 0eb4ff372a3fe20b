//! A limit on how long the database may take to answer.
//!
//! A PostgreSQL whose host dies, or whose network does, says nothing any more, and neither does the
//! system for a quarter of an hour. Who waits for longer than [`ANSWER_WITHIN`] gives the connection
//! up: nothing is known of the statement then, as where a connection breaks.

use std::{
    future::Future,
    pin::pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, RuntimeErr, Statement, TransactionOptions, TransactionTrait as _,
    sqlx::{self, Connection as _, PgConnection, Postgres, pool::PoolOptions},
};

use crate::clock::Stopwatch;

/// Statements of ours take some milliseconds.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The same for a connection that has nothing to do but to say that it is there.
const SIGN_WITHIN: Duration = Duration::from_secs(3);
/// A connection that was used just now was found well then.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// Behind a statement that was given up, connections that come back are looked at for so long.
const DOUBTED_FOR: Duration = Duration::from_secs(30);

/// When a statement was last given up, by time or by who asked, in any database of this process.
static GIVEN_UP: Mutex<Option<Stopwatch>> = Mutex::new(None);

/// A connection whose every statement has the limit, where it goes to PostgreSQL: on SQLite there is
/// nobody who could fall silent.
#[derive(Debug)]
pub(super) struct Limited<C>(pub(super) C);

impl<C: ConnectionTrait> Limited<C> {
    async fn within<T>(&self, answer: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        within(self.0.get_database_backend(), answer).await
    }
}

/// The answer, unless it takes too long.
pub(super) async fn within<T>(
    backend: DbBackend,
    answer: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    if backend != DbBackend::Postgres {
        return answer.await;
    }
    let answer = pin!(answer);
    // Dropped before the answer, and the connection with that.
    let mut asked = Asked { answered: false };
    if let Ok(answer) = tokio::time::timeout(ANSWER_WITHIN, answer).await {
        asked.answered = true;
        return answer;
    }
    let why = format!("no answer within {} s", ANSWER_WITHIN.as_secs());
    Err(DbErr::Conn(RuntimeErr::Internal(why)))
}

/// A statement that is under way. Dropped without an answer, it was given up.
#[derive(Debug)]
struct Asked {
    answered: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.answered {
            *GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stopwatch::start());
        }
    }
}

/// Whether a connection that comes back may be one of those of which nothing is known.
fn is_doubted() -> bool {
    let given_up = GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner);
    given_up
        .as_ref()
        .is_some_and(|watch| watch.elapsed() < DOUBTED_FOR)
}

/// A transaction. Whoever asked may go away at any moment, such as a caller of the API. To PostgreSQL it is
/// begun to the end even so, and dropped then: given up halfway, it would be open in a connection of which the
/// pool believes that it is in none, for as long as others use it.
pub(super) async fn begin(
    write: &DatabaseConnection,
    options: TransactionOptions,
) -> Result<DatabaseTransaction, DbErr> {
    let backend = write.get_database_backend();
    if backend != DbBackend::Postgres {
        return write.begin_with_options(options).await;
    }
    let write = write.clone();
    let begun = async move { within(backend, write.begin_with_options(options)).await };
    match tokio::spawn(begun).await {
        Ok(begun) => begun,
        Err(ended) => Err(DbErr::Conn(RuntimeErr::Internal(ended.to_string()))),
    }
}

#[async_trait::async_trait]
impl<C: ConnectionTrait + Send> ConnectionTrait for Limited<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.within(self.0.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.within(self.0.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.within(self.0.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.within(self.0.query_all_raw(statement)).await
    }
}

/// Looks at connections that have rested before they are used, and after, where a statement was given up just now,
/// each time with a limit. The pool's own look at each that comes back has none: one at a connection that was given up
/// would keep its place for good.
pub(super) fn with_limits(options: PoolOptions<Postgres>) -> PoolOptions<Postgres> {
    options
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if TRUSTED_FOR < about.idle_for {
                    give_sign(connection).await?;
                }
                Ok(true)
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                if is_doubted() {
                    give_sign(connection).await?;
                }
                Ok(true)
            })
        })
}

async fn give_sign(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    in_time(SIGN_WITHIN, connection.ping()).await
}

/// The driver's answer, unless it takes longer.
pub(super) async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let answered = tokio::time::timeout(limit, answer).await;
    answered.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}
