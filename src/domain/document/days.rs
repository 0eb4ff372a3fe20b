//! Days of documents: how people write them, and which of them anybody can have meant.

use jiff::civil::{Date, date};

use crate::error::{Error, Result};

/// The first day that a document can be given.
pub const FIRST_DAY: Date = date(1900, 1, 1);
/// The last one.
pub const LAST_DAY: Date = date(2199, 12, 31);

/// Years that are meant where others were written.
const LIKELY: std::ops::RangeInclusive<i16> = 1950..=2100;

/// A day as people write it: `2026-03-01`; one that a document can be given.
///
/// # Errors
/// [`Error::Invalid`] for the field.
pub fn day(field: &str, text: &str) -> Result<Date> {
    possible(field, any_day(field, text)?)
}

/// A day as people write it, whenever it is: what a list is asked for.
///
/// # Errors
/// [`Error::Invalid`] for the field.
pub fn any_day(field: &str, text: &str) -> Result<Date> {
    let wrong = || {
        let what = format!("{text:?} is no day; expected one such as 2026-03-01");
        Error::invalid(field, what)
    };
    // jiff would take more: a time behind it, or a sign before it.
    let plain = |byte: u8| byte.is_ascii_digit() || byte == b'-';
    if text.len() != 10 || !text.bytes().all(plain) {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

/// The day, where a document can be given it.
///
/// # Errors
/// [`Error::Invalid`] for the field, with what was probably meant.
pub fn possible(field: &str, day: Date) -> Result<Date> {
    if (FIRST_DAY..=LAST_DAY).contains(&day) {
        return Ok(day);
    }
    let meant = meant(day).map_or_else(String::new, |meant| format!("did you mean {meant}? "));
    let what = format!(
        "{day} is no day that a document can have; {meant}expected one from {FIRST_DAY} to {LAST_DAY}"
    );
    Err(Error::invalid(field, what))
}

/// The day that was probably meant: with the century that was left out, or the year's digits in their order, or its
/// first one right.
fn meant(day: Date) -> Option<Date> {
    let [a, b, c, d] = digits(day.year())?;
    let years = [
        // 0026
        (a == 0 && b == 0).then_some([2, 0, c, d]),
        // 2205, 0226, 2062
        Some([a, c, b, d]),
        Some([b, a, c, d]),
        Some([a, b, d, c]),
        // 3026, 1026
        Some([2, b, c, d]),
    ];
    years
        .into_iter()
        .flatten()
        .map(|[a, b, c, d]| a * 1000 + b * 100 + c * 10 + d)
        .filter(|year| LIKELY.contains(year))
        .find_map(|year| Date::new(year, day.month(), day.day()).ok())
}

fn digits(year: i16) -> Option<[i16; 4]> {
    (0..=9999)
        .contains(&year)
        .then_some([year / 1000, year / 100 % 10, year / 10 % 10, year % 10])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_day_is_named() {
        for wrong in [
            "",
            "2026-3-1",
            "2026-02-30",
            "01.03.2026",
            "2026-03-01T00:00",
            "-026-03-01",
        ] {
            let error = day("effective_date", wrong).unwrap_err().to_string();
            assert!(error.contains("effective_date"), "{error}");
        }
        assert_eq!(day("x", "2028-02-29").unwrap().to_string(), "2028-02-29");
    }

    #[test]
    fn a_day_that_nobody_can_have_meant_is_refused_with_what_was_probably_meant() {
        for (wrong, meant) in [
            ("0026-01-01", Some("2026-01-01")),
            ("2205-03-01", Some("2025-03-01")),
            ("0226-03-01", Some("2026-03-01")),
            ("3026-03-01", Some("2026-03-01")),
            ("1026-12-31", Some("2026-12-31")),
            ("2620-03-01", None),
            ("9999-12-31", None),
            ("1899-12-31", Some("1989-12-31")),
            ("2200-01-01", Some("2020-01-01")),
            ("0000-01-01", Some("2000-01-01")),
        ] {
            let error = day("effective_date", wrong).unwrap_err().to_string();
            assert!(error.contains("from 1900-01-01 to 2199-12-31"), "{error}");
            match meant {
                Some(meant) => {
                    assert!(error.contains(&format!("did you mean {meant}?")), "{error}")
                }
                None => assert!(!error.contains("did you mean"), "{wrong}: {error}"),
            }
        }
        for right in ["1900-01-01", "2199-12-31", "2026-03-01"] {
            assert_eq!(day("x", right).unwrap().to_string(), right);
        }
        assert_eq!(
            any_day("x", "9999-12-31").unwrap().to_string(),
            "9999-12-31"
        );
    }
}
