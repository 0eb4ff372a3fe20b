//! Tasks of kinds that this version does not know.

use sea_orm::FromQueryResult;

use super::Store;
use crate::error::Result;

#[derive(FromQueryResult)]
struct Kind {
    kind: Option<String>,
}

#[derive(FromQueryResult)]
struct Name {
    name: String,
}

impl Store {
    /// Names and kinds of tasks of any but these kinds, by kind and name; at most `limit`.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn tasks_beside(
        &self,
        kinds: impl Iterator<Item = &str>,
        limit: u64,
    ) -> Result<Vec<(String, String)>> {
        let known: Vec<&str> = kinds.collect();
        let mut beside = Vec::new();
        for kind in self.kinds_there().await? {
            if known.contains(&kind.as_str()) {
                continue;
            }
            let left = limit.saturating_sub(beside.len() as u64);
            let select = self
                .sql("SELECT name FROM task_facets WHERE kind = ")
                .bind(kind.as_str())
                .push(" ORDER BY name LIMIT ")
                .bind(i64::try_from(left).unwrap_or(i64::MAX))
                .done();
            let rows: Vec<Name> = self.all(select).await?;
            beside.extend(rows.into_iter().map(|row| (row.name, kind.clone())));
        }
        Ok(beside)
    }

    /// The kinds that tasks have: a look for each, however many tasks there are.
    async fn kinds_there(&self) -> Result<Vec<String>> {
        let mut kinds: Vec<String> = Vec::new();
        loop {
            let mut select = self.sql("SELECT min(kind) AS kind FROM task_facets");
            if let Some(last) = kinds.last() {
                select = select.push(" WHERE kind > ").bind(last.as_str());
            }
            let next: Option<Kind> = self.one(select.done()).await?;
            match next.and_then(|next| next.kind) {
                Some(kind) => kinds.push(kind),
                None => return Ok(kinds),
            }
        }
    }
}
