//! Between rows of `documents` and documents.

use sea_orm::{FromQueryResult, Value};

use super::super::{
    convert,
    convert::{instant, instant_of, micros, micros_of},
    rows::{Column, Type, column},
};
use crate::{
    domain::{
        Document, DocumentId,
        document::{Content, DocumentStatus, HistoryEntry, Key, Verb, Version, key::Named},
    },
    error::{Error, Result},
};

/// Every column but what an import keeps to itself.
pub(in crate::store) const ALL: &str = "id, number, major, minor, title, document_type, status, author, reviewer, approver, \
     effective_date, activated_at, obsolescence_date, retired_at, supersedes, depends_on, content_sha256, \
     content_size, content_name, created_at, updated_at, status_at, revision, backdated_reason, \
     supersedes_nothing";

/// What is in force: word for word as the index says it.
pub(in crate::store) const IN_FORCE: &str =
    "(status = 'effective' OR status = 'scheduled_for_obsolescence')";

pub(in crate::store) const COLUMNS: &[Column] = &[
    column("id", Type::Uuid),
    column("number", Type::Text),
    column("major", Type::Big),
    column("minor", Type::Big),
    column("title", Type::Text),
    column("document_type", Type::Text),
    column("status", Type::Text),
    column("author", Type::Text),
    column("reviewer", Type::Text),
    column("approver", Type::Text),
    column("effective_date", Type::Text).or_null(),
    column("activated_at", Type::Big).or_null(),
    column("obsolescence_date", Type::Text).or_null(),
    column("retired_at", Type::Big).or_null(),
    column("supersedes", Type::Text).or_null(),
    column("depends_on", Type::Text),
    column("content_sha256", Type::Text).or_null(),
    column("content_size", Type::Big).or_null(),
    column("content_name", Type::Text).or_null(),
    column("import_hash", Type::Text).or_null(),
    column("created_at", Type::Big),
    column("updated_at", Type::Big),
    column("status_at", Type::Big),
    column("revision", Type::Big),
    column("backdated_reason", Type::Text).or_null(),
    column("supersedes_nothing", Type::Text).or_null(),
];

/// What a document is called, and where it is.
#[derive(Clone, Debug)]
pub struct Known {
    pub id: DocumentId,
    pub key: Key,
}

#[derive(FromQueryResult)]
pub(in crate::store) struct Row {
    id: uuid::Uuid,
    number: String,
    major: i64,
    minor: i64,
    title: String,
    document_type: String,
    status: String,
    author: String,
    reviewer: String,
    approver: String,
    effective_date: Option<String>,
    activated_at: Option<i64>,
    obsolescence_date: Option<String>,
    retired_at: Option<i64>,
    supersedes: Option<String>,
    depends_on: String,
    content_sha256: Option<String>,
    content_size: Option<i64>,
    content_name: Option<String>,
    created_at: i64,
    updated_at: i64,
    status_at: i64,
    revision: i64,
    backdated_reason: Option<String>,
    supersedes_nothing: Option<String>,
}

#[derive(FromQueryResult)]
pub(in crate::store) struct KnownRow {
    id: uuid::Uuid,
    number: String,
    major: i64,
    minor: i64,
}

#[derive(FromQueryResult)]
pub(in crate::store) struct HistoryRow {
    revision: i64,
    at: i64,
    verb: String,
    from_status: Option<String>,
    to_status: String,
    actor: String,
    principal: String,
    comment: String,
    run: String,
}

pub(in crate::store) fn documents(rows: Vec<Row>) -> Result<Vec<Document>> {
    rows.into_iter().map(Document::try_from).collect()
}

pub(in crate::store) fn key_of(number: String, major: i64, minor: i64) -> Result<Key> {
    let small = |number: i64| i32::try_from(number).map_err(Error::internal);
    Ok(Key {
        number: number.parse()?,
        version: Version {
            major: small(major)?,
            minor: small(minor)?,
        },
    })
}

pub(in crate::store) fn row_of(
    document: &Document,
    import_hash: Option<String>,
) -> Result<Vec<Value>> {
    let content = document.content.as_ref();
    let day = |day: Option<jiff::civil::Date>| day.map(|day| day.to_string());
    Ok(vec![
        document.id.0.into(),
        document.key.number.as_str().into(),
        i64::from(document.key.version.major).into(),
        i64::from(document.key.version.minor).into(),
        document.title.clone().into(),
        document.document_type.clone().into(),
        document.status.as_str().into(),
        document.author.clone().into(),
        document.reviewer.clone().into(),
        document.approver.clone().into(),
        day(document.effective_date).into(),
        micros_of(document.activated_at).into(),
        day(document.obsolescence_date).into(),
        micros_of(document.retired_at).into(),
        document.supersedes.as_ref().map(Key::to_string).into(),
        convert::json(&document.depends_on)?.into(),
        content.map(|content| content.sha256.clone()).into(),
        content.map(|content| content.size).into(),
        content.map(|content| content.file_name.clone()).into(),
        import_hash.into(),
        micros(document.created_at).into(),
        micros(document.updated_at).into(),
        micros(document.status_at).into(),
        document.revision.into(),
        told(&document.backdated_reason).into(),
        told(&document.supersedes_nothing).into(),
    ])
}

/// What is said in few rows, and left out of all others.
fn told(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(in crate::store) fn status_of(text: &str) -> Result<DocumentStatus> {
    convert::word("document status", text, DocumentStatus::parse(text))
}

impl TryFrom<KnownRow> for Known {
    type Error = Error;

    fn try_from(row: KnownRow) -> Result<Self> {
        Ok(Self {
            id: DocumentId(row.id),
            key: key_of(row.number, row.major, row.minor)?,
        })
    }
}

impl TryFrom<Row> for Document {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let day = |text: Option<String>| text.map(|text| text.parse()).transpose();
        let supersedes = row.supersedes.as_deref().map(|text| {
            let named = Named::read("supersedes", text)?;
            let version = named
                .version
                .ok_or_else(|| Error::internal("a key without a version"))?;
            Ok::<_, Error>(Key {
                number: named.number,
                version,
            })
        });
        Ok(Self {
            id: DocumentId(row.id),
            key: key_of(row.number, row.major, row.minor)?,
            title: row.title,
            document_type: row.document_type,
            status: status_of(&row.status)?,
            author: row.author,
            reviewer: row.reviewer,
            approver: row.approver,
            effective_date: day(row.effective_date).map_err(Error::internal)?,
            activated_at: instant_of(row.activated_at)?,
            obsolescence_date: day(row.obsolescence_date).map_err(Error::internal)?,
            retired_at: instant_of(row.retired_at)?,
            supersedes: supersedes.transpose()?,
            depends_on: convert::read(&row.depends_on)?,
            content: row.content_sha256.map(|sha256| Content {
                sha256,
                size: row.content_size.unwrap_or(0),
                file_name: row.content_name.unwrap_or_default(),
            }),
            backdated_reason: row.backdated_reason.unwrap_or_default(),
            supersedes_nothing: row.supersedes_nothing.unwrap_or_default(),
            created_at: instant(row.created_at)?,
            updated_at: instant(row.updated_at)?,
            status_at: instant(row.status_at)?,
            revision: row.revision,
        })
    }
}

impl TryFrom<HistoryRow> for HistoryEntry {
    type Error = Error;

    fn try_from(row: HistoryRow) -> Result<Self> {
        Ok(Self {
            revision: row.revision,
            at: instant(row.at)?,
            verb: convert::word("verb", &row.verb, Verb::parse(&row.verb))?,
            from: row.from_status.as_deref().map(status_of).transpose()?,
            to: status_of(&row.to_status)?,
            actor: row.actor,
            principal: row.principal,
            comment: row.comment,
            run: row.run,
        })
    }
}
