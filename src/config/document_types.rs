//! Types of documents: `[document_types.NAME]`.

use std::collections::BTreeMap;

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::domain::document::{DocumentTypes, TYPE_MAX};

/// Types that may be named.
const TYPES_MAX: usize = 1000;

/// What is said of a type of documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDocumentType {
    /// Whether documents of this type have a file.
    pub(super) content: bool,
}

impl Default for RawDocumentType {
    fn default() -> Self {
        Self { content: true }
    }
}

/// What is said of types of documents, checked.
pub(super) fn check(types: &BTreeMap<String, RawDocumentType>) -> anyhow::Result<DocumentTypes> {
    if TYPES_MAX < types.len() {
        bail!(
            "document_types: {} given; expected at most {TYPES_MAX}",
            types.len()
        );
    }
    let mut known: BTreeMap<String, &str> = BTreeMap::new();
    for name in types.keys() {
        let length = name.chars().count();
        if name.trim() != name
            || !(1..=TYPE_MAX).contains(&length)
            || name.contains(char::is_control)
        {
            let shown: String = name.chars().take(TYPE_MAX).collect();
            bail!(
                "document_types: {shown:?} is no name of a type; expected 1 to {TYPE_MAX} characters, without control \
                 characters and blanks around it"
            );
        }
        if let Some(other) = known.insert(name.to_ascii_lowercase(), name) {
            bail!(
                "document_types: {other:?} and {name:?} are one type, as case tells none apart; expected one of them"
            );
        }
    }
    let without = types.iter().filter(|(_, about)| !about.content);
    Ok(DocumentTypes::without_content(
        without.map(|(name, _)| name.as_str()),
    ))
}

#[cfg(test)]
mod tests {
    use figment::{
        Figment,
        providers::{Format as _, Serialized, Toml},
    };

    use super::*;
    use crate::config::raw::{self, Raw};

    fn read(text: &str) -> anyhow::Result<DocumentTypes> {
        let figment = Figment::from(Serialized::defaults(Raw::default())).merge(Toml::string(text));
        check(&raw::extract(&figment)?.document_types)
    }

    #[test]
    fn a_type_may_have_no_file() {
        let types = read("[document_types.Form]\ncontent = false\n[document_types.SOP]\n").unwrap();
        assert!(!types.takes_content("form"));
        assert!(types.takes_content("SOP"));
        assert!(read("").unwrap().takes_content("Form"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = format!("[document_types.{}]\n", "x".repeat(101));
        for (text, told) in [
            ("[document_types.Form]\ncontents = false\n", "contents"),
            ("[document_types.Form]\ncontent = \"no\"\n", "content"),
            ("[document_types.\" Form\"]\n", "document_types"),
            ("[document_types.\"\"]\n", "document_types"),
            ("[document_types.\"a\\tb\"]\n", "document_types"),
            (
                "[document_types.Form]\n[document_types.FORM]\n",
                "are one type",
            ),
            (long.as_str(), "document_types"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
