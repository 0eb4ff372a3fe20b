//! What to do where the database cannot be opened.

use std::path::Path;

use sea_orm::{DbErr, RuntimeErr};

use crate::config::without_password;

/// SQLite's primary code of an error while connecting; extended ones hold it in their low byte.
pub(super) fn sqlite_code(error: &DbErr) -> Option<u32> {
    let DbErr::Conn(RuntimeErr::SqlxError(error)) = error else {
        return None;
    };
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

pub(super) fn sqlite_advice(path: &Path, code: Option<u32>) -> String {
    let advice = match code {
        Some(5 | 6) => "another program holds it locked: end that one, and start again",
        Some(11 | 26) => {
            "it is damaged, or no SQLite database: restore the newest copy, or pass another --database"
        }
        _ => {
            "check that its folder exists, that this user may write there, and that the disk is not full"
        }
    };
    format!("could not open the database {}: {advice}", path.display())
}

pub(super) fn postgres_advice(url: &str) -> String {
    format!(
        "could not connect to {}: check that PostgreSQL runs there, that the database exists, and \
         the user's password",
        without_password(url)
    )
}
