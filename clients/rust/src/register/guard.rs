//! Text that a spreadsheet would take for a formula, and run: a quote before it keeps it text.
//!
//! A value that has such a quote of its own gets another one, so that it is read as it was.

/// With what formulas begin, and with what spreadsheets look behind.
const BEGINNINGS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

const QUOTE: char = '\'';

/// Whether a spreadsheet may take it for a formula.
pub(super) fn is_formula(value: &str) -> bool {
    value.starts_with(BEGINNINGS)
}

/// Whether it would be read as a guarded formula though it is none.
pub(super) fn looks_guarded(value: &str) -> bool {
    unguarded(value).is_some()
}

/// The value without the quote that guards it; none where there is none.
pub(super) fn unguarded(value: &str) -> Option<&str> {
    let behind = value.strip_prefix(QUOTE)?;
    is_formula(behind.trim_start_matches(QUOTE)).then_some(behind)
}

/// The value with a quote that guards it.
pub(super) fn guarded(value: &str) -> String {
    format!("{QUOTE}{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_is_taken_off_where_it_guards_something() {
        for (given, read) in [
            ("'=1+1", Some("=1+1")),
            ("''=1+1", Some("'=1+1")),
            ("'-5 degrees", Some("-5 degrees")),
            ("'\t=1", Some("\t=1")),
            ("'single'", None),
            ("=1+1", None),
            ("'", None),
            ("", None),
        ] {
            assert_eq!(unguarded(given), read, "{given}");
        }
        for value in ["=1", "'=1", "''+1", "@a"] {
            assert_eq!(unguarded(&guarded(value)), Some(value));
        }
    }
}
