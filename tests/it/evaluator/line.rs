//! A line and what it means, known without parsing it.

use jiff::civil::Date;

use super::{
    days::Days,
    draw::Draw,
    field::{Dialect, HOUR, MINUTE, MONTH, Numbers, SECOND},
};

/// Matches of one day above which a line is mostly drawn again: they take long and say little.
const DENSE: u32 = 200;

/// A line of five or six fields, or a macro.
#[derive(Clone, Debug)]
pub(super) struct Line {
    shorthand: Option<&'static str>,
    seconds: Option<Numbers>,
    minutes: Numbers,
    hours: Numbers,
    month_days: Days,
    months: Numbers,
    week_days: Days,
}

/// What happens where: the numbers near which most of a line's are drawn.
#[derive(Clone, Debug, Default)]
pub(super) struct Near {
    pub(super) minutes: Vec<u8>,
    pub(super) hours: Vec<u8>,
    pub(super) month_days: Vec<u8>,
    pub(super) months: Vec<u8>,
    pub(super) week_days: Vec<u8>,
}

impl Line {
    pub(super) fn draw(draw: &mut Draw, near: &Near, dialect: Dialect) -> Self {
        if dialect == Dialect::Own && draw.chance(2) {
            return Self::shorthand(draw);
        }
        let (minutes, hours) = loop {
            let minutes = MINUTE.draw(draw, &near.minutes, dialect);
            let hours = HOUR.draw(draw, &near.hours, dialect);
            if minutes.count() * hours.count() <= DENSE || draw.chance(3) {
                break (minutes, hours);
            }
        };
        let line = Self {
            shorthand: None,
            seconds: None,
            minutes,
            hours,
            month_days: Days::of_month(draw, &near.month_days, dialect),
            months: match draw.chance(75) {
                true => MONTH.all(draw, dialect),
                false => MONTH.draw(draw, &near.months, dialect),
            },
            week_days: Days::of_week(draw, &near.week_days, dialect),
        };
        match dialect == Dialect::Own && draw.chance(50) {
            true => line.with_seconds(draw, near),
            false => line,
        }
    }

    fn with_seconds(self, draw: &mut Draw, near: &Near) -> Self {
        let seconds = SECOND.draw(draw, &[0, 1, 30, 59], Dialect::Own);
        // A line of every second has few minutes.
        let minutes = match seconds.count() * self.minutes.count() * self.hours.count() <= DENSE {
            true => self.minutes,
            false => MINUTE.element(draw, &near.minutes, Dialect::Own),
        };
        let hours = match seconds.count() * minutes.count() * self.hours.count() <= 4 * DENSE {
            true => self.hours,
            false => HOUR.element(draw, &near.hours, Dialect::Own),
        };
        Self {
            seconds: Some(seconds),
            minutes,
            hours,
            ..self
        }
    }

    /// A line of one time of day, for those who look at the days.
    pub(super) fn daily(draw: &mut Draw, hour: u8) -> Self {
        let number = |number: u8| Numbers {
            text: number.to_string(),
            set: 1 << number,
        };
        Self {
            shorthand: None,
            seconds: None,
            minutes: number(0),
            hours: number(hour),
            month_days: Days::of_month(draw, &[], Dialect::Own),
            months: MONTH.draw(draw, &[], Dialect::Own),
            week_days: Days::of_week(draw, &[], Dialect::Own),
        }
    }

    fn shorthand(draw: &mut Draw) -> Self {
        const DAYS: u64 = 0xffff_fffe;
        const MONTHS: u64 = 0x1ffe;
        const WEEK: u64 = 0x7f;
        // Of `@hourly` the hour field is a star; in all others minute and hour are 0.
        let (name, hours, month_days, months, week_days) = *draw.pick(&[
            ("@hourly", 0xff_ffff, DAYS, MONTHS, WEEK),
            ("@daily", 1, DAYS, MONTHS, WEEK),
            ("@MIDNIGHT", 1, DAYS, MONTHS, WEEK),
            ("@weekly", 1, DAYS, MONTHS, 1),
            ("@Monthly", 1, 1 << 1, MONTHS, WEEK),
            ("@yearly", 1, 1 << 1, 1 << 1, WEEK),
            ("@annually", 1, 1 << 1, 1 << 1, WEEK),
        ]);
        let numbers = |text: &str, set| Numbers {
            text: text.to_owned(),
            set,
        };
        let (month_days, week_days) = Days::of_macro(month_days, week_days);
        Self {
            shorthand: Some(name),
            seconds: None,
            minutes: numbers("0", 1),
            hours: numbers(if hours == 1 { "0" } else { "*" }, hours),
            month_days,
            months: numbers("*", months),
            week_days,
        }
    }

    pub(super) fn text(&self) -> String {
        if let Some(name) = self.shorthand {
            return name.to_owned();
        }
        let fields = [
            &self.minutes.text,
            &self.hours.text,
            &self.month_days.text,
            &self.months.text,
            &self.week_days.text,
        ];
        let seconds = self.seconds.iter().map(|seconds| &seconds.text);
        let texts: Vec<&str> = seconds.chain(fields).map(String::as_str).collect();
        texts.join(" ")
    }

    /// Whether it follows elapsed time, and not the face of the clock.
    pub(super) fn is_elapsed(&self) -> bool {
        self.minutes.is_star() || self.hours.is_star()
    }

    /// Whether it runs on every day there is.
    pub(super) fn is_of_every_day(&self) -> bool {
        self.month_days.is_open() && self.week_days.is_open() && self.months.count() == 12
    }

    pub(super) fn holds_on(&self, date: Date) -> bool {
        let (month_day, week_day) = (self.month_days.holds(date), self.week_days.holds(date));
        let both = self.month_days.is_star() || self.week_days.is_star();
        let day = match both {
            true => month_day && week_day,
            false => month_day || week_day,
        };
        day && self.months.holds(date.month())
    }

    /// Whether the hour and the minute match; the seconds of a match are [`Self::seconds`].
    pub(super) fn holds_at(&self, hour: i8, minute: i8) -> bool {
        self.minutes.holds(minute) && self.hours.holds(hour)
    }

    pub(super) fn seconds(&self) -> impl Iterator<Item = i8> {
        let set = self.seconds.as_ref().map_or(1, |seconds| seconds.set);
        (0..60).filter(move |second| set >> second & 1 == 1)
    }
}
