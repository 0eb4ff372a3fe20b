//! Many rows in one statement, whose text depends on their number as little as can be: so that the
//! database reads it once and keeps what it made of it.
//!
//! PostgreSQL is given an array for each column. SQLite has no arrays; it is given a list of rows, of
//! one of a few [`LENGTHS`].

use sea_orm::{DbBackend, Statement, Value, sea_query::ArrayType};
use uuid::Uuid;

use super::sql::Sql;

/// How many rows a list has on SQLite; the longest is well below its bind limit of 32,766.
const LENGTHS: [usize; 5] = [512, 128, 32, 8, 1];
/// Rows in one statement at the most.
pub(crate) const CHUNK: usize = LENGTHS[0];

/// The arrays of the driver hold no null: these stand for it, and nothing of ours is one of them.
const NO_NUMBER: i64 = i64::MIN;
const NO_TEXT: &str = "\u{1}";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Uuid,
    Big,
    Small,
    Text,
    Bool,
    Bytes,
}

/// A column of a set of rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) holds: Type,
    nullable: bool,
}

pub(super) const fn column(name: &'static str, holds: Type) -> Column {
    Column {
        name,
        holds,
        nullable: false,
    }
}

impl Column {
    pub(super) const fn or_null(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// How PostgreSQL turns the element of the array that is called like it into its value.
    pub(super) fn of_element(&self) -> String {
        let Self { name, .. } = self;
        match (self.nullable, self.holds) {
            (false, _) | (_, Type::Bool | Type::Small | Type::Bytes) => name.to_string(),
            (true, Type::Big) => format!("NULLIF({name}, {NO_NUMBER})"),
            (true, Type::Text) => format!("NULLIF({name}, E'\\x01')"),
            (true, Type::Uuid) => format!("NULLIF({name}, '{}'::uuid)", Uuid::nil()),
        }
    }
}

impl Type {
    pub(super) fn of_array(self) -> &'static str {
        match self {
            Self::Uuid => "uuid[]",
            Self::Big => "bigint[]",
            Self::Small => "smallint[]",
            Self::Text => "text[]",
            Self::Bool => "boolean[]",
            Self::Bytes => "bytea[]",
        }
    }

    /// An array of such values, for PostgreSQL.
    pub(super) fn array(self, values: impl IntoIterator<Item = Value>) -> Value {
        let whole = |value| match value {
            Value::BigInt(None) => NO_NUMBER.into(),
            Value::String(None) => NO_TEXT.into(),
            Value::Uuid(None) => Uuid::nil().into(),
            value => value,
        };
        let values = values.into_iter().map(whole).collect();
        let of = match self {
            Self::Uuid => ArrayType::Uuid,
            Self::Big => ArrayType::BigInt,
            Self::Small => ArrayType::SmallInt,
            Self::Text => ArrayType::String,
            Self::Bool => ArrayType::Bool,
            Self::Bytes => ArrayType::Bytes,
        };
        Value::Array(of, Some(Box::new(values)))
    }
}

/// The shortest list that takes so many.
pub(super) fn length_for(count: usize) -> usize {
    let fits = LENGTHS.iter().rev().find(|length| count <= **length);
    fits.copied().unwrap_or(count)
}

/// Inserts rows; `constants` are further columns, and what stands in all of them.
pub(super) fn inserts(
    backend: DbBackend,
    table: &str,
    columns: &[Column],
    constants: &[(&str, &str)],
    rows: Vec<Vec<Value>>,
    tail: &str,
) -> Vec<Statement> {
    let mut statements = Vec::new();
    let mut rows = rows.into_iter();
    while 0 < rows.len() {
        let count = match backend {
            DbBackend::Postgres => CHUNK,
            _ => longest_within(rows.len()),
        };
        let rows = rows.by_ref().take(count).collect();
        let insert = insert(
            Sql::new(backend, ""),
            backend,
            table,
            (columns, constants),
            rows,
        );
        statements.push(insert.push(tail).done());
    }
    statements
}

/// What inserts these rows, behind what there is of a statement.
pub(super) fn insert(
    sql: Sql,
    backend: DbBackend,
    table: &str,
    (columns, constants): (&[Column], &[(&str, &str)]),
    rows: Vec<Vec<Value>>,
) -> Sql {
    let own = columns.iter().map(|column| column.name);
    let names: Vec<&str> = own.chain(constants.iter().map(|(name, _)| *name)).collect();
    let constants: String = constants
        .iter()
        .map(|(_, value)| format!(", {value}"))
        .collect();
    let sql = sql.push(&format!("INSERT INTO {table} ({}) ", names.join(", ")));
    match backend {
        DbBackend::Postgres => sql.push("SELECT ").elements(columns, &constants, rows),
        _ => sql.push("VALUES ").tuples(&constants, rows),
    }
}

/// The longest list that so many rows fill.
fn longest_within(count: usize) -> usize {
    let fits = LENGTHS.iter().find(|length| **length <= count);
    fits.copied().unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        column("id", Type::Big),
        column("text", Type::Text).or_null(),
    ];

    fn rows(count: i64) -> Vec<Vec<Value>> {
        let row = |id: i64| vec![id.into(), Option::<String>::None.into()];
        (0..count).map(row).collect()
    }

    #[test]
    fn sqlite_is_given_lists_of_few_lengths() {
        let constants = [("state", "'queued'")];
        let made = inserts(DbBackend::Sqlite, "t", COLUMNS, &constants, rows(10), "");
        let texts: Vec<&str> = made
            .iter()
            .map(|statement| statement.sql.as_str())
            .collect();
        let one = "INSERT INTO t (id, text, state) VALUES (?, ?, 'queued')";
        let eight = format!("{one}{}", ", (?, ?, 'queued')".repeat(7));
        assert_eq!(texts, [&eight, one, one]);
        assert_eq!(length_for(9), 32);
        assert_eq!(length_for(1), 1);
    }

    #[test]
    fn postgresql_is_given_an_array_for_each_column() {
        let constants = [("state", "'queued'")];
        let made = inserts(DbBackend::Postgres, "t", COLUMNS, &constants, rows(10), "");
        let [statement] = made.as_slice() else {
            panic!("{made:?}");
        };
        assert_eq!(
            statement.sql,
            "INSERT INTO t (id, text, state) SELECT id, NULLIF(text, E'\\x01'), 'queued' \
             FROM unnest($1::bigint[], $2::text[]) AS u(id, text)"
        );
    }
}
