//! Tasks of kinds that this version does not know.

use sea_orm::FromQueryResult;

use super::{Store, rows::Type};
use crate::error::Result;

#[derive(FromQueryResult)]
struct OfKind {
    name: String,
    kind: String,
}

impl Store {
    /// Names and kinds of tasks of any but these kinds, by name; at most `limit`.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_beside(
        &self,
        kinds: impl Iterator<Item = &str>,
        limit: u64,
    ) -> Result<Vec<(String, String)>> {
        let select = self
            .sql("SELECT name, kind FROM tasks WHERE deleted_at IS NULL AND NOT kind")
            .one_of(Type::Text, kinds)
            .push(" ORDER BY name LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done();
        let rows: Vec<OfKind> = self.all(select).await?;
        Ok(rows.into_iter().map(|row| (row.name, row.kind)).collect())
    }
}
