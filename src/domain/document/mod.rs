//! Documents: what they are called, where they may stand, and the one table of how they move.
//!
//! [`table`] is that table; [`act`] is the one function by which anything moves. [`row`] is how a register says it.

pub mod act;
pub mod bend;
pub mod cell;
pub mod correction;
pub mod days;
pub mod draw;
mod guards;
pub mod key;
pub mod row;
pub mod rules;
mod said;
mod same;
pub mod table;
mod types;
pub mod written;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};

pub use self::{
    act::{Act, Facts},
    correction::Correction,
    days::day,
    key::{Key, Number, Version},
    table::{Role, Verb},
    types::DocumentTypes,
};
use super::{id::DocumentId, text::text_enum};
use crate::error::{Error, Result};

/// Longest title, type, name of a person and remark, in characters.
pub const TITLE_MAX: usize = 500;
pub const TYPE_MAX: usize = 100;
pub const PERSON_MAX: usize = 128;
pub const REMARK_MAX: usize = 1000;
/// Documents on which one may depend.
pub const DEPENDS_MAX: usize = 100;

text_enum! {
    /// Where a document stands.
    DocumentStatus {
        Draft = "draft",
        PendingReview = "pending_review",
        UnderReview = "under_review",
        Reviewed = "reviewed",
        PendingApproval = "pending_approval",
        UnderApproval = "under_approval",
        ApprovedPendingEffective = "approved_pending_effective",
        Effective = "effective",
        ScheduledForObsolescence = "scheduled_for_obsolescence",
        Superseded = "superseded",
        Obsolete = "obsolete",
        Terminated = "terminated",
    }
}

impl DocumentStatus {
    /// Whether nothing leads out of it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Superseded | Self::Obsolete | Self::Terminated)
    }

    /// Whether people are to follow the document. Of each number, one version is at most.
    pub fn is_in_force(self) -> bool {
        matches!(self, Self::Effective | Self::ScheduledForObsolescence)
    }

    /// As the API and people write it: `APPROVED_PENDING_EFFECTIVE`.
    pub fn shouted(self) -> String {
        self.as_str().to_ascii_uppercase()
    }
}

/// What is in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// SHA-256, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// In bytes.
    pub size: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file_name: String,
}

/// One version of a document. As JSON it is what events carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    pub id: DocumentId,
    #[serde(flatten)]
    pub key: Key,
    pub title: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub document_type: String,
    pub status: DocumentStatus,
    pub author: String,
    /// Empty until one is named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reviewer: String,
    /// Empty until one is named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub approver: String,
    /// As approved; what happened never changes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_date: Option<Date>,
    /// When it really became effective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obsolescence_date: Option<Date>,
    /// When it really became obsolete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Key>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Why the effective date was past already when it was approved; empty unless it was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backdated_reason: String,
    /// What it supersedes by name without taking its place, and where that stands; empty where it takes it, or is not
    /// approved.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub supersedes_nothing: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When it came into its status here.
    pub status_at: Timestamp,
    /// Counts its changes, from 1.
    pub revision: i64,
}

/// Something that happened to a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The document's revision after it.
    pub revision: i64,
    pub at: Timestamp,
    pub verb: Verb,
    /// None at the beginning.
    pub from: Option<DocumentStatus>,
    pub to: DocumentStatus,
    pub actor: String,
    /// Whose token the call bore; empty for what a run did.
    pub principal: String,
    pub comment: String,
    /// The run that did it, by its resource name; empty for what people did.
    pub run: String,
}

/// How many documents stand where someone should know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DocumentFigures {
    /// Approved, and their day is still to come or to be processed.
    pub pending_effective: i64,
    pub scheduled_obsolescence: i64,
    /// Past their day for longer than two periods of the task that should have moved them.
    pub overdue: i64,
    /// Became effective since the organisation's day began.
    pub activated_today: i64,
    /// In force without content, but for those whose type has none.
    pub without_content: i64,
    /// The organisation's day.
    pub today: Option<Date>,
}

impl Document {
    /// `documents/{number}@{major}.{minor}`.
    pub fn resource_name(&self) -> String {
        self.key.resource_name()
    }

    /// Changes with each change of the document, and differs from that of any other.
    pub fn etag(&self) -> String {
        format!("{}-{}", self.id.0.simple(), self.revision)
    }
}

/// The organisation's day at an instant.
pub fn day_of(zone: &TimeZone, at: Timestamp) -> Date {
    zone.to_datetime(at).date()
}

/// When a day begins there: its first instant, also where midnight is skipped.
pub fn day_begins(zone: &TimeZone, day: Date) -> Timestamp {
    match day.to_zoned(zone.clone()) {
        Ok(midnight) => midnight.timestamp(),
        // Beyond the last instant that there is.
        Err(_) => Timestamp::MAX,
    }
}

/// Text of people, within bounds.
///
/// # Errors
/// [`Error::Invalid`] for the field.
pub fn line(field: &str, text: &str, least: usize, most: usize) -> Result<String> {
    let text = text.trim();
    let length = text.chars().count();
    if length < least {
        return Err(Error::invalid(
            field,
            format!("expected {least} to {most} characters, and it is empty"),
        ));
    }
    if most < length {
        return Err(Error::invalid(
            field,
            format!("{length} characters; expected at most {most}"),
        ));
    }
    if text.contains(char::is_control) {
        return Err(Error::invalid(
            field,
            "it holds a line break or another control character",
        ));
    }
    Ok(text.to_owned())
}

/// A name of a person.
///
/// # Errors
/// [`Error::Invalid`] for the field.
pub fn person(field: &str, text: &str) -> Result<String> {
    line(field, text, 1, PERSON_MAX)
}

/// Whether two names are of one person: case does not tell people apart.
pub fn same_person(one: &str, other: &str) -> bool {
    one == other || one.to_lowercase() == other.to_lowercase()
}

/// What one must be: SHA-256, 64 lower-case hexadecimal digits.
///
/// # Errors
/// [`Error::Invalid`] for the field.
pub fn sha256(field: &str, text: &str) -> Result<String> {
    let text = text.trim().to_ascii_lowercase();
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text);
    }
    Err(Error::invalid(
        field,
        "expected a SHA-256 of 64 hexadecimal digits",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_when_its_zone_says() {
        let begins = |zone: &str, day: &str| {
            let zone = TimeZone::get(zone).unwrap();
            day_begins(&zone, day.parse().unwrap()).to_string()
        };
        assert_eq!(
            begins("Asia/Singapore", "2026-03-01"),
            "2026-02-28T16:00:00Z"
        );
        // Midnight was skipped in Beirut that year.
        assert_eq!(begins("Asia/Beirut", "2022-03-27"), "2022-03-26T22:00:00Z");
        let zone = TimeZone::get("America/New_York").unwrap();
        let at: Timestamp = "2026-03-02T04:59:59Z".parse().unwrap();
        assert_eq!(day_of(&zone, at).to_string(), "2026-03-01");
    }
}
