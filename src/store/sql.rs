//! Statements written by hand, for what must be set-based: the same text on both databases.
//!
//! Placeholders are `$1`, `$2`, … on both. PostgreSQL has to be told the types inside `VALUES`;
//! SQLite must not be.

use std::fmt::Write as _;

use sea_orm::{DbBackend, Statement, Value};

/// A statement in the making: text and the values bound to it.
#[derive(Debug)]
pub(super) struct Sql {
    backend: DbBackend,
    text: String,
    values: Vec<Value>,
}

impl Sql {
    pub(super) fn new(backend: DbBackend, text: &str) -> Self {
        Self {
            backend,
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    pub(super) fn push(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Text that only PostgreSQL understands, or needs.
    pub(super) fn postgres(self, text: &str) -> Self {
        if self.backend == DbBackend::Postgres {
            return self.push(text);
        }
        self
    }

    /// A placeholder, and what it stands for.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.place(value.into());
        self
    }

    /// `($1, $2, …)`; of nothing, a list that nothing is in.
    pub(super) fn list<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.text.push('(');
        let mut any = false;
        for value in values {
            if any {
                self.text.push_str(", ");
            }
            any = true;
            self.place(value.into());
        }
        if !any {
            self.text.push_str("NULL");
        }
        self.text.push(')');
        self
    }

    /// `WITH v(a, b) AS (VALUES ($1, $2), …)`. `columns` are names and PostgreSQL types.
    pub(super) fn with_values(
        mut self,
        columns: &[(&str, &str)],
        rows: impl IntoIterator<Item = Vec<Value>>,
    ) -> Self {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let _ = write!(self.text, "WITH v({}) AS (VALUES ", names.join(", "));
        for (index, row) in rows.into_iter().enumerate() {
            self.text.push_str(if index == 0 { "(" } else { ", (" });
            for (column, value) in row.into_iter().enumerate() {
                if 0 < column {
                    self.text.push_str(", ");
                }
                self.place(value);
                if self.backend == DbBackend::Postgres {
                    let _ = write!(self.text, "::{}", columns[column].1);
                }
            }
            self.text.push(')');
        }
        self.text.push_str(") ");
        self
    }

    /// `RETURNING` every column of `table`, and of nothing joined to it.
    pub(super) fn returning_all(self, table: &str) -> Self {
        if self.backend == DbBackend::Postgres {
            return self.push(" RETURNING ").push(table).push(".*");
        }
        self.push(" RETURNING *")
    }

    pub(super) fn done(self) -> Statement {
        Statement::from_sql_and_values(self.backend, self.text, self.values)
    }

    fn place(&mut self, value: Value) {
        self.values.push(value);
        let _ = write!(self.text, "${}", self.values.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_postgres_is_told_the_types() {
        let make = |backend| {
            Sql::new(backend, "")
                .with_values(
                    &[("id", "bigint")],
                    [vec![1_i64.into()], vec![2_i64.into()]],
                )
                .push("SELECT id FROM v WHERE id IN ")
                .list([3_i64])
                .done()
                .sql
        };
        assert_eq!(
            make(DbBackend::Sqlite),
            "WITH v(id) AS (VALUES ($1), ($2)) SELECT id FROM v WHERE id IN ($3)"
        );
        assert_eq!(
            make(DbBackend::Postgres),
            "WITH v(id) AS (VALUES ($1::bigint), ($2::bigint)) SELECT id FROM v WHERE id IN ($3)"
        );
    }
}
