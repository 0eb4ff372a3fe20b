//! What documents are called: a number, and a version of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, all};

const NUMBER_MAX: usize = 64;
const VERSION_MAX: i32 = 99_999;
const COLLECTION: &str = "documents/";

/// A document's number: 1 to 64 of letters, digits, `-`, `_` and `.`, a letter or digit first and last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Number(String);

/// A version of a document, such as 1.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    pub major: i32,
    pub minor: i32,
}

/// A version of a number: what one document is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    pub number: Number,
    pub version: Version,
}

/// A document as it is named from outside; without a version, whichever the context says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub number: Number,
    pub version: Option<Version>,
}

impl Number {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it has in common with every other spelling of it: a number is one whatever its case.
    pub fn folded(&self) -> String {
        folded(&self.0)
    }

    /// Whether two spellings are of one number.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

/// What the spellings of a number have in common. Numbers hold ASCII alone, and of that this folds all: a wider alphabet
/// needs a wider fold, here and in the schema, whose `lower` does the same.
pub fn folded(number: &str) -> String {
    number.to_ascii_lowercase()
}

impl Version {
    pub const FIRST: Self = Self { major: 1, minor: 0 };

    /// # Errors
    /// [`Error::Invalid`] for `version_major` or `version_minor`.
    pub fn new(major: i32, minor: i32) -> Result<Self> {
        let within = |field, value| match (0..=VERSION_MAX).contains(&value) {
            true => Ok(value),
            false => {
                let what = format!("{value} given; expected 0 to {VERSION_MAX}");
                Err(Error::invalid(field, what))
            }
        };
        let (major, minor) = all((
            within("version_major", major),
            within("version_minor", minor),
        ))?;
        Ok(Self { major, minor })
    }
}

impl Key {
    /// `documents/{number}@{major}.{minor}`.
    pub fn resource_name(&self) -> String {
        format!("{COLLECTION}{self}")
    }
}

impl Named {
    /// Reads `documents/{number}` or `documents/{number}@{major}.{minor}`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the field.
    pub fn resource(field: &str, name: &str) -> Result<Self> {
        let Some(rest) = name.strip_prefix(COLLECTION) else {
            let what = format!(
                "{name:?} given; expected documents/NUMBER@MAJOR.MINOR, such as documents/SOP-2026-0001@1.0"
            );
            return Err(Error::invalid(field, what));
        };
        Self::read(field, rest)
    }

    /// Reads `{number}` or `{number}@{major}.{minor}`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the field.
    pub fn read(field: &str, text: &str) -> Result<Self> {
        let about = |error: Error| error.of_field(field);
        let (number, version) = match text.split_once('@') {
            Some((number, version)) => (number, Some(version.parse().map_err(about)?)),
            None => (text, None),
        };
        let number = number.parse().map_err(about)?;
        Ok(Self { number, version })
    }
}

impl FromStr for Number {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes = text.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        let ends_plain = ends
            .iter()
            .all(|byte| byte.is_some_and(u8::is_ascii_alphanumeric));
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        if ends_plain && bytes.len() <= NUMBER_MAX && bytes.iter().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        // What is shown is cut: a field of a file may hold anything.
        let shown: String = text.chars().take(NUMBER_MAX).collect();
        Err(Error::invalid(
            "number",
            format!(
                "{shown:?} is no document number{}; expected 1 to {NUMBER_MAX} of letters, digits, -, _ and ., \
                 with a letter or digit first and last, such as SOP-2026-0001",
                stranger(text)
            ),
        ))
    }
}

/// Of what is in no number, the first letter, where people may not see what is wrong with it.
fn stranger(text: &str) -> String {
    const LOOKS: &str = "АAВBЕEКKМMНHОOРPСCТTУYХXаaеeоoрpсcуyхxΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧX";
    let mut letters = (1..).zip(text.chars().take(NUMBER_MAX));
    let Some((place, letter)) = letters.find(|(_, letter)| !letter.is_ascii()) else {
        return String::new();
    };
    let mut looks = LOOKS.chars();
    let alike = loop {
        let (Some(strange), Some(alike)) = (looks.next(), looks.next()) else {
            break None;
        };
        if strange == letter {
            break Some(alike);
        }
    };
    let code = u32::from(letter);
    match alike {
        Some(alike) => {
            format!(": its character {place} only looks like {alike}, and is U+{code:04X}")
        }
        None => format!(": its character {place} is U+{code:04X}"),
    }
}

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            let shown: String = text.chars().take(NUMBER_MAX).collect();
            let what = format!("{shown:?} is no version; expected MAJOR.MINOR, such as 1.0");
            Error::invalid("version", what)
        };
        let (major, minor) = text.split_once('.').ok_or_else(wrong)?;
        let read = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let number = text.parse::<i32>().ok().filter(|_| digits);
            // As it is written back, so that there is one way to say it.
            number.filter(|number| number.to_string() == text && *number <= VERSION_MAX)
        };
        match (read(major), read(minor)) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.number, self.version)
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.number),
            None => self.number.fmt(f),
        }
    }
}

macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )+};
}

as_text!(Number, Version);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_and_without_a_version() {
        let named = Named::resource("name", "documents/SOP-1@2.10").unwrap();
        assert_eq!(
            named.version,
            Some(Version {
                major: 2,
                minor: 10
            })
        );
        assert_eq!(named.to_string(), "SOP-1@2.10");
        assert_eq!(Named::read("x", "SOP-1").unwrap().version, None);
        assert!(
            Version {
                major: 2,
                minor: 10
            } > Version { major: 2, minor: 9 }
        );
    }

    #[test]
    fn a_number_is_one_whatever_its_case() {
        let number = |text: &str| text.parse::<Number>().unwrap();
        assert!(number("SOP-a.1").is_same(&number("sop-A.1")));
        assert!(!number("SOP-1").is_same(&number("SOP_1")));
        assert_eq!(number("SOP-a.1").folded(), "sop-a.1");
        // Nothing beyond ASCII is in a number, so that both databases fold as we do.
        for wider in ["ſOP-1", "\u{212a}-1", "straße", "İ-1", "É-1"] {
            assert!(wider.parse::<Number>().is_err(), "{wider}");
        }
    }

    #[test]
    fn a_letter_that_looks_like_another_is_named() {
        for (text, told) in [
            (
                "\u{412}-500",
                "character 1 only looks like B, and is U+0412",
            ),
            ("SOP-\u{c9}", "character 5 is U+00C9"),
        ] {
            let error = text.parse::<Number>().unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        let error = "SOP 1".parse::<Number>().unwrap_err().to_string();
        assert!(!error.contains("U+"), "{error}");
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_field() {
        for wrong in [
            "SOP-1",
            "documents/",
            "documents/-SOP",
            "documents/SOP 1",
            "documents/SOP@1",
            "documents/SOP@1.0.0",
            "documents/SOP@01.0",
            "documents/SOP@+1.0",
            "documents/SOP@1.100000",
            "documents/../x",
            "documents/ÄB",
        ] {
            let error = Named::resource("name", wrong).unwrap_err();
            assert!(error.to_string().starts_with("invalid name: "), "{error}");
        }
        assert!("x".repeat(65).parse::<Number>().is_err());
    }
}
