//! Which errors of the database are nobody's fault, so that the same may succeed later.

use sea_orm::{DbErr, RuntimeErr, sqlx};

use crate::error::Error;

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if is_away(&error) {
            return Self::unavailable("database", error);
        }
        Self::internal(error)
    }
}

/// Whether what went wrong may succeed later without anyone's doing: the database is away, only reads (a standby), or
/// another holds what is needed.
pub fn may_come_right(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let ours = cause.downcast_ref::<Error>();
        let theirs = cause.downcast_ref::<DbErr>();
        ours.is_some_and(Error::is_transient) || theirs.is_some_and(is_away)
    })
}

/// Whether the database, not the statement, is at fault: the same may succeed later.
fn is_away(error: &DbErr) -> bool {
    let runtime = match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => return true,
        DbErr::Exec(runtime) | DbErr::Query(runtime) => runtime,
        _ => return false,
    };
    let RuntimeErr::SqlxError(error) = runtime else {
        return false;
    };
    match &**error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        // SQLite rolled back by itself, and the connection does not know: the next one will.
        | sqlx::Error::InvalidSavePointStatement => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| is_away_code(&code)),
        _ => false,
    }
}

/// PostgreSQL: connection lost, resources, shutdown, deadlock and serialization. SQLite (primary
/// codes, extended ones hold them in their low byte): busy, locked, read-only, I/O, full, cannot
/// open.
fn is_away_code(code: &str) -> bool {
    if code.len() == 5 {
        // Besides: a lock, a statement or a silence that took too long, and a server that only reads
        // (failover).
        return [
            "08", "53", "57P", "57014", "55P03", "25P03", "25006", "40", "58",
        ]
        .iter()
        .any(|class| code.starts_with(class));
    }
    let primary = code.parse::<u32>().map(|code| code & 0xff);
    matches!(primary, Ok(5 | 6 | 8 | 10 | 13 | 14))
}
