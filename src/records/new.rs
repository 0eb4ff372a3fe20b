//! Documents to be: what they are made of, and which version is next.

use jiff::Timestamp;

use crate::{
    domain::{
        Document, DocumentId,
        document::{DocumentStatus, Key, Number, Version, key::Named},
    },
    error::Result,
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
