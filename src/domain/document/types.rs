//! What the configuration says of types of documents.

use std::collections::BTreeSet;

/// Which types of documents have no content. Case of the letters a to z tells no types apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentTypes {
    without_content: BTreeSet<String>,
}

impl DocumentTypes {
    /// Types of which these have no content.
    pub fn without_content<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            without_content: names.into_iter().map(str::to_ascii_lowercase).collect(),
        }
    }

    /// Whether documents of this type have a content.
    pub fn takes_content(&self, document_type: &str) -> bool {
        !self
            .without_content
            .contains(&document_type.to_ascii_lowercase())
    }

    /// Types that have none, in small letters as far as those are a to z.
    pub fn bare(&self) -> impl Iterator<Item = &str> {
        self.without_content.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_whatever_its_case() {
        let types = DocumentTypes::without_content(["Form", "Überblick"]);
        assert!(!types.takes_content("FORM"));
        assert!(!types.takes_content("Überblick"));
        assert!(types.takes_content("SOP"));
        assert!(types.takes_content(""));
        assert!(DocumentTypes::default().takes_content("Form"));
    }
}
