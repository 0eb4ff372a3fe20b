//! One field of a cron expression: lists, ranges, steps, names and `H`, as a set of bits.

use super::hash;

/// Which field it is, and what may stand in it.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) min: u32,
    pub(super) max: u32,
    /// The largest number `H` draws: every month has a 28th.
    hash_max: u32,
    /// Names, the first of which means `min`.
    names: &'static [&'static str],
    /// What may be written, as an error message says it.
    pub(super) expected: &'static str,
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

pub(super) const SECOND: Field = Field {
    name: "second",
    min: 0,
    max: 59,
    hash_max: 59,
    names: &[],
    expected: "0 to 59, such as 0, */10, 5-20 or H",
};
pub(super) const MINUTE: Field = Field {
    name: "minute",
    expected: "0 to 59, such as 30, */15, 0-29/10 or H",
    ..SECOND
};
pub(super) const HOUR: Field = Field {
    name: "hour",
    min: 0,
    max: 23,
    hash_max: 23,
    names: &[],
    expected: "0 to 23, such as 2, */6, 9-17 or H(0-6)",
};
pub(super) const DAY_OF_MONTH: Field = Field {
    name: "day of month",
    min: 1,
    max: 31,
    hash_max: 28,
    names: &[],
    expected: "1 to 31, L, L-3, 15W or LW, such as 1,15",
};
pub(super) const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    hash_max: 12,
    names: &MONTHS,
    expected: "1 to 12 or JAN to DEC, such as 1-3 or JAN,JUL",
};
/// 7 is Sunday once more, so that `5-7` can be written; it is folded onto 0 afterwards.
pub(super) const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    min: 0,
    max: 7,
    hash_max: 6,
    names: &WEEKDAYS,
    expected: "0 to 7 or SUN to SAT (0 and 7 are Sunday), FRI#2 or 5L, such as MON-FRI",
};

/// Why an element cannot be read; the caller adds which field it stands in and what is expected.
pub(super) type Reason = String;

impl Field {
    /// Reads one element of a list into a set of numbers.
    pub(super) fn element(&self, text: &str, task_name: &str) -> Result<u64, Reason> {
        // In a day field it stands alone: see `is_any_day`.
        if text.contains('?') {
            return Err(
                "`?` stands for a whole day field, and for nothing else; of six fields the first is the second"
                    .to_owned(),
            );
        }
        let (base, step) = match text.split_once('/') {
            Some((base, step)) => (base, Some(self.step(step)?)),
            None => (text, None),
        };
        if base.is_empty() {
            return Err("an empty element".to_owned());
        }
        if base.starts_with(['H', 'h']) {
            return self.hashed(base, step, task_name);
        }
        let (from, upto) = self.base(base, step.is_some())?;
        Ok(every(from, upto, step.unwrap_or(1)))
    }

    /// Reads a number or a name.
    pub(super) fn number(&self, text: &str) -> Result<u32, Reason> {
        let name = self.names.iter().position(|n| n.eq_ignore_ascii_case(text));
        if let Some(index) = name {
            return Ok(self.min + index as u32);
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(match self.names {
                [] => format!("{text:?} is not a number"),
                _ => format!("{text:?} is neither a number nor a name"),
            });
        }
        match text.parse::<u32>() {
            Ok(number) if number < self.min => Err(format!("{number} is below {}", self.min)),
            Ok(number) if number <= self.max => Ok(number),
            _ => Err(format!("{text} is above {}", self.max)),
        }
    }

    fn base(&self, base: &str, stepped: bool) -> Result<(u32, u32), Reason> {
        if base == "*" {
            // A step over the whole week must not count Sunday at both its ends.
            return Ok((self.min, self.max.min(self.min + self.span() - 1)));
        }
        if let Some((from, upto)) = base.split_once('-') {
            return self.range(from, upto);
        }
        let from = self.number(base)?;
        Ok((from, if stepped { self.max } else { from }))
    }

    fn range(&self, from: &str, upto: &str) -> Result<(u32, u32), Reason> {
        let (low, mut high) = (self.number(from)?, self.number(upto)?);
        // A range that ends with the name SUN means the Sunday at the week's end.
        if self.max == 7 && low > 0 && upto.eq_ignore_ascii_case("SUN") {
            high = 7;
        }
        if low > high {
            return Err(format!(
                "the range {from}-{upto} runs backwards; a range may not wrap around, write {from}-{},{}-{upto}",
                self.max, self.min
            ));
        }
        Ok((low, high))
    }

    fn step(&self, text: &str) -> Result<u32, Reason> {
        let wrong = || {
            format!(
                "the step {text:?} is not a number from 1 to {}",
                self.span() - 1
            )
        };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let step = text.parse::<u32>().map_err(|_| wrong())?;
        // One as large as the field takes its first number alone, and whoever writes it means something else.
        if step == self.span() {
            return Err(format!("{}, and {step} would fire once in all", wrong()));
        }
        if step == 0 || step > self.span() {
            return Err(wrong());
        }
        Ok(step)
    }

    /// How many different values the field has.
    fn span(&self) -> u32 {
        match self.max {
            7 => 7,
            max => max - self.min + 1,
        }
    }

    fn hashed(&self, base: &str, step: Option<u32>, task_name: &str) -> Result<u64, Reason> {
        let (low, high) = match &base[1..] {
            "" => (self.min, self.hash_max),
            range => {
                let range = range
                    .strip_prefix('(')
                    .and_then(|rest| rest.strip_suffix(')'))
                    .and_then(|rest| rest.split_once('-'));
                let Some((from, upto)) = range else {
                    return Err(format!("{base:?} is not H or H(from-to)"));
                };
                self.range(from, upto)?
            }
        };
        let drawn = hash::draw(task_name, self.name.as_bytes());
        let count = high - low + 1;
        Ok(match step {
            None => 1 << (low + (drawn % u64::from(count)) as u32),
            Some(step) if step > count => {
                return Err(format!(
                    "the step {step} is longer than the range {low}-{high}"
                ));
            }
            Some(step) => every(low + (drawn % u64::from(step)) as u32, high, step),
        })
    }
}

fn every(from: u32, upto: u32, step: u32) -> u64 {
    let numbers = (from..=upto).step_by(step as usize);
    numbers.fold(0, |set, number| set | 1 << number)
}
