//! A document as a row of a register: all of it text, as a spreadsheet holds it.

use jiff::civil::Date;
use sha2::{Digest as _, Sha256};

use super::{
    Document, DocumentStatus, Key, Number, TITLE_MAX, TYPE_MAX, Version,
    cell::{date, depends_on, file_name, shown, status, supersedes},
    key::Named,
    line, person,
    rules::separated,
    sha256,
    written::DayForm,
};
use crate::error::{Error, Result};

/// Columns of a row, in the order of [`RawRow::fields`].
pub const COLUMNS: [&str; 15] = [
    "number",
    "title",
    "document_type",
    "version_major",
    "version_minor",
    "status",
    "author",
    "reviewer",
    "approver",
    "effective_date",
    "obsolescence_date",
    "supersedes",
    "depends_on",
    "content_sha256",
    "content_file_name",
];

/// No field takes so many bytes within its own bound.
pub(super) const FIELD_BYTES_MAX: usize = 8 << 10;

/// A row as it was given; empty is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawRow {
    /// The line on which it begins; 0 in an export.
    pub line: i64,
    pub number: String,
    pub title: String,
    pub document_type: String,
    pub version_major: String,
    pub version_minor: String,
    pub status: String,
    pub author: String,
    pub reviewer: String,
    pub approver: String,
    pub effective_date: String,
    pub obsolescence_date: String,
    pub supersedes: String,
    pub depends_on: String,
    pub content_sha256: String,
    pub content_file_name: String,
}

/// What rows are read with.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Who brings them in, and the author of those that name none.
    pub actor: String,
    /// The organisation's.
    pub today: Date,
    /// How days are written, beside `2026-03-01`.
    pub day_form: Option<DayForm>,
}

/// A row that is sound by itself. What it refers to is yet to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub line: i64,
    pub key: Key,
    pub title: String,
    pub document_type: String,
    pub status: DocumentStatus,
    pub author: String,
    /// Whether the row names the author.
    pub author_told: bool,
    pub reviewer: String,
    pub approver: String,
    pub effective_date: Option<Date>,
    pub obsolescence_date: Option<Date>,
    /// None: the newest lower version of the same number.
    pub supersedes: Option<Named>,
    pub depends_on: Vec<Number>,
    pub content_sha256: Option<String>,
    pub content_file_name: String,
    /// Tells this line from another of the same document. `today` is the same on every day.
    pub fingerprint: String,
}

impl RawRow {
    /// A document as a row. Read again, it says what the document is.
    pub fn of(document: &Document) -> Self {
        let text = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
        let content = document.content.as_ref();
        let depends_on: Vec<&str> = document.depends_on.iter().map(Number::as_str).collect();
        Self {
            line: 0,
            number: document.key.number.to_string(),
            title: document.title.clone(),
            document_type: document.document_type.clone(),
            version_major: document.key.version.major.to_string(),
            version_minor: document.key.version.minor.to_string(),
            status: document.status.shouted(),
            author: document.author.clone(),
            reviewer: document.reviewer.clone(),
            approver: document.approver.clone(),
            effective_date: text(document.effective_date),
            obsolescence_date: text(document.obsolescence_date),
            supersedes: document
                .supersedes
                .as_ref()
                .map(Key::to_string)
                .unwrap_or_default(),
            depends_on: depends_on.join(";"),
            content_sha256: content
                .map(|content| content.sha256.clone())
                .unwrap_or_default(),
            content_file_name: content
                .map(|content| content.file_name.clone())
                .unwrap_or_default(),
        }
    }

    pub fn fields(&self) -> [&str; COLUMNS.len()] {
        [
            &self.number,
            &self.title,
            &self.document_type,
            &self.version_major,
            &self.version_minor,
            &self.status,
            &self.author,
            &self.reviewer,
            &self.approver,
            &self.effective_date,
            &self.obsolescence_date,
            &self.supersedes,
            &self.depends_on,
            &self.content_sha256,
            &self.content_file_name,
        ]
    }

    pub fn fields_mut(&mut self) -> [&mut String; COLUMNS.len()] {
        [
            &mut self.number,
            &mut self.title,
            &mut self.document_type,
            &mut self.version_major,
            &mut self.version_minor,
            &mut self.status,
            &mut self.author,
            &mut self.reviewer,
            &mut self.approver,
            &mut self.effective_date,
            &mut self.obsolescence_date,
            &mut self.supersedes,
            &mut self.depends_on,
            &mut self.content_sha256,
            &mut self.content_file_name,
        ]
    }

    /// Which document it is about.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the column.
    pub fn key(&self) -> Result<Key> {
        if self.number.is_empty() {
            return Err(Error::invalid("number", "it is empty; every row needs one"));
        }
        let part = |field: &str, text: &str, default: i32| match text {
            "" => Ok(default),
            text => {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse().ok().filter(|_| digits && text.len() <= 9);
                number.ok_or_else(|| {
                    let what = format!("{} is no number from 0 to 99999", shown(text));
                    Error::invalid(field, what)
                })
            }
        };
        let number = self.number.parse()?;
        let major = part("version_major", &self.version_major, Version::FIRST.major)?;
        let minor = part("version_minor", &self.version_minor, Version::FIRST.minor)?;
        Ok(Key {
            number,
            version: Version::new(major, minor)?,
        })
    }

    /// Reads a row that is bent.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the column, with a reason that never holds a long field in full.
    pub fn read(&self, key: Key, reading: &Reading) -> Result<Row> {
        for (column, field) in COLUMNS.into_iter().zip(self.fields()) {
            if FIELD_BYTES_MAX < field.len() {
                let what = format!("{} bytes, more than any field may hold", field.len());
                return Err(Error::invalid(column, what));
            }
            if field.contains(char::is_control) {
                let what = "it holds a line break or another control character";
                return Err(Error::invalid(column, what));
            }
        }
        let optional = |field: &str, name: &str| match name {
            "" => Ok(String::new()),
            name => person(field, name),
        };
        let day =
            |field: &str, text: &str| date(field, text, reading.today, reading.day_form.as_ref());
        let mut row = Row {
            line: self.line,
            title: line("title", &self.title, 1, TITLE_MAX)?,
            document_type: line("document_type", &self.document_type, 0, TYPE_MAX)?,
            status: status(&self.status)?,
            author: optional("author", &self.author)?,
            author_told: !self.author.is_empty(),
            reviewer: optional("reviewer", &self.reviewer)?,
            approver: optional("approver", &self.approver)?,
            effective_date: day("effective_date", &self.effective_date)?,
            obsolescence_date: day("obsolescence_date", &self.obsolescence_date)?,
            supersedes: supersedes(&self.supersedes)?,
            depends_on: depends_on(&key.number, &self.depends_on)?,
            content_sha256: None,
            content_file_name: file_name(&self.content_file_name)?,
            fingerprint: String::new(),
            key,
        };
        if !row.author_told {
            row.author.clone_from(&reading.actor);
        }
        if !self.content_sha256.is_empty() {
            row.content_sha256 = Some(sha256("content_sha256", &self.content_sha256)?);
        } else if !row.content_file_name.is_empty() {
            let what = "a file's name without the content_sha256 of what is in it";
            return Err(Error::invalid("content_file_name", what));
        }
        separated(&row.author, &row.reviewer, &row.approver)?;
        row.has_what_its_status_takes()?;
        row.fingerprint = self.fingerprint(&row);
        Ok(row)
    }

    /// Of what was written, but for the ways in which the same can be written.
    fn fingerprint(&self, row: &Row) -> String {
        let version = row.key.version.to_string();
        let day = |text: &str| text.to_ascii_lowercase().replace(' ', "");
        let (effective, obsolete) = (day(&self.effective_date), day(&self.obsolescence_date));
        let depends_on: Vec<&str> = row.depends_on.iter().map(Number::as_str).collect();
        let depends_on = depends_on.join(";");
        let author = if row.author_told { &row.author } else { "" };
        let mut hash = Sha256::new();
        for field in [
            row.key.number.as_str(),
            &version,
            &row.title,
            &row.document_type,
            row.status.as_str(),
            author,
            &row.reviewer,
            &row.approver,
            &effective,
            &obsolete,
            &self.supersedes,
            &depends_on,
            row.content_sha256.as_deref().unwrap_or_default(),
            &row.content_file_name,
        ] {
            hash.update(field.len().to_le_bytes());
            hash.update(field);
        }
        // Half of it tells lines apart well enough, and takes half the room in each row.
        let hash = hash.finalize();
        hash[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl Row {
    fn has_what_its_status_takes(&self) -> Result<()> {
        use DocumentStatus::*;
        let needs = |field: &str, lacks: bool| {
            if lacks {
                let what = format!("it is empty, and {} needs one", self.status.shouted());
                return Err(Error::invalid(field, what));
            }
            Ok(())
        };
        match self.status {
            PendingReview | UnderReview => needs("reviewer", self.reviewer.is_empty()),
            PendingApproval | UnderApproval => needs("approver", self.approver.is_empty()),
            ApprovedPendingEffective => needs("effective_date", self.effective_date.is_none()),
            ScheduledForObsolescence => {
                needs("obsolescence_date", self.obsolescence_date.is_none())
            }
            Draft | Reviewed | Effective | Superseded | Obsolete | Terminated => Ok(()),
        }
    }

    /// That its dates go with each other, with its status and with today. Apart from the rest of the reading: of
    /// a line that was imported before, only what has become of it since counts.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the column.
    pub fn dates_fit(&self, today: Date) -> Result<()> {
        use DocumentStatus::*;
        if let (Some(effective), Some(obsolete)) = (self.effective_date, self.obsolescence_date)
            && obsolete < effective
        {
            let what = format!("{obsolete} is before the effective date, {effective}");
            return Err(Error::invalid("obsolescence_date", what));
        }
        let was_effective = matches!(
            self.status,
            Effective | ScheduledForObsolescence | Superseded | Obsolete
        );
        if let Some(day) = self.effective_date.filter(|day| today < *day)
            && was_effective
        {
            let what = format!(
                "{day} is still to come, today being {today}, and the status is {} already; expected \
                 APPROVED_PENDING_EFFECTIVE, or a day that has come",
                self.status.shouted()
            );
            return Err(Error::invalid("effective_date", what));
        }
        if let Some(day) = self.obsolescence_date.filter(|day| today < *day)
            && self.status == Obsolete
        {
            let what = format!(
                "{day} is still to come, today being {today}, and the status is OBSOLETE already; expected \
                 SCHEDULED_FOR_OBSOLESCENCE, or a day that has come"
            );
            return Err(Error::invalid("obsolescence_date", what));
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
