//! What is told of an import: rows that are not kept and why, how far it is, and what it came to.

use super::{
    circles::Circles,
    index::{Flaw, Index, Place},
};
use crate::{
    domain::document::{
        bend::{Bend, BendKind},
        cell::shown,
        row::{RawRow, Row},
    },
    error::{Error, Result},
};

/// Characters of a number that is told: none that is sound has more.
const NUMBER_SHOWN: usize = 64;
/// Notes of each kind that are told.
const NOTES_TOLD: usize = 100;

/// A message of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Bad(BadRow),
    Progress(Progress),
    /// The last one.
    Summary(Summary),
}

/// A row that is not kept, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    pub line: i64,
    pub number: String,
    /// Empty where it is the row, or several columns, which the reason names.
    pub field: String,
    pub reason: String,
}

/// What was bent of a row to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowNote {
    pub line: i64,
    pub number: String,
    pub bend: Bend,
}

/// Notes on rows: of each kind so many are told, and the rest is counted.
#[derive(Debug, Default)]
pub(super) struct Notes {
    told: [usize; BendKind::ALL.len()],
    pub(super) count: i64,
}

impl Notes {
    /// What is to be told of these.
    pub(super) fn take(&mut self, row: &RawRow, bends: Vec<Bend>) -> Vec<RowNote> {
        let mut told = Vec::new();
        for bend in bends {
            self.count += 1;
            let mut kinds = BendKind::ALL.iter().zip(&mut self.told);
            let Some((_, count)) = kinds.find(|(kind, _)| **kind == bend.kind) else {
                continue;
            };
            if *count < NOTES_TOLD {
                *count += 1;
                told.push(RowNote {
                    line: row.line,
                    number: number_of(row),
                    bend,
                });
            }
        }
        told
    }
}

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub received: i64,
    /// Written, unchanged or found bad.
    pub done: i64,
}

/// What an import came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub rows: i64,
    pub created: i64,
    pub unchanged: i64,
    pub bad: i64,
    /// Notes on rows, those included that were not told.
    pub notes: i64,
}

/// A row of which a field is wrong, or several at once.
///
/// # Errors
/// The error itself where it is not the row's.
pub(super) fn bad_field(line: i64, number: &str, error: Error) -> Result<BadRow> {
    let Some(all) = error.wrong_fields() else {
        return Err(error);
    };
    let (field, reason) = match error {
        Error::Invalid { field, reason } => (field, reason),
        // A row is told once, as it counts once.
        _ => (String::new(), all),
    };
    Ok(BadRow {
        line,
        number: number.to_owned(),
        field,
        reason,
    })
}

/// The number of a row of which nothing is known to be sound.
pub(super) fn number_of(row: &RawRow) -> String {
    let plain = |char: char| if char.is_control() { '\u{fffd}' } else { char };
    row.number.chars().take(NUMBER_SHOWN).map(plain).collect()
}

/// A row that is wrong beside others.
pub(super) fn flawed(
    index: &Index,
    circles: &Circles,
    (place, row): (Place, &Row),
    flaw: Flaw,
) -> BadRow {
    let line = |place: Place| index.entry(place).line;
    let named = |place: Place| format!("{} in line {}", index.key_of(place), line(place));
    let (field, reason) = match flaw {
        Flaw::Duplicate(first) => ("", format!("the same document as line {}", line(first))),
        Flaw::AlsoInForce(other) => ("status", in_force(&named(other), "as well")),
        Flaw::InForceAlready(version) => {
            let key = index.key(index.entry(place).number, version);
            ("status", in_force(&key, "already"))
        }
        Flaw::SupersedesUnknown => {
            let named = row.supersedes.as_ref().map(ToString::to_string);
            let named = shown(&named.unwrap_or_default());
            let what = format!("there is no document {named}, neither in the register nor here");
            ("supersedes", what)
        }
        Flaw::SupersedesNoLower => {
            let named = row.supersedes.as_ref().map(ToString::to_string);
            let named = named.unwrap_or_default();
            let what = format!("{named} is no lower version than {}", row.key);
            ("supersedes", what)
        }
        Flaw::SupersedesBad(other) => (
            "supersedes",
            format!("it supersedes {}, which is not kept", named(other)),
        ),
        Flaw::SupersedesInCircle => {
            let circle = index.supersession_circle(place);
            ("supersedes", format!("a circle: {circle}"))
        }
        Flaw::DependsOnUnknown(number) => {
            let name = index.names.get(number);
            let what = format!("there is no document {name}, neither in the register nor here");
            ("depends_on", what)
        }
        Flaw::DependsOnBad(number) => {
            let name = index.names.get(number);
            let what = match index.rows_of(number).first() {
                Some(row) => format!("{name} in line {} is not kept", line(*row)),
                None => format!("{name} is not kept"),
            };
            ("depends_on", what)
        }
        Flaw::DependsInCircle => {
            let circle = index.dependence_circle(index.entry(place).number, circles);
            ("depends_on", format!("a circle: {circle}"))
        }
    };
    BadRow {
        line: row.line,
        number: row.key.number.to_string(),
        field: field.to_owned(),
        reason,
    }
}

fn in_force(other: &str, how: &str) -> String {
    format!(
        "{other} is in force {how}; of each number one version at most is EFFECTIVE or SCHEDULED_FOR_OBSOLESCENCE"
    )
}
