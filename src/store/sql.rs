//! Statements written by hand, for what must be set-based: the same text on both databases, but for
//! how sets of values are given (see [`super::rows`]).
//!
//! Placeholders are placed in the order in which they are bound: `$1`, `$2`, … on PostgreSQL, and `?` on
//! SQLite, which looks for a named one by comparing it with each before it.

use std::fmt::Write as _;

use sea_orm::{DbBackend, Statement, Value};

use super::rows::{Column, Type, length_for};

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

    pub(super) fn is_postgres(&self) -> bool {
        self.backend == DbBackend::Postgres
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

    /// Text that only SQLite understands, or needs.
    pub(super) fn sqlite(self, text: &str) -> Self {
        if self.backend == DbBackend::Sqlite {
            return self.push(text);
        }
        self
    }

    /// A limit of a select whose rows are joined with others, as a figure in its text: PostgreSQL plans for any value of a
    /// placeholder, supposes a tenth of all rows, and for so many reads a joined table from end to end.
    pub(super) fn limit(self, rows: u64) -> Self {
        self.push(&format!(" LIMIT {}", rows.min(i64::MAX as u64)))
    }

    /// A placeholder, and what it stands for.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.place(value.into());
        self
    }

    /// That what stands before it is one of these; of nothing, nothing is.
    pub(super) fn one_of<V: Into<Value>>(
        mut self,
        holds: Type,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let mut values: Vec<Value> = values.into_iter().map(Into::into).collect();
        if self.backend == DbBackend::Postgres {
            let array = holds.array(values);
            return self
                .push(" = ANY (")
                .bind(array)
                .push("::")
                .push(holds.of_array())
                .push(")");
        }
        let Some(last) = values.last().cloned() else {
            return self.push(" IN (NULL)");
        };
        values.resize(length_for(values.len()), last);
        self.text.push_str(" IN ");
        self.tuple("", values);
        self
    }

    /// `WITH v(…) AS (…)`: these rows, and on SQLite some of nulls. There must be at least one row, and at most
    /// [`super::rows::CHUNK`].
    pub(super) fn with_values(
        mut self,
        columns: &[Column],
        rows: impl IntoIterator<Item = Vec<Value>>,
    ) -> Self {
        let mut rows: Vec<Vec<Value>> = rows.into_iter().collect();
        let _ = write!(self.text, "WITH v({}) AS (", names(columns));
        if self.backend == DbBackend::Postgres {
            self.text.push_str("SELECT ");
            return self.elements(columns, "", rows).push(") ");
        }
        if let Some(last) = rows.last() {
            let nulls = last.iter().map(Value::as_null).collect();
            rows.resize(length_for(rows.len()), nulls);
        }
        self.push("VALUES ").tuples("", rows).push(") ")
    }

    /// SQLite: `(?, …), (?, …)`; `constants` end each.
    pub(super) fn tuples(mut self, constants: &str, rows: Vec<Vec<Value>>) -> Self {
        for (index, row) in rows.into_iter().enumerate() {
            if 0 < index {
                self.text.push_str(", ");
            }
            self.tuple(constants, row);
        }
        self
    }

    /// PostgreSQL: what the arrays of these columns hold; `constants` end each row.
    pub(super) fn elements(
        mut self,
        columns: &[Column],
        constants: &str,
        rows: Vec<Vec<Value>>,
    ) -> Self {
        let elements: Vec<String> = columns.iter().map(Column::of_element).collect();
        let _ = write!(self.text, "{}{constants} FROM unnest(", elements.join(", "));
        let mut arrays: Vec<Vec<Value>> = Vec::new();
        arrays.resize_with(columns.len(), || Vec::with_capacity(rows.len()));
        for row in rows {
            for (array, value) in arrays.iter_mut().zip(row) {
                array.push(value);
            }
        }
        for (index, (column, array)) in columns.iter().zip(arrays).enumerate() {
            if 0 < index {
                self.text.push_str(", ");
            }
            self.place(column.holds.array(array));
            let _ = write!(self.text, "::{}", column.holds.of_array());
        }
        let _ = write!(self.text, ") AS u({})", names(columns));
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

    fn tuple(&mut self, constants: &str, values: Vec<Value>) {
        self.text.push('(');
        for (index, value) in values.into_iter().enumerate() {
            if 0 < index {
                self.text.push_str(", ");
            }
            self.place(value);
        }
        self.text.push_str(constants);
        self.text.push(')');
    }

    fn place(&mut self, value: Value) {
        self.values.push(value);
        match self.backend {
            DbBackend::Postgres => {
                let _ = write!(self.text, "${}", self.values.len());
            }
            _ => self.text.push('?'),
        }
    }
}

fn names(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rows::column;

    #[test]
    fn a_set_of_values_is_a_list_on_sqlite_and_arrays_on_postgresql() {
        let make = |backend| {
            Sql::new(backend, "")
                .with_values(
                    &[column("id", Type::Big)],
                    [vec![1_i64.into()], vec![2_i64.into()]],
                )
                .push("SELECT id FROM v WHERE id")
                .one_of(Type::Big, [3_i64])
                .push(" AND id < ")
                .bind(4_i64)
                .done()
        };
        let sqlite = make(DbBackend::Sqlite);
        assert_eq!(
            sqlite.sql,
            format!(
                "WITH v(id) AS (VALUES (?){}) SELECT id FROM v WHERE id IN (?) AND id < ?",
                ", (?)".repeat(7)
            )
        );
        assert_eq!(sqlite.values.map(|values| values.0.len()), Some(10));
        assert_eq!(
            make(DbBackend::Postgres).sql,
            "WITH v(id) AS (SELECT id FROM unnest($1::bigint[]) AS u(id)) \
             SELECT id FROM v WHERE id = ANY ($2::bigint[]) AND id < $3"
        );
    }

    #[test]
    fn nothing_is_one_of_nothing() {
        let make = |backend| {
            let none = Vec::<i64>::new();
            Sql::new(backend, "SELECT id")
                .one_of(Type::Big, none)
                .done()
                .sql
        };
        assert_eq!(make(DbBackend::Sqlite), "SELECT id IN (NULL)");
        assert_eq!(make(DbBackend::Postgres), "SELECT id = ANY ($1::bigint[])");
    }
}
