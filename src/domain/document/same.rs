//! Whether a row says what a document is: then it changes nothing.

use std::{collections::BTreeSet, fmt::Display};

use super::{
    Document, Number,
    row::{Row, shown},
};
use crate::error::Error;

impl Row {
    /// The first column in which it says something else than the document. What has a default, and is left out, is
    /// not said.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming that column.
    pub fn says_what_is(&self, document: &Document) -> Result<(), Error> {
        let plain = [
            ("title", &self.title, &document.title),
            (
                "document_type",
                &self.document_type,
                &document.document_type,
            ),
            ("reviewer", &self.reviewer, &document.reviewer),
            ("approver", &self.approver, &document.approver),
        ];
        for (column, said, is) in plain {
            same(column, said, is)?;
        }
        if self.author_told {
            same("author", &self.author, &document.author)?;
        }
        same("status", self.status.shouted(), document.status.shouted())?;
        let days = [
            (
                "effective_date",
                self.effective_date,
                document.effective_date,
            ),
            (
                "obsolescence_date",
                self.obsolescence_date,
                document.obsolescence_date,
            ),
        ];
        for (column, said, is) in days {
            let text =
                |day: Option<jiff::civil::Date>| day.map(|day| day.to_string()).unwrap_or_default();
            same(column, text(said), text(is))?;
        }
        if let Some(said) = &self.supersedes {
            let is = document.supersedes.as_ref();
            // Without a version it means another with time.
            let matches = is.is_some_and(|is| {
                said.number == is.number && said.version.is_none_or(|said| said == is.version)
            });
            if !matches {
                let is = is.map(ToString::to_string).unwrap_or_default();
                same("supersedes", said.to_string(), is)?;
            }
        }
        self.depends_alike(document)?;
        if let Some(said) = &self.content_sha256 {
            let is = document.content.as_ref();
            same(
                "content_sha256",
                said,
                is.map_or("", |is| is.sha256.as_str()),
            )?;
            if !self.content_file_name.is_empty() {
                let is = is.map_or("", |is| is.file_name.as_str());
                same("content_file_name", &self.content_file_name, is)?;
            }
        }
        Ok(())
    }

    fn depends_alike(&self, document: &Document) -> Result<(), Error> {
        let said: BTreeSet<&Number> = self.depends_on.iter().collect();
        let is: BTreeSet<&Number> = document.depends_on.iter().collect();
        if said == is {
            return Ok(());
        }
        let text = |numbers: BTreeSet<&Number>| {
            let numbers: Vec<&str> = numbers.into_iter().map(Number::as_str).collect();
            numbers.join(";")
        };
        same("depends_on", text(said), text(is))
    }
}

fn same(column: &str, said: impl Display, is: impl Display) -> Result<(), Error> {
    let (said, is) = (said.to_string(), is.to_string());
    if said == is {
        return Ok(());
    }
    let what = format!(
        "{} differs from what the document is, {}; an import changes no document that is there",
        shown(&said),
        shown(&is)
    );
    Err(Error::invalid(column, what))
}
