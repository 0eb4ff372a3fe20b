//! Lists of documents: pages whose cost depends neither on how many documents there are, nor on how few of them
//! are wanted.
//!
//! A page is read along one index, the one that the filter names first; what else is wanted is looked for among
//! so many rows of it.

mod people;
mod spelt;

use jiff::civil::Date;
use sea_orm::{FromQueryResult, Statement};

use self::people::Part;
pub use self::people::People;
use super::{
    super::{Page, PageOf, Store, rows::Type, sql::Sql},
    rows::{ALL, Row, documents, key_of},
};
use crate::{
    domain::{
        Document,
        document::{DocumentStatus, Key, Number},
    },
    error::Result,
};

/// Rows looked at for a page where no index knows which are wanted.
const WINDOW: i64 = 500;
/// Documents under way that a watch shows at most, and one more.
const UNDER_WAY: &[DocumentStatus] = &[
    DocumentStatus::Draft,
    DocumentStatus::PendingReview,
    DocumentStatus::UnderReview,
    DocumentStatus::Reviewed,
    DocumentStatus::PendingApproval,
    DocumentStatus::UnderApproval,
    DocumentStatus::ApprovedPendingEffective,
    DocumentStatus::ScheduledForObsolescence,
];

/// Which numbers a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    #[default]
    All,
    One(Number),
    /// Those that begin so, in any case.
    Prefix(String),
}

/// A range of days: from the first, and before the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    pub since: Option<Date>,
    pub before: Option<Date>,
}

/// Which documents a list holds.
#[derive(Clone, Debug, Default)]
pub struct DocumentFilter {
    pub statuses: Vec<DocumentStatus>,
    pub numbers: Numbers,
    pub document_type: Option<String>,
    pub people: People,
    pub effective: Days,
    pub obsolescence: Days,
}

/// A place in a list: the day by which it is ordered, where it is, and the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPlace {
    pub day: Option<Date>,
    pub key: Key,
}

#[derive(FromQueryResult)]
struct PlaceRow {
    day: Option<String>,
    number: String,
    major: i64,
    minor: i64,
}

/// The index along which a page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Key,
    /// Numbers by what their spellings have in common.
    Spelling,
    Effective,
    Obsolescence,
    Status(DocumentStatus),
    Type,
    /// Somebody's, of a name in one of the ways to write it.
    Person(Part, usize),
}

impl Days {
    fn is_open(self) -> bool {
        self.since.is_none() && self.before.is_none()
    }
}

impl Source {
    fn index(self) -> &'static str {
        match self {
            Self::Key | Self::Spelling => " INDEXED BY documents_key",
            Self::Effective => " INDEXED BY documents_effective",
            Self::Obsolescence => " INDEXED BY documents_obsolescence",
            Self::Status(_) => " INDEXED BY documents_status",
            Self::Type => " INDEXED BY documents_type",
            Self::Person(part, _) => part.index(),
        }
    }

    /// The day by which it is ordered before the key.
    fn day(self) -> Option<&'static str> {
        match self {
            Self::Effective => Some("effective_date"),
            Self::Obsolescence => Some("obsolescence_date"),
            Self::Key | Self::Spelling | Self::Status(_) | Self::Type | Self::Person(..) => None,
        }
    }

    fn order(self) -> &'static str {
        match self {
            Self::Key | Self::Person(..) => "number, major, minor",
            Self::Spelling => "lower(number), number, major, minor",
            Self::Effective => "effective_date, number, major, minor",
            Self::Obsolescence => "obsolescence_date, number, major, minor",
            Self::Status(_) => "status, number, major, minor",
            Self::Type => "document_type, number, major, minor",
        }
    }
}

impl DocumentFilter {
    fn sources(&self) -> Vec<Source> {
        match self.numbers {
            Numbers::All => {}
            Numbers::One(_) => return vec![Source::Key],
            Numbers::Prefix(_) => return vec![Source::Spelling],
        }
        if !self.effective.is_open() {
            return vec![Source::Effective];
        }
        if !self.obsolescence.is_open() {
            return vec![Source::Obsolescence];
        }
        let of_people = self.sources_of_people();
        if !of_people.is_empty() {
            return of_people;
        }
        if !self.statuses.is_empty() {
            return self.statuses.iter().copied().map(Source::Status).collect();
        }
        match self.document_type {
            Some(_) => vec![Source::Type],
            None => vec![Source::Key],
        }
    }

    /// Whether the source holds others than what is wanted.
    fn is_sparse_in(&self, source: Source) -> bool {
        let statuses = !self.statuses.is_empty() && !matches!(source, Source::Status(_));
        let of_type = self.document_type.is_some() && source != Source::Type;
        let effective = !self.effective.is_open() && source != Source::Effective;
        let obsolescence = !self.obsolescence.is_open() && source != Source::Obsolescence;
        statuses || of_type || effective || obsolescence || self.others_are_in(source)
    }

    /// `FROM documents WHERE …`: what of the source lies behind the place; of numbers, as many as may be needed.
    fn range(&self, sql: Sql, source: Source, after: Option<&ListPlace>, needed: i64) -> Sql {
        if source == Source::Spelling {
            return self.spelt(sql, after, needed);
        }
        if let Source::Person(part, way) = source {
            return self.of_person(sql, (part, way), after);
        }
        let mut sql = sql
            .push(" FROM documents")
            .sqlite(source.index())
            .push(" WHERE ");
        sql = match source {
            Source::Status(status) => sql.push("status = ").bind(status.as_str()),
            Source::Type => sql
                .push("document_type = ")
                .bind(self.document_type.clone().unwrap_or_default()),
            Source::Effective => within(sql, "effective_date", self.effective),
            Source::Obsolescence => within(sql, "obsolescence_date", self.obsolescence),
            Source::Key | Source::Spelling | Source::Person(..) => sql.push("true"),
        };
        if let Numbers::One(number) = &self.numbers {
            sql = sql.push(" AND number = ").bind(number.as_str());
        }
        let Some(ListPlace { day, key }) = after else {
            return sql;
        };
        // With what stands before the key in the index: else PostgreSQL would rather walk along the key.
        let first: Option<(&str, String)> = match source {
            Source::Key | Source::Spelling | Source::Person(..) => None,
            Source::Status(status) => Some(("status", status.as_str().to_owned())),
            Source::Type => self.document_type.clone().map(|of| ("document_type", of)),
            Source::Effective | Source::Obsolescence => {
                source.day().zip(day.map(|day| day.to_string()))
            }
        };
        sql = match first {
            Some((column, value)) => sql
                .push(" AND (")
                .push(column)
                .push(", number, major, minor) > (")
                .bind(value)
                .push(", "),
            None => sql.push(" AND (number, major, minor) > ("),
        };
        key_closed(sql, key)
    }

    /// ` AND …`: what is wanted of the source.
    fn wanted(&self, mut sql: Sql, source: Source) -> Sql {
        if !self.statuses.is_empty() && !matches!(source, Source::Status(_)) {
            let statuses = self.statuses.iter().map(|status| status.as_str());
            sql = sql.push(" AND status").one_of(Type::Text, statuses);
        }
        if let Some(of) = self
            .document_type
            .as_ref()
            .filter(|_| source != Source::Type)
        {
            sql = sql.push(" AND document_type = ").bind(of.as_str());
        }
        if source != Source::Effective && !self.effective.is_open() {
            sql = within(sql.push(" AND "), "effective_date", self.effective);
        }
        if source != Source::Obsolescence && !self.obsolescence.is_open() {
            sql = within(sql.push(" AND "), "obsolescence_date", self.obsolescence);
        }
        self.of_people(sql, source)
    }

    /// Up to `limit` documents that are wanted, of the next [`WINDOW`] where the source holds others.
    fn select(&self, sql: Sql, source: Source, after: Option<&ListPlace>, limit: i64) -> Statement {
        if !self.is_sparse_in(source) {
            let sql = self.range(sql.push("SELECT ").push(ALL), source, after, limit);
            return ordered(sql, source).push(" LIMIT ").bind(limit).done();
        }
        let sql = sql
            .push("SELECT ")
            .push(ALL)
            .push(" FROM (SELECT ")
            .push(ALL);
        let sql = ordered(self.range(sql, source, after, WINDOW), source)
            .push(" LIMIT ")
            .bind(WINDOW)
            .push(") AS looked_at WHERE true");
        ordered(self.wanted(sql, source), source)
            .push(" LIMIT ")
            .bind(limit)
            .done()
    }

    /// The last row of a sparse source that is looked at, where there are more behind it.
    fn select_end(&self, sql: Sql, source: Source, after: Option<&ListPlace>) -> Statement {
        let day = source.day().unwrap_or("CAST(NULL AS TEXT)");
        let sql = sql
            .push("SELECT ")
            .push(day)
            .push(" AS day, number, major, minor");
        ordered(self.range(sql, source, after, WINDOW), source)
            .push(" LIMIT 1 OFFSET ")
            .bind(WINDOW - 1)
            .done()
    }

    /// Where a document stands in the list.
    pub fn place_of(&self, document: &Document) -> ListPlace {
        let day = match self.sources().first() {
            Some(Source::Effective) => document.effective_date,
            Some(Source::Obsolescence) => document.obsolescence_date,
            _ => None,
        };
        ListPlace {
            day,
            key: document.key.clone(),
        }
    }
}

/// The end of ` > (number, major, minor)`: behind this document.
fn key_closed(sql: Sql, key: &Key) -> Sql {
    sql.bind(key.number.as_str())
        .push(", ")
        .bind(i64::from(key.version.major))
        .push(", ")
        .bind(i64::from(key.version.minor))
        .push(")")
}

fn ordered(sql: Sql, source: Source) -> Sql {
    let sql = sql.push(" ORDER BY ");
    // PostgreSQL walks along the index by that; SQLite, which knows that it is one name, would sort for it.
    if let Source::Person(part, _) = source
        && sql.is_postgres()
    {
        return part.folded(sql).push(", ").push(source.order());
    }
    sql.push(source.order())
}

/// `column` in the range; where it is open, that there is a day.
fn within(sql: Sql, column: &str, days: Days) -> Sql {
    let mut sql = sql.push(column).push(" IS NOT NULL");
    if let Some(since) = days.since {
        sql = sql
            .push(" AND ")
            .push(column)
            .push(" >= ")
            .bind(since.to_string());
    }
    if let Some(before) = days.before {
        sql = sql
            .push(" AND ")
            .push(column)
            .push(" < ")
            .bind(before.to_string());
    }
    sql
}

impl Store {
    /// A page of documents: by number and version, or by the day of which a range is wanted. It may hold fewer
    /// than were wanted, or none, though there are more.
    pub async fn documents(
        &self,
        filter: &DocumentFilter,
        page: &Page<ListPlace>,
    ) -> Result<PageOf<Document, ListPlace>> {
        let filter = &filter.spelt_as_in(self).await?;
        let limit = i64::try_from(page.size.saturating_add(1)).unwrap_or(i64::MAX);
        let after = page.after.as_ref();
        let mut found: Vec<Document> = Vec::new();
        // Nothing is known of what lies behind the nearest end.
        let mut end: Option<ListPlace> = None;
        for source in filter.sources() {
            let select = filter.select(self.sql(""), source, after, limit);
            found.extend(documents(self.all::<Row>(select).await?)?);
            if !filter.is_sparse_in(source) {
                continue;
            }
            let select = filter.select_end(self.sql(""), source, after);
            if let Some(row) = self.one::<PlaceRow>(select).await? {
                let place = place(row)?;
                end = match end {
                    Some(end) if filter.order_of(&end) <= filter.order_of(&place) => Some(end),
                    _ => Some(place),
                };
            }
        }
        found.sort_by_cached_key(|document| filter.order_of(&filter.place_of(document)));
        // One that has moved between two statements is in both.
        found.dedup_by_key(|document| document.id);
        if let Some(end) = &end {
            let end = filter.order_of(end);
            found.retain(|document| filter.order_of(&filter.place_of(document)) <= end);
        }
        let mut found = PageOf::cut(found, page.size, |document| filter.place_of(document));
        found.next = found.next.or(end);
        Ok(found)
    }

    /// Documents that are neither in force for good nor final, by status; `limit` at most.
    pub async fn documents_under_way(&self, limit: u64) -> Result<Vec<Document>> {
        let filter = DocumentFilter::default();
        let mut found: Vec<Document> = Vec::new();
        for status in UNDER_WAY {
            let left = limit.saturating_sub(found.len() as u64);
            if left == 0 {
                break;
            }
            let left = i64::try_from(left).unwrap_or(i64::MAX);
            let select = filter.select(self.sql(""), Source::Status(*status), None, left);
            found.extend(documents(self.all::<Row>(select).await?)?);
        }
        Ok(found)
    }
}

fn place(row: PlaceRow) -> Result<ListPlace> {
    let day = row.day.map(|day| day.parse()).transpose();
    Ok(ListPlace {
        day: day.map_err(crate::error::Error::internal)?,
        key: key_of(row.number, row.major, row.minor)?,
    })
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
