//! What stands in the cells of a row, and how it is refused.

use jiff::{Span, civil::Date};

use super::{
    DEPENDS_MAX, DocumentStatus, Number,
    days::{any_day, possible},
    key::Named,
    line,
    rules::depends_soundly,
    written::{DayForm, expected},
};
use crate::error::{Error, Result};

/// What is shown of a field that is wrong, in characters.
const SHOWN: usize = 64;
/// Days from today that a date may be away: a hundred years.
const DAYS_AWAY_MAX: i32 = 36_500;
const FILE_NAME_MAX: usize = 255;

/// What is told of a field that is wrong.
pub fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

pub(super) fn status(text: &str) -> Result<DocumentStatus> {
    if text.is_empty() {
        return Ok(DocumentStatus::Draft);
    }
    let plain = text.to_ascii_lowercase().replace([' ', '-'], "_");
    DocumentStatus::parse(&plain).ok_or_else(|| {
        let known: Vec<String> = DocumentStatus::ALL
            .iter()
            .map(|status| status.shouted())
            .collect();
        let what = format!(
            "{} is no status; expected one of {}",
            shown(text),
            known.join(", ")
        );
        Error::invalid("status", what)
    })
}

/// A day: `2026-03-01`, `today`, `today+30` or `today-7`. How else days may be written is for what is told.
pub(super) fn date(
    field: &str,
    text: &str,
    today: Date,
    form: Option<&DayForm>,
) -> Result<Option<Date>> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        let what = format!("{} is no day; {}", shown(text), expected(text, form));
        Error::invalid(field, what)
    };
    let word = text.get(.."today".len());
    if !word.is_some_and(|word| word.eq_ignore_ascii_case("today")) {
        return match any_day(field, text) {
            Ok(day) => possible(field, day).map(Some),
            Err(_) => Err(wrong()),
        };
    }
    let rest = text["today".len()..].trim_start();
    if rest.is_empty() {
        return Ok(Some(today));
    }
    let (sign, digits) = rest.split_at_checked(1).ok_or_else(wrong)?;
    let digits = digits.trim_start();
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let away = match sign {
        "+" => 1,
        "-" => -1,
        _ => return Err(wrong()),
    };
    if !plain {
        return Err(wrong());
    }
    // So many digits that it is no number are too many days as well.
    let days: i32 = digits.parse().unwrap_or(i32::MAX);
    if DAYS_AWAY_MAX < days {
        let what = format!(
            "{} is too far away; expected at most {DAYS_AWAY_MAX} days from today",
            shown(text)
        );
        return Err(Error::invalid(field, what));
    }
    let moved = today.checked_add(Span::new().days(away * days));
    let moved = moved.map_err(|_| wrong())?;
    possible(field, moved).map(Some)
}

pub(super) fn supersedes(text: &str) -> Result<Option<Named>> {
    match text {
        "" => Ok(None),
        text => Named::read("supersedes", text).map(Some),
    }
}

pub(super) fn depends_on(number: &Number, text: &str) -> Result<Vec<Number>> {
    let given = text.split([';', ' ']).filter(|number| !number.is_empty());
    let count = given.clone().count();
    if DEPENDS_MAX < count {
        let what = format!("{count} given; expected at most {DEPENDS_MAX}");
        return Err(Error::invalid("depends_on", what));
    }
    let numbers = given
        .map(|number| {
            let read: Result<Number> = number.parse();
            read.map_err(|error| match number.contains(',') {
                true => {
                    let what = format!(
                        "{} holds commas; expected numbers separated by semicolons or spaces",
                        shown(number)
                    );
                    Error::invalid("depends_on", what)
                }
                false => error.of_field("depends_on"),
            })
        })
        .collect::<Result<Vec<Number>>>()?;
    depends_soundly(number, &numbers)?;
    for (index, other) in numbers.iter().enumerate() {
        if other.is_same(number) {
            let what = format!("{number} cannot depend on itself, {other}");
            return Err(Error::invalid("depends_on", what));
        }
        let mut before = numbers.iter().take(index);
        if let Some(before) = before.find(|before| before.is_same(other)) {
            let what = format!("{other} is given twice, as {before} as well");
            return Err(Error::invalid("depends_on", what));
        }
    }
    Ok(numbers)
}

pub(super) fn file_name(text: &str) -> Result<String> {
    let field = "content_file_name";
    let name = line(field, text, 0, FILE_NAME_MAX)?;
    if name.contains(['/', '\\']) || name == "." || name == ".." {
        let what = format!(
            "{} is no file's name; expected one without a path",
            shown(&name)
        );
        return Err(Error::invalid(field, what));
    }
    Ok(name)
}
