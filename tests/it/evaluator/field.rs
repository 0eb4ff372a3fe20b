//! A field of a line as it is written, with the numbers it stands for.

use sha2::{Digest as _, Sha256};

use super::{TASK, draw::Draw};

/// Whose language a line is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Five fields, and only what cronsim and Watchbell mean the same by.
    ///
    /// Not in it, although cronsim reads it: a stepped range of one number (`5-5/10` is 5, 15, 25, …
    /// there, and 5 alone in Debian's cron and here), a step after `L`, and a step longer than its
    /// field, which is refused here. Not in it, since only Watchbell reads it: `?`, `H`, `L-3`, `15W`,
    /// `FRIL`, `FRI-SUN` and macros. Seconds are not in it: cronsim then leaves Debian's rule.
    Common,
    /// Everything.
    Own,
}

/// What may stand in a field, and what `H` draws in it.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    min: u8,
    max: u8,
    hash_max: u8,
    /// Names, the first of which means `min`.
    names: &'static [&'static str],
}

pub(super) const SECOND: Field = Field {
    name: "second",
    min: 0,
    max: 59,
    hash_max: 59,
    names: &[],
};
pub(super) const MINUTE: Field = Field {
    name: "minute",
    ..SECOND
};
pub(super) const HOUR: Field = Field {
    name: "hour",
    max: 23,
    hash_max: 23,
    ..SECOND
};
pub(super) const DAY_OF_MONTH: Field = Field {
    name: "day of month",
    min: 1,
    max: 31,
    hash_max: 28,
    names: &[],
};
pub(super) const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    hash_max: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
/// 7 is Sunday once more.
pub(super) const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    min: 0,
    max: 7,
    hash_max: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// A field or an element of one; bit n of the set is the number n.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    pub(super) text: String,
    pub(super) set: u64,
}

impl Numbers {
    pub(super) fn holds(&self, number: i8) -> bool {
        self.set >> number & 1 == 1
    }

    pub(super) fn count(&self) -> u32 {
        self.set.count_ones()
    }

    /// Whether the field as a whole starts with a star, of which `?` is another spelling.
    pub(super) fn is_star(&self) -> bool {
        self.text.starts_with(['*', '?'])
    }

    /// Several elements as one field.
    pub(super) fn list(elements: &[Self]) -> Self {
        let texts: Vec<&str> = elements.iter().map(|part| part.text.as_str()).collect();
        Self {
            text: texts.join(","),
            set: elements.iter().fold(0, |set, part| set | part.set),
        }
    }
}

impl Field {
    /// A whole field; seven numbers of ten are among those that are `near`.
    pub(super) fn draw(&self, draw: &mut Draw, near: &[u8], dialect: Dialect) -> Numbers {
        match draw.below(100) {
            0..8 => self.all(draw, dialect),
            8..26 => self.all_stepped(draw, dialect),
            26..70 => self.element(draw, near, dialect),
            _ => {
                let count = 2 + draw.below(3);
                let elements: Vec<Numbers> = (0..count)
                    .map(|_| self.element(draw, near, dialect))
                    .collect();
                Numbers::list(&elements)
            }
        }
    }

    /// `*`
    pub(super) fn all(&self, draw: &mut Draw, dialect: Dialect) -> Numbers {
        Numbers {
            text: star(draw, dialect).to_owned(),
            set: self.every(self.min, self.min + self.width() - 1, 1),
        }
    }

    /// `*/5`
    pub(super) fn all_stepped(&self, draw: &mut Draw, dialect: Dialect) -> Numbers {
        let step = draw.between(1, self.width());
        Numbers {
            text: format!("{}/{step}", star(draw, dialect)),
            set: self.every(self.min, self.min + self.width() - 1, step),
        }
    }

    /// One element of a list.
    pub(super) fn element(&self, draw: &mut Draw, near: &[u8], dialect: Dialect) -> Numbers {
        if dialect == Dialect::Own && draw.chance(12) {
            return self.hashed(draw);
        }
        let (one, other) = (self.number(draw, near), self.number(draw, near));
        let (low, high) = (one.min(other), one.max(other));
        let step = draw.between(1, self.width());
        match draw.below(100) {
            0..8 => Numbers {
                text: format!("{}/{step}", self.word(draw, low)),
                set: self.every(low, self.max, step),
            },
            // In Watchbell's own dialect also a range of one number, with and without a step.
            8..35 if low < high || dialect == Dialect::Own => Numbers {
                text: self.range(draw, low, high, dialect),
                set: self.every(low, high, 1),
            },
            35..50 if low < high || dialect == Dialect::Own => Numbers {
                text: format!("{}/{step}", self.range(draw, low, high, dialect)),
                set: self.every(low, high, step),
            },
            50..54 => self.all_stepped(draw, dialect),
            _ => Numbers {
                text: self.word(draw, one),
                set: self.every(one, one, 1),
            },
        }
    }

    pub(super) fn number(&self, draw: &mut Draw, near: &[u8]) -> u8 {
        if !near.is_empty() && draw.chance(70) {
            return *draw.pick(near);
        }
        draw.between(self.min, self.max)
    }

    /// A number, or its name in any case.
    pub(super) fn word(&self, draw: &mut Draw, number: u8) -> String {
        let name = self.names.get(usize::from(number - self.min));
        match name.filter(|_| draw.chance(50)) {
            Some(name) => in_any_case(draw, name),
            None if draw.chance(5) => format!("{number:02}"),
            None => number.to_string(),
        }
    }

    fn range(&self, draw: &mut Draw, low: u8, high: u8, dialect: Dialect) -> String {
        let low_word = self.word(draw, low);
        let ends_the_week = self.max == 7 && high == 7 && low > 0;
        if ends_the_week && dialect == Dialect::Own && draw.chance(50) {
            return format!("{low_word}-{}", in_any_case(draw, "sun"));
        }
        format!("{low_word}-{}", self.word(draw, high))
    }

    /// `H`, which README and `--help` promise to be drawn from the name of the task.
    fn hashed(&self, draw: &mut Draw) -> Numbers {
        let drawn = hash(self.name);
        let sign = *draw.pick(&["H", "h"]);
        let (mut low, mut high) = (self.min, self.hash_max);
        let mut text = sign.to_owned();
        if draw.chance(50) {
            let (one, other) = (self.number(draw, &[]), self.number(draw, &[]));
            (low, high) = (one.min(other), one.max(other));
            text = format!("{sign}({low}-{high})");
        }
        let width = high - low + 1;
        if draw.chance(40) {
            let step = draw.between(1, width.min(self.width()));
            let first = low + (drawn % u64::from(step)) as u8;
            return Numbers {
                text: format!("{text}/{step}"),
                set: self.every(first, high, step),
            };
        }
        let number = low + (drawn % u64::from(width)) as u8;
        Numbers {
            text,
            set: self.every(number, number, 1),
        }
    }

    /// How many different values there are.
    fn width(&self) -> u8 {
        self.max - self.min + u8::from(self.max != 7)
    }

    fn every(&self, low: u8, high: u8, step: u8) -> u64 {
        let numbers = (low..=high).step_by(usize::from(step));
        let folded = numbers.map(|number| if self.max == 7 { number % 7 } else { number });
        folded.fold(0, |set, number| set | 1 << number)
    }
}

fn star(draw: &mut Draw, dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Own if draw.chance(30) => "?",
        _ => "*",
    }
}

fn in_any_case(draw: &mut Draw, name: &str) -> String {
    let letters = name.chars();
    let mut any = |letter: char| match draw.chance(50) {
        true => letter.to_ascii_uppercase(),
        false => letter,
    };
    letters.map(&mut any).collect()
}

/// The first eight bytes of a digest that no release may change.
fn hash(purpose: &str) -> u64 {
    let digest = Sha256::digest(format!("{TASK}\0{purpose}"));
    let bytes = digest.iter().take(8);
    bytes.fold(0, |number, byte| number << 8 | u64::from(*byte))
}
