//! Documents: reading one by its name, and what hangs on it.

mod bare;
mod corrected;
mod depends;
mod due;
mod list;
mod numbers;
mod register;
mod rows;
mod statuses;
mod write;

use sea_orm::FromQueryResult;

use self::rows::{ALL, HistoryRow, IN_FORCE, Row, documents};
pub use self::{
    depends::Stranded,
    due::{Due, DueDocument},
    list::{Days, DocumentFilter, ListPlace, Numbers, People},
    numbers::{Spelling, Spellings},
    register::{Imported, VersionOf},
    rows::Known,
    write::{CHANGED, Change, changed},
};
use super::{Page, PageOf, Store};
use crate::{
    domain::{
        Document, DocumentId,
        document::{HistoryEntry, Number, key::Named},
    },
    error::{Error, Result, Thing},
};

/// Numbers looked at for those that are near to one that is not there.
const NEAR_LOOKED_AT: i64 = 200;

#[derive(FromQueryResult)]
struct NumberRow {
    number: String,
}

impl Store {
    /// The document of that name, in any case; without a version, the newest.
    ///
    /// # Errors
    /// [`Error::NotFound`] with numbers that are near.
    pub async fn document(&self, named: &Named) -> Result<Document> {
        if let Some(document) = self.document_spelt(named).await? {
            return Ok(document);
        }
        let Some(number) = self.spelt_otherwise(&named.number).await? else {
            return Err(self.no_such_document(named).await?);
        };
        let version = named.version;
        let named = Named { number, version };
        match self.document_spelt(&named).await? {
            Some(document) => Ok(document),
            None => Err(self.no_such_document(&named).await?),
        }
    }

    /// The document of that name as it is spelt.
    async fn document_spelt(&self, named: &Named) -> Result<Option<Document>> {
        let mut select = self
            .sql("SELECT ")
            .push(ALL)
            .push(" FROM documents WHERE number = ")
            .bind(named.number.as_str());
        if let Some(version) = named.version {
            select = select
                .push(" AND major = ")
                .bind(i64::from(version.major))
                .push(" AND minor = ")
                .bind(i64::from(version.minor));
        }
        let select = select.push(" ORDER BY number DESC, major DESC, minor DESC LIMIT 1");
        let row: Option<Row> = self.one(select.done()).await?;
        row.map(Document::try_from).transpose()
    }

    /// The version of a number, in any case, that is in force.
    pub async fn document_in_force(&self, number: &Number) -> Result<Option<Document>> {
        let number = self.spelling(number).await?;
        let Some(number) = number else {
            return Ok(None);
        };
        let select = self
            .sql("SELECT ")
            .push(ALL)
            .push(" FROM documents WHERE number = ")
            .bind(number.as_str())
            .push(" AND ")
            .push(IN_FORCE)
            .done();
        let row: Option<Row> = self.one(select).await?;
        row.map(Document::try_from).transpose()
    }

    /// All versions of a number, in any case, in order; `limit` at most.
    pub async fn document_versions(&self, number: &Number, limit: u64) -> Result<Vec<Document>> {
        let versions = self.versions_spelt(number, limit).await?;
        if !versions.is_empty() {
            return Ok(versions);
        }
        match self.spelt_otherwise(number).await? {
            Some(number) => self.versions_spelt(&number, limit).await,
            None => Ok(versions),
        }
    }

    async fn versions_spelt(&self, number: &Number, limit: u64) -> Result<Vec<Document>> {
        let select = self
            .sql("SELECT ")
            .push(ALL)
            .push(" FROM documents WHERE number = ")
            .bind(number.as_str())
            .push(" ORDER BY number, major, minor LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .done();
        documents(self.all(select).await?)
    }

    /// What has happened to a document, newest first: pages by its revision.
    pub async fn document_history(
        &self,
        id: DocumentId,
        page: &Page<i64>,
    ) -> Result<PageOf<HistoryEntry, i64>> {
        let limit = i64::try_from(page.size.saturating_add(1)).unwrap_or(i64::MAX);
        let select = self
            .sql("SELECT * FROM document_history WHERE document_id = ")
            .bind(id.0)
            .push(" AND revision < ")
            .bind(page.after.unwrap_or(i64::MAX))
            .push(" ORDER BY document_id DESC, revision DESC LIMIT ")
            .bind(limit)
            .done();
        let rows: Vec<HistoryRow> = self.all(select).await?;
        let entries = rows
            .into_iter()
            .map(HistoryEntry::try_from)
            .collect::<Result<_>>()?;
        Ok(PageOf::cut(entries, page.size, |entry: &HistoryEntry| {
            entry.revision
        }))
    }

    async fn no_such_document(&self, named: &Named) -> Result<Error> {
        let wanted = named.number.as_str();
        // Those that begin alike: an index finds them.
        let alike: String = wanted.chars().take(wanted.len() * 2 / 3).collect();
        let select = self
            .sql("SELECT DISTINCT number FROM documents WHERE number >= ")
            .bind(alike)
            .push(" ORDER BY number LIMIT ")
            .bind(NEAR_LOOKED_AT)
            .done();
        let rows: Vec<NumberRow> = self.all(select).await?;
        let mut near = super::near::near(wanted, rows.into_iter().map(|row| row.number));
        if near.iter().any(|number| number == wanted) {
            // It is there in other versions.
            near = Vec::new();
            for document in self.document_versions(&named.number, 3).await? {
                near.push(document.key.to_string());
            }
        }
        Ok(Error::NotFound {
            what: Thing::Document,
            id: named.to_string(),
            near,
        })
    }
}
