//! What is corrected of a DRAFT.

use super::{Document, Number, TITLE_MAX, TYPE_MAX, line, person};
use crate::error::{Result, all};

/// What a draft is to be; what is not named stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Correction {
    pub title: Option<String>,
    pub document_type: Option<String>,
    pub author: Option<String>,
    /// Empty: nobody yet.
    pub reviewer: Option<String>,
    /// Empty: nobody yet.
    pub approver: Option<String>,
    pub depends_on: Option<Vec<Number>>,
}

impl Correction {
    /// The same with its texts as they are kept.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::error::Error::Invalid) or [`Error::Several`](crate::error::Error::Several), naming the
    /// fields.
    pub fn checked(&self) -> Result<Self> {
        let text = |field: &str, given: &Option<String>, least: usize, most: usize| {
            let given = given.as_deref();
            given
                .map(|given| line(field, given, least, most))
                .transpose()
        };
        let optional = |field: &str, given: &Option<String>| match given.as_deref().map(str::trim) {
            None => Ok(None),
            Some("") => Ok(Some(String::new())),
            Some(name) => person(field, name).map(Some),
        };
        let author = self.author.as_deref();
        let author = author.map(|name| person("document.author", name));
        let (title, document_type, author, reviewer, approver) = all((
            text("document.title", &self.title, 1, TITLE_MAX),
            text("document.document_type", &self.document_type, 0, TYPE_MAX),
            author.transpose(),
            optional("document.reviewer", &self.reviewer),
            optional("document.approver", &self.approver),
        ))?;
        Ok(Self {
            title,
            document_type,
            author,
            reviewer,
            approver,
            depends_on: self.depends_on.clone(),
        })
    }

    /// Makes a document what it is to be.
    pub(super) fn correct(self, document: &mut Document) {
        let texts = [
            (self.title, &mut document.title),
            (self.document_type, &mut document.document_type),
            (self.author, &mut document.author),
            (self.reviewer, &mut document.reviewer),
            (self.approver, &mut document.approver),
        ];
        for (given, field) in texts {
            if let Some(given) = given {
                *field = given;
            }
        }
        if let Some(depends_on) = self.depends_on {
            document.depends_on = depends_on;
        }
    }
}

/// What differs, from what it was to what it is; nothing where the two are alike but for their course.
pub fn differences(before: &Document, after: &Document) -> Vec<String> {
    let texts = [
        ("title", &before.title, &after.title),
        ("type", &before.document_type, &after.document_type),
        ("author", &before.author, &after.author),
        ("reviewer", &before.reviewer, &after.reviewer),
        ("approver", &before.approver, &after.approver),
    ];
    let mut differences: Vec<String> = texts
        .into_iter()
        .filter(|(_, was, is)| was != is)
        .map(|(what, was, is)| told(what, was, is))
        .collect();
    if before.depends_on != after.depends_on {
        let text = |numbers: &[Number]| {
            let numbers: Vec<&str> = numbers.iter().map(Number::as_str).collect();
            numbers.join(" ")
        };
        let (was, is) = (text(&before.depends_on), text(&after.depends_on));
        differences.push(told("depends on", &was, &is));
    }
    differences
}

fn told(what: &str, was: &str, is: &str) -> String {
    let shown = |text: &str| match text {
        "" => "nothing".to_owned(),
        text => format!("\"{text}\""),
    };
    format!("{what}: {} → {}", shown(was), shown(is))
}
