//! How a CSV file is written: what separates its columns, where its header is, and which column is which.
//!
//! All of it is found in the first lines: the header is the first one that names the columns that every register
//! has, whatever separates them. What stands before it, such as a title, is passed over.

use std::fmt;

use super::{Column, Encoding, RegisterError, csv::Records};

/// Lines among which the header is looked for.
const LINES_LOOKED_AT: usize = 10;

/// What separates columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Separator {
    /// As most programs write it.
    #[default]
    Comma,
    /// As spreadsheets write it where the comma is in numbers.
    Semicolon,
    /// As spreadsheets write "Unicode text".
    Tab,
    /// As some databases write it.
    Bar,
}

/// What may be said of a file beforehand.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// None: as its first bytes tell.
    pub encoding: Option<Encoding>,
    /// None: as its first lines tell.
    pub separator: Option<Separator>,
    /// Columns that the header calls otherwise: the name that stands there, and the column that is meant.
    pub map: Vec<(String, Column)>,
    /// Columns that no register has are left out.
    pub ignore_unknown: bool,
}

/// How a file was read.
#[derive(Clone, Debug, Default)]
pub struct Dialect {
    /// What its bytes stand for.
    pub encoding: Encoding,
    /// None where the form has none.
    pub separator: Option<Separator>,
    /// The line of the header; 0 where the form has none.
    pub header_line: u64,
    /// The columns, in the order of the file.
    pub headings: Vec<Heading>,
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heading {
    /// As it stands in the header.
    pub name: String,
    /// What it holds.
    pub place: Place,
}

/// Where the values of a column go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into a column of the register.
    Column(Column),
    /// They are left out.
    LeftOut,
    /// It has no name, and must be empty.
    Nameless,
}

impl Separator {
    /// All of them, the likeliest first.
    pub const ALL: [Self; 4] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Bar];

    /// As it stands in a file.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Bar => b'|',
        }
    }

    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Comma => "commas",
            Self::Semicolon => "semicolons",
            Self::Tab => "tabs",
            Self::Bar => "bars",
        }
    }

    fn of_byte(byte: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|separator| separator.byte() == byte)
    }
}

impl fmt::Display for Separator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Hints {
    /// The column that is meant by a name in a header.
    pub(super) fn column(&self, name: &str) -> Option<Column> {
        let mapped = self.map.iter().find(|(from, _)| alike(from, name));
        match mapped {
            Some((_, column)) => Some(*column),
            None => Column::named(name),
        }
    }

    fn is_header(&self, names: &[&str]) -> bool {
        let named = |wanted| {
            let mut columns = names.iter().map(|name| self.column(name));
            columns.any(|column| column == Some(wanted))
        };
        Column::REQUIRED.into_iter().all(named)
    }
}

impl Dialect {
    /// Whether it is what a program would write, so that there is nothing to tell of it.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let named = |heading: &Heading| match heading.place {
            Place::Column(column) => heading.name == column.name(),
            Place::LeftOut | Place::Nameless => false,
        };
        self.encoding == Encoding::Utf8
            && matches!(self.separator, None | Some(Separator::Comma))
            && self.header_line <= 1
            && self.headings.iter().all(named)
    }
}

/// Whether two names of a column are one: neither case nor the blanks around them matter.
pub(super) fn alike(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// What the first lines tell.
pub(super) struct Found {
    pub(super) separator: Separator,
    /// Records before the header.
    pub(super) before: usize,
}

/// Looks for the header in the beginning of a file.
pub(super) fn find(head: &[u8], hints: &Hints) -> Found {
    let said = hints.separator.or_else(|| said_by(head));
    let separators = Separator::ALL
        .into_iter()
        .filter(|separator| said.is_none_or(|said| said == *separator));
    let mut header: Option<Found> = None;
    // Where there is none: the first line that has several columns, which is then told to be none.
    let mut likely: Option<(usize, Found)> = None;
    for separator in separators {
        for (before, names) in first_lines(head, separator).into_iter().enumerate() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let found = Found { separator, before };
            if hints.is_header(&names) {
                if header.as_ref().is_none_or(|first| before < first.before) {
                    header = Some(found);
                }
                break;
            }
            let said_so = before == 0 && said_by(head).is_some();
            let count = names.iter().filter(|name| !name.is_empty()).count();
            let most = likely.as_ref().map_or(1, |(most, _)| *most);
            if most < count && !said_so {
                likely = Some((count, found));
            }
        }
    }
    header
        .or_else(|| likely.map(|(_, found)| found))
        .unwrap_or(Found {
            separator: said.unwrap_or_default(),
            before: usize::from(said_by(head).is_some()),
        })
}

/// Checks that nothing that stands before the header is a row, by its line and which of its fields are filled: in a sheet that was sorted with its header, most are.
pub(super) fn no_row_is(
    passed_over: &[(u64, Vec<bool>)],
    places: &[Place],
) -> Result<(), RegisterError> {
    let place = |column| {
        let wanted = Place::Column(column);
        places.iter().position(|place| *place == wanted)
    };
    let needed = [place(Column::Number), place(Column::Title)];
    // Above a table there may be a word and a day, but seldom three.
    let least = places.len().min(3);
    let is_row = |filled: &[bool]| {
        let is_filled = |at: &Option<usize>| at.and_then(|at| filled.get(at)) == Some(&true);
        filled.len() == places.len()
            && needed.iter().all(is_filled)
            && least <= filled.iter().filter(|is_filled| **is_filled).count()
    };
    match passed_over.iter().find(|(_, filled)| is_row(filled)) {
        None => Ok(()),
        Some((line, _)) => Err(RegisterError::Refused {
            line: *line,
            reason: "it stands before the header and looks like a row, which would be lost: put the header above \
                     all rows, or take the line out"
                .to_owned(),
        }),
    }
}

/// The separator that a spreadsheet names in a first line of its own, `sep=;`.
fn said_by(head: &[u8]) -> Option<Separator> {
    let end = head.iter().position(|&byte| byte == b'\n' || byte == b'\r');
    let line = head.get(..end.unwrap_or(head.len()))?;
    let line = line.strip_prefix(b"\"").unwrap_or(line);
    let line = line.strip_suffix(b"\"").unwrap_or(line);
    let (word, rest) = line.split_at_checked(4)?;
    match rest {
        [byte] if word.eq_ignore_ascii_case(b"sep=") => Separator::of_byte(*byte),
        _ => None,
    }
}

/// The first records of a file, trimmed; as far as they are text.
fn first_lines(head: &[u8], separator: Separator) -> Vec<Vec<String>> {
    let mut records = Records::bare(head, separator);
    let mut lines = Vec::new();
    while lines.len() < LINES_LOOKED_AT
        && let Ok(Some(line)) = records.names()
    {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
#[path = "dialect_tests.rs"]
mod tests;
