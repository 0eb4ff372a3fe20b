//! The day fields of a line: elements that mean other days in every month.

use jiff::{
    ToSpan as _,
    civil::{Date, Weekday},
};

use super::{
    draw::Draw,
    field::{DAY_OF_MONTH, DAY_OF_WEEK, Dialect, Numbers},
};

/// A day field.
#[derive(Clone, Debug)]
pub(super) struct Days {
    pub(super) text: String,
    elements: Vec<Day>,
}

/// What one element of a day field means.
#[derive(Clone, Debug)]
enum Day {
    OfMonth(Numbers),
    OfWeek(Numbers),
    /// `L-3`, and `L` with 0.
    BeforeLast(i8),
    /// `15W`
    Nearest(i8),
    /// `LW`
    LastWorkday,
    /// `FRI#2`
    Nth(i8, i8),
    /// `5L`
    Last(i8),
}

impl Days {
    /// The day of month field.
    pub(super) fn of_month(draw: &mut Draw, near: &[u8], dialect: Dialect) -> Self {
        match draw.below(100) {
            0..50 => Self::from(Day::OfMonth(DAY_OF_MONTH.all(draw, dialect))),
            50..60 => Self::from(Day::OfMonth(DAY_OF_MONTH.all_stepped(draw, dialect))),
            _ => Self::list(draw, |draw| month_day(draw, near, dialect)),
        }
    }

    /// The day of week field.
    pub(super) fn of_week(draw: &mut Draw, near: &[u8], dialect: Dialect) -> Self {
        match draw.below(100) {
            0..55 => Self::from(Day::OfWeek(DAY_OF_WEEK.all(draw, dialect))),
            55..65 => Self::from(Day::OfWeek(DAY_OF_WEEK.all_stepped(draw, dialect))),
            _ => Self::list(draw, |draw| week_day(draw, near, dialect)),
        }
    }

    /// Those of a macro, which restricts one of them at most, so that both must match.
    pub(super) fn of_macro(month_days: u64, week_days: u64) -> (Self, Self) {
        let numbers = |set| Numbers {
            text: "*".to_owned(),
            set,
        };
        (
            Self::from(Day::OfMonth(numbers(month_days))),
            Self::from(Day::OfWeek(numbers(week_days))),
        )
    }

    fn list(draw: &mut Draw, mut one: impl FnMut(&mut Draw) -> (String, Day)) -> Self {
        let count = *draw.pick(&[1, 1, 1, 2, 3]);
        let (texts, elements): (Vec<String>, Vec<Day>) = (0..count).map(|_| one(draw)).unzip();
        Self {
            text: texts.join(","),
            elements,
        }
    }

    pub(super) fn holds(&self, date: Date) -> bool {
        self.elements.iter().any(|day| day.holds(date))
    }

    pub(super) fn is_star(&self) -> bool {
        self.text.starts_with(['*', '?'])
    }

    /// Whether it allows every day there is.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.text.as_str(), "*" | "?")
    }
}

impl From<Day> for Days {
    fn from(day: Day) -> Self {
        let text = match &day {
            Day::OfMonth(numbers) | Day::OfWeek(numbers) => numbers.text.clone(),
            _ => String::new(),
        };
        Self {
            text,
            elements: vec![day],
        }
    }
}

fn month_day(draw: &mut Draw, near: &[u8], dialect: Dialect) -> (String, Day) {
    let own = dialect == Dialect::Own;
    match draw.below(100) {
        0..8 => ("L".to_owned(), Day::BeforeLast(0)),
        8..14 => ("LW".to_owned(), Day::LastWorkday),
        14..22 if own => {
            let back = draw.between(1, 30);
            (format!("l-{back}"), Day::BeforeLast(back as i8))
        }
        22..34 if own => {
            let day = DAY_OF_MONTH.number(draw, near);
            (format!("{day}W"), Day::Nearest(day as i8))
        }
        _ => {
            let numbers = DAY_OF_MONTH.element(draw, near, dialect);
            (numbers.text.clone(), Day::OfMonth(numbers))
        }
    }
}

fn week_day(draw: &mut Draw, near: &[u8], dialect: Dialect) -> (String, Day) {
    let own = dialect == Dialect::Own;
    let day = DAY_OF_WEEK.number(draw, near);
    match draw.below(100) {
        0..18 => {
            let nth = draw.between(1, 5);
            let text = format!("{}#{nth}", DAY_OF_WEEK.word(draw, day));
            (text, Day::Nth(day as i8 % 7, nth as i8))
        }
        // cronsim takes a number before the L, and no name.
        18..28 if own => {
            let text = format!("{}l", DAY_OF_WEEK.word(draw, day));
            (text, Day::Last(day as i8 % 7))
        }
        18..28 => (format!("{day}L"), Day::Last(day as i8 % 7)),
        _ => {
            let numbers = DAY_OF_WEEK.element(draw, near, dialect);
            (numbers.text.clone(), Day::OfWeek(numbers))
        }
    }
}

impl Day {
    fn holds(&self, date: Date) -> bool {
        let week_day = |day| Weekday::from_sunday_zero_offset(day).unwrap();
        match self {
            Self::OfMonth(numbers) => numbers.holds(date.day()),
            Self::OfWeek(numbers) => numbers.holds(date.weekday().to_sunday_zero_offset()),
            Self::BeforeLast(back) => date.days_in_month() - date.day() == *back,
            Self::Nearest(day) => {
                let wanted = Date::new(date.year(), date.month(), *day);
                wanted.is_ok_and(|wanted| nearest_workday(wanted) == date)
            }
            Self::LastWorkday => {
                let mut last = date.last_of_month();
                while !is_workday(last) {
                    last = last.yesterday().unwrap();
                }
                last == date
            }
            Self::Nth(day, nth) => {
                date.nth_weekday_of_month(*nth, week_day(*day)).ok() == Some(date)
            }
            Self::Last(day) => date.nth_weekday_of_month(-1, week_day(*day)).ok() == Some(date),
        }
    }
}

/// The nearest day of the same month that is no weekend.
fn nearest_workday(wanted: Date) -> Date {
    let candidates = [0, -1, 1, -2, 2].map(|days| wanted.checked_add(days.days()).unwrap());
    let fits = |date: &&Date| is_workday(**date) && date.month() == wanted.month();
    *candidates.iter().find(fits).unwrap()
}

fn is_workday(date: Date) -> bool {
    !matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}
