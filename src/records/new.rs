//! Documents to be: what they are made of, and which version is next.

use jiff::Timestamp;

use crate::{
    domain::{
        Document, DocumentId,
        document::{
            DocumentStatus, Key, Number, TITLE_MAX, TYPE_MAX, Version, key::Named, line, person,
            rules::separated,
        },
    },
    error::{Result, all},
};

/// A document to be.
#[derive(Clone, Debug)]
pub struct NewDocument {
    pub key: Key,
    pub title: String,
    pub document_type: String,
    pub reviewer: String,
    pub approver: String,
    /// None: the newest lower version of the same number.
    pub supersedes: Option<Named>,
    pub depends_on: Vec<Number>,
}

/// Which version is to be next, and what it is called.
#[derive(Clone, Debug)]
pub struct NextVersion {
    pub major: bool,
    /// Empty: as the version before.
    pub title: String,
    pub reason: String,
}

/// Texts of a document to be, that were checked each by itself and as to its people.
#[derive(Clone, Debug)]
pub struct Texts {
    pub(super) author: String,
    pub(super) title: String,
    pub(super) document_type: String,
    pub(super) reviewer: String,
    pub(super) approver: String,
}

impl Texts {
    /// Reads what a request for a new document says, and who sends it.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::error::Error::Invalid) or [`Error::Several`](crate::error::Error::Several), naming the fields.
    pub fn read(
        actor: &str,
        title: &str,
        document_type: &str,
        reviewer: &str,
        approver: &str,
    ) -> Result<Self> {
        let optional = |field: &str, name: &str| match name.trim() {
            "" => Ok(String::new()),
            name => person(field, name),
        };
        let (author, title, document_type, reviewer, approver) = all((
            person("actor", actor),
            line("document.title", title, 1, TITLE_MAX),
            line("document.document_type", document_type, 0, TYPE_MAX),
            optional("document.reviewer", reviewer),
            optional("document.approver", approver),
        ))?;
        // Each by itself, and then against each other.
        all((
            separated(&author, &reviewer, ""),
            separated(&author, "", &approver),
            separated(&author, &reviewer, &approver),
        ))
        .map_err(|error| error.below("document"))?;
        Ok(Self {
            author,
            title,
            document_type,
            reviewer,
            approver,
        })
    }
}

/// As it begins.
pub(super) fn draft(key: Key, author: String, now: Timestamp) -> Document {
    Document {
        id: DocumentId::new(),
        key,
        title: String::new(),
        document_type: String::new(),
        status: DocumentStatus::Draft,
        author,
        reviewer: String::new(),
        approver: String::new(),
        effective_date: None,
        activated_at: None,
        obsolescence_date: None,
        retired_at: None,
        supersedes: None,
        depends_on: Vec::new(),
        content: None,
        backdated_reason: String::new(),
        supersedes_nothing: String::new(),
        created_at: now,
        updated_at: now,
        status_at: now,
        revision: 1,
    }
}

/// The next version, minor or major, beyond those that were given up.
pub(super) fn version_after(
    base: Version,
    taken: impl Iterator<Item = Version>,
    major: bool,
) -> Result<Version> {
    let newest = taken.filter(|version| base <= *version);
    if major {
        let newest = newest.map(|version| version.major).max();
        return Version::new(newest.unwrap_or(base.major) + 1, 0);
    }
    let newest = newest
        .filter(|version| version.major == base.major)
        .map(|version| version.minor)
        .max();
    Version::new(base.major, newest.unwrap_or(base.minor) + 1)
}
