//! Rows as spreadsheets and people write them, bent until they can be read: blanks around a field, characters that look
//! like others, days written in another way. What is bent is said; what cannot be bent without guessing is left as it
//! is, and refused by whoever reads it.

use super::{
    cell::shown,
    row::{COLUMNS, FIELD_BYTES_MAX, RawRow, Reading},
    written::iso_of,
};

/// What is bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BendKind {
    /// Blanks around it.
    Blanks,
    /// Characters that look like others, or like nothing.
    Characters,
    /// A day written in another way.
    Day,
}

/// What was bent of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bend {
    /// The column.
    pub field: &'static str,
    pub kind: BendKind,
    /// How it stood there, and how it was read.
    pub note: String,
}

/// What a column holds, as far as it may be bent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    Numbers,
    /// A word or a name: a blank in it is a blank.
    Words,
    Day,
    /// Whatever stands there is meant.
    Text,
}

impl BendKind {
    pub const ALL: [Self; 3] = [Self::Blanks, Self::Characters, Self::Day];
}

impl RawRow {
    /// Bends the row, and says how.
    pub fn bend(&mut self, reading: &Reading) -> Vec<Bend> {
        let mut bends = Vec::new();
        for (column, field) in COLUMNS.into_iter().zip(self.fields_mut()) {
            // What is too long is refused anyway.
            if field.is_empty() || FIELD_BYTES_MAX < field.len() {
                continue;
            }
            let mut bend = |kind, note| {
                bends.push(Bend {
                    field: column,
                    kind,
                    note,
                });
            };
            let trimmed = field.trim_matches(is_blank);
            if trimmed.len() < field.len() {
                if !trimmed.is_empty() {
                    let note = format!("{} without the blanks around it", shown(field));
                    bend(BendKind::Blanks, note);
                }
                *field = trimmed.to_owned();
            }
            let holds = holds(column);
            if holds != Holds::Text && !field.is_ascii() {
                let plain = plain(field, holds);
                if plain != *field {
                    let note = format!("{} as {}", shown(field), shown(&plain));
                    bend(BendKind::Characters, note);
                    *field = plain;
                }
            }
            if holds == Holds::Day
                && let Some(iso) = iso_of(field, reading.day_form.as_ref())
            {
                bend(BendKind::Day, format!("{} as {iso}", shown(field)));
                *field = iso;
            }
        }
        bends
    }
}

fn holds(column: &str) -> Holds {
    match column {
        "number" | "supersedes" | "depends_on" => Holds::Numbers,
        "document_type" | "status" | "author" | "reviewer" | "approver" | "version_major"
        | "version_minor" => Holds::Words,
        "effective_date" | "obsolescence_date" => Holds::Day,
        _ => Holds::Text,
    }
}

/// What looks like nothing, at an end: no-break spaces as well, and what has no width, but no line end.
fn is_blank(letter: char) -> bool {
    letter == ' ' || letter.is_whitespace() && !letter.is_control() || has_no_width(letter)
}

fn has_no_width(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

/// Without what cannot be seen, and with blanks, dashes and wide letters as a keyboard types them. Letters of other
/// alphabets stay: whoever reads them tells which they are.
fn plain(text: &str, holds: Holds) -> String {
    // Names of some languages are written with joiners.
    let joins = |letter: char| holds == Holds::Words && matches!(letter, '\u{200c}' | '\u{200d}');
    let seen = text
        .chars()
        .filter(|letter| joins(*letter) || !has_no_width(*letter));
    seen.map(|letter| match letter {
        _ if letter.is_whitespace() && !letter.is_control() => ' ',
        _ if holds == Holds::Words => letter,
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => '-',
        // As wide as the letters of East Asia.
        '\u{ff01}'..='\u{ff5e}' => narrow(letter),
        _ => letter,
    })
    .collect()
}

fn narrow(letter: char) -> char {
    u32::from(letter)
        .checked_sub(0xff01 - 0x21)
        .and_then(char::from_u32)
        .unwrap_or(letter)
}

#[cfg(test)]
#[path = "bend_tests.rs"]
mod tests;
