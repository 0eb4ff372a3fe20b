//! What an import asks: which versions there are of many numbers, and what documents are that it brings again.

use sea_orm::{ConnectionTrait as _, FromQueryResult};

use super::{
    super::{
        Store,
        rows::{CHUNK, Type, column},
        sql::Sql,
    },
    rows::{ALL, IN_FORCE, Row},
};
use crate::{
    domain::{
        Document,
        document::{Key, Version},
    },
    error::Result,
};

/// A document, and the hash of the line that brought it in.
#[derive(Clone, Debug)]
pub struct Imported {
    pub document: Document,
    /// None where it was created here.
    pub hash: Option<String>,
}

/// A version that there is of a number.
#[derive(Clone, Debug, FromQueryResult)]
pub struct VersionOf {
    pub number: String,
    major: i64,
    minor: i64,
    pub in_force: bool,
}

impl VersionOf {
    /// The first version of a number, not in force.
    #[cfg(test)]
    pub(crate) fn first(number: &str) -> Self {
        Self {
            number: number.to_owned(),
            major: 1,
            minor: 0,
            in_force: false,
        }
    }

    pub fn version(&self) -> Version {
        // The columns were written from such numbers.
        let small = |part: i64| i32::try_from(part).unwrap_or(i32::MAX);
        Version {
            major: small(self.major),
            minor: small(self.minor),
        }
    }
}

#[derive(FromQueryResult)]
struct Hash {
    import_hash: Option<String>,
}

impl Store {
    /// The versions that there are of these numbers.
    pub async fn versions_of(&self, numbers: &[&str]) -> Result<Vec<VersionOf>> {
        let mut found = Vec::new();
        for chunk in numbers.chunks(CHUNK) {
            found.extend(self.all(versions(self.sql(""), chunk).done()).await?);
        }
        Ok(found)
    }

    /// Documents by their keys, those that there are, with what brought them in.
    pub async fn documents_imported(&self, keys: &[Key]) -> Result<Vec<Imported>> {
        let mut found = Vec::new();
        for chunk in keys.chunks(CHUNK) {
            let select = by_key(self.sql(""), chunk).done();
            let rows = self.inner.read.query_all_raw(select).await?;
            for row in &rows {
                let hash = Hash::from_query_result(row, "")?.import_hash;
                let document = Row::from_query_result(row, "")?.try_into()?;
                found.push(Imported { document, hash });
            }
        }
        Ok(found)
    }
}

fn versions(sql: Sql, numbers: &[&str]) -> Sql {
    sql.push("SELECT number, major, minor, ")
        .push(IN_FORCE)
        .push(" AS in_force FROM documents")
        .sqlite(" INDEXED BY documents_key")
        .push(" WHERE number")
        .one_of(Type::Text, numbers.iter().copied())
}

/// Each key is looked up by itself, which PostgreSQL has to be told.
fn by_key(sql: Sql, keys: &[Key]) -> Sql {
    let columns = [
        column("of_number", Type::Text),
        column("of_major", Type::Big),
        column("of_minor", Type::Big),
    ];
    let rows = keys.iter().map(|key| {
        vec![
            key.number.as_str().into(),
            i64::from(key.version.major).into(),
            i64::from(key.version.minor).into(),
        ]
    });
    sql.with_values(&columns, rows)
        .push("SELECT ")
        .push(ALL)
        .push(", import_hash FROM v CROSS JOIN ")
        .postgres("LATERAL (SELECT * FROM documents WHERE ")
        .sqlite("documents INDEXED BY documents_key WHERE ")
        .push("number = of_number AND major = of_major AND minor = of_minor")
        .postgres(" OFFSET 0) AS found")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_finds_what_an_import_asks_for_by_the_key() {
        let (_dir, store) = empty_store().await;
        let key = Key {
            number: "SOP-1".parse().unwrap(),
            version: Version::FIRST,
        };
        for select in [
            versions(store.sql(""), &["SOP-1", "SOP-2"]),
            by_key(store.sql(""), &[key]),
        ] {
            let steps = plan(&store, select.done()).await.join("\n");
            let searched = "SEARCH documents USING INDEX documents_key (number=?";
            assert!(steps.contains(searched), "{steps}");
        }
    }
}
