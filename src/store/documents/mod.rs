//! Documents: reading one by its name, and what hangs on it.

mod due;
mod list;
mod register;
mod rows;
mod write;

use sea_orm::FromQueryResult;

use self::rows::{ALL, HistoryRow, IN_FORCE, Row, documents};
pub use self::{
    due::{Due, DueDocument},
    list::{Days, DocumentFilter, ListPlace, Numbers},
    register::{Imported, VersionOf},
    rows::Known,
    write::{CHANGED, Change, changed},
};
use super::{
    Page, PageOf, Store,
    rows::{CHUNK, Type},
};
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
    /// The document of that name; without a version, the newest.
    ///
    /// # Errors
    /// [`Error::NotFound`] with numbers that are near.
    pub async fn document(&self, named: &Named) -> Result<Document> {
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
        match self.one::<Row>(select.done()).await? {
            Some(row) => row.try_into(),
            None => Err(self.no_such_document(named).await?),
        }
    }

    /// The version of a number that is in force.
    pub async fn document_in_force(&self, number: &Number) -> Result<Option<Document>> {
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

    /// All versions of a number, in order; `limit` at most.
    pub async fn document_versions(&self, number: &Number, limit: u64) -> Result<Vec<Document>> {
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

    /// Which of these numbers there are.
    pub async fn numbers_known(&self, numbers: &[Number]) -> Result<Vec<Number>> {
        let mut known = Vec::new();
        for chunk in numbers.chunks(CHUNK) {
            let select = self
                .sql("SELECT DISTINCT number FROM documents WHERE number")
                .one_of(Type::Text, chunk.iter().map(Number::as_str))
                .done();
            for row in self.all::<NumberRow>(select).await? {
                known.push(row.number.parse()?);
            }
        }
        Ok(known)
    }

    /// On which numbers the documents of these numbers depend, those that are not final: (number, depends on).
    pub async fn dependences_of(&self, numbers: &[Number]) -> Result<Vec<(Number, Number)>> {
        #[derive(FromQueryResult)]
        struct Edge {
            number: String,
            on_number: String,
        }
        let mut edges = Vec::new();
        for chunk in numbers.chunks(CHUNK) {
            let select = self
                .sql(
                    "SELECT d.number AS number, n.number AS on_number FROM documents d \
                     JOIN document_dependants n ON n.document_id = d.id WHERE d.number",
                )
                .one_of(Type::Text, chunk.iter().map(Number::as_str))
                .done();
            for edge in self.all::<Edge>(select).await? {
                edges.push((edge.number.parse()?, edge.on_number.parse()?));
            }
        }
        Ok(edges)
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
