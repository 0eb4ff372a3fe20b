//! Days as spreadsheets write them: read where it was said how, and else told what to say.

use jiff::{ToSpan as _, civil::Date};

use super::cell::shown;
use crate::error::{Error, Result};

/// How rows write days, beside `2026-03-01`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayForm {
    /// The 31st of December 2026.
    sample: String,
    order: [Part; 3],
    /// What stands between them.
    marks: [String; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Day,
    Month,
    Year,
}

/// Of so many days a spreadsheet's count is taken for one: from 1954 to 2064.
const COUNTED: std::ops::RangeInclusive<i64> = 20_000..=60_000;

impl DayForm {
    /// Reads the 31st of December 2026 as rows would write it; of nothing, none.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the field.
    pub fn read(field: &str, sample: &str) -> Result<Option<Self>> {
        let sample = sample.trim();
        if sample.is_empty() {
            return Ok(None);
        }
        Self::of(sample).map(Some).ok_or_else(|| {
            let what = format!(
                "{} is not it; expected the 31st of December 2026 as rows write it, with a year of four digits: \
                 31.12.2026, 31/12/2026, 12/31/2026 or 2026/12/31",
                shown(sample)
            );
            Error::invalid(field, what)
        })
    }

    fn of(sample: &str) -> Option<Self> {
        let is_mark = |letter: char| !letter.is_ascii_digit();
        let parts: Vec<&str> = sample
            .split(is_mark)
            .filter(|part| !part.is_empty())
            .collect();
        let marks: Vec<&str> = sample
            .split(|letter: char| letter.is_ascii_digit())
            .filter(|mark| !mark.is_empty())
            .collect();
        let (&[one, two, three], &[first, second]) = (parts.as_slice(), marks.as_slice()) else {
            return None;
        };
        let order = [part(one)?, part(two)?, part(three)?];
        let all = [Part::Day, Part::Month, Part::Year];
        let each = all.iter().all(|part| order.contains(part));
        let known = |mark: &str| matches!(mark, "." | "/" | "-" | " " | ". ");
        // A mark at an end stands between nothing.
        let whole = sample.starts_with(one) && sample.ends_with(three);
        let at_an_end = order[1] != Part::Year;
        (each && whole && at_an_end && known(first) && known(second)).then(|| Self {
            sample: sample.to_owned(),
            order,
            marks: [first, second].map(|mark| mark.trim_end().to_owned()),
        })
    }

    /// The day, where it is written so.
    fn day(&self, text: &str) -> Option<Date> {
        let [first, second] = &self.marks;
        let between = |mark: &str| match mark {
            "" => " ".to_owned(),
            mark => mark.to_owned(),
        };
        let (one, rest) = text.split_once(&between(first))?;
        let (two, three) = rest.split_once(&between(second))?;
        let (mut day, mut month, mut year) = (0, 0, 0);
        for (part, text) in self.order.iter().zip([one, two, three]) {
            let text = text.trim_matches(' ');
            let longest = match part {
                Part::Year => 4..=4,
                Part::Day | Part::Month => 1..=2,
            };
            if !longest.contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let value: i16 = text.parse().ok()?;
            match part {
                Part::Day => day = value,
                Part::Month => month = value,
                Part::Year => year = value,
            }
        }
        let small = |value: i16| i8::try_from(value).ok();
        Date::new(year, small(month)?, small(day)?).ok()
    }
}

fn part(text: &str) -> Option<Part> {
    match text {
        "31" => Some(Part::Day),
        "12" => Some(Part::Month),
        "2026" => Some(Part::Year),
        _ => None,
    }
}

/// A day that is written in another way than `2026-03-01`, written like that: as the form says, with one digit for a
/// day or month, or with the midnight with which it begins.
pub(super) fn iso_of(text: &str, form: Option<&DayForm>) -> Option<String> {
    let day = ["", " 00:00:00", "T00:00:00", " 00:00", " 0:00:00", " 0:00"]
        .into_iter()
        .find_map(|midnight| read(text.strip_suffix(midnight)?, form))?;
    let iso = day.to_string();
    (iso != text).then_some(iso)
}

fn read(text: &str, form: Option<&DayForm>) -> Option<Date> {
    let iso = DayForm {
        sample: String::new(),
        order: [Part::Year, Part::Month, Part::Day],
        marks: ["-".to_owned(), "-".to_owned()],
    };
    form.and_then(|form| form.day(text))
        .or_else(|| iso.day(text))
}

/// What is expected of a day, and what to do where it is written like this one.
pub(super) fn expected(text: &str, form: Option<&DayForm>) -> String {
    let as_said = form.map_or_else(String::new, |form| {
        format!(", one as {} is the 31st of December 2026", form.sample)
    });
    let expected = format!("expected one such as 2026-03-01{as_said}, today, today+30 or today-7");
    match hint(text, form.is_some()) {
        Some(hint) => format!("{expected}; {hint}"),
        None => expected,
    }
}

fn hint(text: &str, is_said: bool) -> Option<String> {
    let counted = text.strip_suffix(".0").unwrap_or(text);
    if let Ok(count) = counted.parse::<i64>()
        && COUNTED.contains(&count)
    {
        let zero = jiff::civil::date(1899, 12, 30);
        let day = zero.checked_add(count.days()).ok()?;
        return Some(format!(
            "it may be a spreadsheet's count of days, for {day}: format the column as a day there"
        ));
    }
    let parts: Vec<&str> = text.split(['.', '/', '-']).collect();
    let &[one, _, three] = parts.as_slice() else {
        return None;
    };
    let digits = |part: &str| part.trim().bytes().all(|byte| byte.is_ascii_digit());
    if !parts.iter().all(|part| digits(part)) {
        return None;
    }
    let say = match text {
        _ if one.len() < 4 && three.trim().len() < 4 => {
            return Some("write its year with four digits".to_owned());
        }
        // There is no such day.
        _ if is_said || one.len() == 4 && text.contains('-') => return None,
        _ if text.contains('.') => "--date-format 31.12.2026",
        _ if one.len() == 4 => "--date-format 2026/12/31",
        _ if text.contains('/') => {
            "--date-format 31/12/2026 where the day comes first, --date-format 12/31/2026 where the month does"
        }
        _ => {
            "--date-format 31-12-2026 where the day comes first, --date-format 12-31-2026 where the month does"
        }
    };
    Some(format!("say how days are written by {say}"))
}

#[cfg(test)]
#[path = "written_tests.rs"]
mod tests;
