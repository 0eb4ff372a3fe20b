//! Checks the shape of cron's five time fields, and passes them on as they stand.

use std::collections::BTreeSet;

use super::Reason;
use super::toml::quoted;

/// The five fields, ready for Watchbell, and what a reader should know about them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) cron: String,
    pub(super) notes: Vec<String>,
}

struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field::new("minute", 0, 59, &[]),
    Field::new("hour", 0, 23, &[]),
    Field::new("day of month", 1, 31, &[]),
    Field::new("month", 1, 12, &MONTHS),
    Field::new("day of week", 0, 7, &DAYS),
];

/// The name of the field at `index`, counted from 0.
pub(super) fn name(index: usize) -> &'static str {
    FIELDS.get(index).map_or("command", |field| field.name)
}

/// Checks each field. The error names the first wrong one.
pub(super) fn check(fields: [&str; 5]) -> Result<Fields, Reason> {
    let mut notes = Vec::new();
    let mut cron = Vec::with_capacity(fields.len());
    for (field, text) in FIELDS.iter().zip(fields) {
        let items: Result<Vec<String>, Reason> = text
            .split(',')
            .map(|item| field.item(item, &mut notes))
            .collect();
        let items =
            items.map_err(|reason| format!("the {} {} {reason}", field.name, quoted(text)))?;
        cron.push(items.join(","));
    }
    // What a list says twice is told once.
    let mut told = BTreeSet::new();
    notes.retain(|note: &String| told.insert(note.clone()));
    let [_, _, day, _, weekday] = fields;
    // cron looks at the first character, too.
    let is_free = |text: &str| text.starts_with(['*', '?']);
    if !is_free(day) && !is_free(weekday) {
        notes.push(format!(
            "Both day fields are set, {} and {}: cron runs it on either, and so does Watchbell.",
            quoted(day),
            quoted(weekday)
        ));
    }
    Ok(Fields {
        cron: cron.join(" "),
        notes,
    })
}

impl Field {
    const fn new(
        name: &'static str,
        first: u32,
        last: u32,
        names: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            first,
            last,
            names,
        }
    }

    /// One member of the field's list. The error continues "the hour `x` …".
    fn item(&self, item: &str, notes: &mut Vec<String>) -> Result<String, Reason> {
        if item.is_empty() {
            return Err("has an empty member".into());
        }
        if item.contains('~') {
            return self.random(item, notes);
        }
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(step)),
            None => (item, None),
        };
        if step.is_some_and(|step| number(step).is_none_or(|step| step == 0)) {
            return Err("has a step that is not a number above 0".into());
        }
        let is_day = matches!(self.last, 7 | 31);
        let span = self.last - self.first + 1;
        if step.and_then(number).is_some_and(|step| span < step) {
            return Err(format!(
                "has a step larger than the {span} of the field: cron runs {} alone, which is hardly \
                 what was meant",
                quoted(&self.start_of(base))
            ));
        }
        let too_far = step.and_then(number) == Some(span);
        if too_far && base == "*" && !is_day {
            return Ok(self.alone(item, &self.first.to_string(), notes));
        }
        if base == "*" {
            return Ok(item.to_owned());
        }
        if matches!(base, "?" | "H") || self.is_extension(base) {
            notes.push(format!(
                "{} is no part of cron's own lines: where a cron ran this, check what it made of it",
                quoted(item)
            ));
            return Ok(item.to_owned());
        }
        match base.split_once('-') {
            Some((low, high)) => {
                self.range(low, high)?;
                if too_far {
                    return Ok(self.alone(item, low, notes));
                }
            }
            None => {
                self.value(base)?;
                if step.is_some() {
                    notes.push(format!(
                        "{} has a step without a range: Debian's cron refuses it, others run {} alone \
                         or go on to the end; check the {}",
                        quoted(item),
                        quoted(base),
                        self.name
                    ));
                }
            }
        }
        Ok(item.to_owned())
    }

    /// The first value of a member's part before the step.
    fn start_of(&self, base: &str) -> String {
        match base {
            "*" => self.first.to_string(),
            base => base.split('-').next().unwrap_or(base).to_owned(),
        }
    }

    /// Member that stands for one whose step is as large as the field: the first value, with a note. A day field with a
    /// star keeps its step, and is refused later: the star says how the two day fields go together.
    fn alone(&self, item: &str, first: &str, notes: &mut Vec<String>) -> String {
        notes.push(format!(
            "{} has a step as large as the {}: cron runs {} alone, and so it stands here",
            quoted(item),
            self.name,
            quoted(first)
        ));
        first.to_owned()
    }

    fn range(&self, low: &str, high: &str) -> Result<(), Reason> {
        let (low, high) = (self.value(low)?, self.value(high)?);
        if low > high {
            return Err(
                "has a range that runs backwards, which never matches in Debian's cron".into(),
            );
        }
        Ok(())
    }

    fn value(&self, text: &str) -> Result<u32, Reason> {
        let named = self
            .names
            .iter()
            .position(|name| text.eq_ignore_ascii_case(name));
        if let Some(index) = named {
            return Ok(self.first + u32::try_from(index).unwrap_or(0));
        }
        let Some(value) = number(text) else {
            return Err(format!("is impossible: {} is not a value", quoted(text)));
        };
        if value < self.first || value > self.last {
            let (first, last) = (self.first, self.last);
            return Err(format!("is impossible: {value} is not in {first}-{last}"));
        }
        Ok(value)
    }

    /// The forms no cron of Debian knows but Watchbell does: `L`, `L-n`, `LW`, `nW`, `nL`, `n#k`.
    fn is_extension(&self, base: &str) -> bool {
        let of_last = |suffix| {
            base.strip_suffix(suffix)
                .is_some_and(|n| self.value(n).is_ok())
        };
        match self.name {
            "day of month" => {
                let before_last = base.strip_prefix("L-").and_then(number);
                matches!(base, "L" | "LW") || before_last.is_some_and(|n| n < 31) || of_last('W')
            }
            "day of week" => {
                let nth = base.split_once('#');
                let is_nth = |(day, nth): (&str, &str)| {
                    self.value(day).is_ok() && number(nth).is_some_and(|n| (1..=5).contains(&n))
                };
                nth.is_some_and(is_nth) || of_last('L')
            }
            _ => false,
        }
    }

    /// cronie's `a~b`: a value drawn when the crontab is loaded. Watchbell draws by the task's name.
    fn random(&self, item: &str, notes: &mut Vec<String>) -> Result<String, Reason> {
        let Some((low, high)) = item.split_once('~').filter(|_| !item.contains('/')) else {
            return Err("is a random range with a step, which has no counterpart".into());
        };
        // Sunday has two numbers; drawing from both would favour it.
        let last = if self.last == 7 { 6 } else { self.last };
        let low = if low.is_empty() {
            self.first
        } else {
            self.value(low)?
        };
        let high = if high.is_empty() {
            last
        } else {
            self.value(high)?
        };
        if low > high {
            return Err("has a random range that runs backwards".into());
        }
        let stable = format!("H({low}-{high})");
        notes.push(format!(
            "{} draws the {} anew whenever cron starts; {stable} draws it once, by the task's name",
            quoted(item),
            self.name
        ));
        Ok(stable)
    }
}

/// A short decimal number.
fn number(text: &str) -> Option<u32> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Fields, Reason> {
        let fields: Vec<&str> = text.split(' ').collect();
        check(fields.try_into().unwrap())
    }

    #[test]
    fn lists_ranges_steps_and_names_pass_as_they_stand() {
        for text in [
            "* * * * *",
            "09,39 */2 1-15/3,20 jan,Mar-DEC sun",
            "5-55/10 0-23 LW 1,feb 5#2",
            "? H L-3 * 5L",
            "0 0 15W 1 mon-7",
        ] {
            let fields = checked(text).unwrap();
            let told = fields.notes.iter();
            let told = told.filter(|note| {
                !note.starts_with("Both day fields")
                    && !note.contains("no part of cron's own lines")
            });
            assert_eq!((fields.cron.as_str(), told.count()), (text, 0));
        }
    }

    #[test]
    fn a_step_as_large_as_its_field_leaves_the_first_value() {
        let fields = checked("*/60 0-23/24 1-31/31 */12 *").unwrap();
        assert_eq!((fields.cron.as_str(), fields.notes.len()), ("0 0 1 1 *", 4));
        assert!(fields.notes[0].contains("runs `0` alone"), "{fields:?}");
    }

    #[test]
    fn an_impossible_value_names_its_field() {
        for (text, part) in [
            ("60 * * * *", "the minute `60` is impossible"),
            ("* 24 * * *", "the hour `24`"),
            ("* * 0 * *", "the day of month `0`"),
            ("* * * 13 *", "the month `13`"),
            ("* * * * 8", "the day of week `8`"),
            ("jan * * * *", "the minute `jan`"),
            ("1,,2 * * * *", "empty member"),
            ("*/0 * * * *", "step"),
            (
                "*/90 * * * *",
                "the minute `*/90` has a step larger than the 60 of the field: cron runs `0`",
            ),
            ("* 8-18/36 * * *", "cron runs `8` alone"),
            ("* * * * sat-sun", "backwards"),
            ("* 1-2-3 * * *", "the hour `1-2-3`"),
            ("* * 1$ * *", "the day of month `1$`"),
            ("99999999999999999999 * * * *", "the minute"),
            ("0~59/5 * * * *", "random range with a step"),
            ("* 9~5 * * *", "backwards"),
        ] {
            let reason = checked(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn a_random_range_becomes_a_stable_draw_with_a_note() {
        let fields = checked("~ 8~17 ~7 * ~").unwrap();
        assert_eq!(fields.cron, "H(0-59) H(8-17) H(1-7) * H(0-6)");
        assert_eq!(fields.notes.len(), 5);
    }

    #[test]
    fn what_only_others_know_is_told() {
        let count = |text| checked(text).unwrap().notes.len();
        assert_eq!(count("H/15 * * * *"), 1);
        assert_eq!(count("0 0 L * ?"), 2);
        assert_eq!(count("0 0 * * 5#2"), 1);
        assert_eq!(count("H,H,H * * * *"), 1, "once");
    }

    #[test]
    fn that_either_day_field_is_enough_is_told() {
        let told = |text| checked(text).unwrap().notes;
        assert!(told("0 10 1-7 * 0")[0].contains("on either"));
        for text in ["0 10 1-7 * *", "0 10 * * 0", "0 10 */2 * 1"] {
            assert_eq!(told(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_step_without_a_range_is_noted() {
        let fields = checked("5/10 * * * *").unwrap();
        assert_eq!(fields.cron, "5/10 * * * *");
        assert!(fields.notes[0].contains("without a range"));
    }
}
