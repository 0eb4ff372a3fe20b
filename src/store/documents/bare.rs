//! How many documents are in force without content: by an index that holds nothing else.

use sea_orm::FromQueryResult;

use super::{
    super::{Store, rows::Type, sql::Sql},
    rows::IN_FORCE,
};
use crate::{domain::document::DocumentTypes, error::Result};

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

impl Store {
    /// How many documents are in force without content, but for those of types that have none.
    pub async fn documents_without_content(&self, types: &DocumentTypes) -> Result<i64> {
        let row: Option<Count> = self.one(count(self.sql(""), types).done()).await?;
        Ok(row.map_or(0, |row| row.count))
    }
}

/// Word for word as the index says it.
fn count(sql: Sql, types: &DocumentTypes) -> Sql {
    let sql = sql
        .push("SELECT count(*) AS count FROM documents")
        .sqlite(" INDEXED BY documents_bare")
        .push(" WHERE content_sha256 IS NULL AND ")
        .push(IN_FORCE);
    if types.bare().next().is_none() {
        return sql;
    }
    sql.push(" AND NOT lower(document_type)")
        .one_of(Type::Text, types.bare())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::plan::{empty_store, plan};

    #[tokio::test]
    async fn sqlite_counts_them_by_the_index_that_holds_nothing_else() {
        let (_dir, store) = empty_store().await;
        for types in [
            DocumentTypes::default(),
            DocumentTypes::without_content(["Form", "Record"]),
        ] {
            let steps = plan(&store, count(store.sql(""), &types).done()).await;
            let steps = steps.join("\n");
            assert!(steps.contains("COVERING INDEX documents_bare"), "{steps}");
        }
    }
}
