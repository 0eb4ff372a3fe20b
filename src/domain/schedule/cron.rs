//! A parsed cron expression, matched against local time that knows no zone.

use super::{
    civil::{DAY, Date, month_length, weekday},
    days::{self, Months},
};

/// The sets a cron expression stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    pub(super) seconds: u64,
    pub(super) minutes: u64,
    pub(super) hours: u64,
    /// Bit 1 is January.
    pub(super) months: u64,
    /// The days on which it runs, both day fields taken together.
    pub(super) days: Months,
    /// What each day field alone matches, when either is enough: kept to explain a fire.
    pub(super) either: Option<Box<(Months, Months)>>,
    /// The minute or hour field starts with `*`: it follows elapsed time and not the clock's face.
    pub(super) elapsed: bool,
}

impl Cron {
    /// The first match in `[from, upto)`, in seconds of local time.
    pub(super) fn first_in(&self, from: i64, upto: i64) -> Option<i64> {
        if from >= upto {
            return None;
        }
        let mut today = from.div_euclid(DAY);
        let mut time = from.rem_euclid(DAY) as u32;
        let mut date = Date::from_days(today);
        let mut first_day = today - i64::from(date.day) + 1;
        loop {
            let length = month_length(date.year, date.month);
            let mut open = 0;
            if self.months >> date.month & 1 == 1 {
                let all = days::in_month(&self.days, length, weekday(first_day));
                open = all & (u32::MAX << date.day);
            }
            while open != 0 {
                let day = first_day + i64::from(open.trailing_zeros()) - 1;
                if day != today {
                    time = 0;
                }
                if let Some(found) = self.time_from(time) {
                    let found = day * DAY + i64::from(found);
                    return (found < upto).then_some(found);
                }
                open &= open - 1;
            }
            first_day += i64::from(length);
            if first_day * DAY >= upto {
                return None;
            }
            (today, time) = (first_day, 0);
            date = Date {
                year: date.year + i64::from(date.month == 12),
                month: date.month % 12 + 1,
                day: 1,
            };
        }
    }

    /// The first time of day at or after `time`, in seconds since midnight.
    fn time_from(&self, time: u32) -> Option<u32> {
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        let first_second = next(self.seconds, 0)?;
        if self.hours >> hour & 1 == 1 {
            if self.minutes >> minute & 1 == 1
                && let Some(second) = next(self.seconds, second)
            {
                return Some(hour * 3_600 + minute * 60 + second);
            }
            if let Some(minute) = next(self.minutes, minute + 1) {
                return Some(hour * 3_600 + minute * 60 + first_second);
            }
        }
        let hour = next(self.hours, hour + 1)?;
        Some(hour * 3_600 + next(self.minutes, 0)? * 60 + first_second)
    }

    /// The longest stretch of years, of at most `enough`, in which no day matches; `None` when no
    /// day ever does.
    ///
    /// The calendar repeats after 400 years, so this needs no clock, and what is accepted today is
    /// accepted when it is read back in ten years.
    pub(super) fn longest_wait_years(&self) -> Option<i64> {
        let fires_in = |year: &i64| {
            (1..=12).any(|month| {
                let first = Date {
                    year: *year,
                    month,
                    day: 1,
                };
                let length = month_length(*year, month);
                self.months >> month & 1 == 1
                    && days::in_month(&self.days, length, weekday(first.to_days())) != 0
            })
        };
        let first = (2000..2400).find(fires_in)?;
        let mut last = first;
        let mut longest = 0;
        for year in (first + 1..=first + 400).filter(fires_in) {
            longest = longest.max(year - last);
            last = year;
        }
        Some(longest)
    }
}

/// The lowest number of the set that is at least `from`, which is at most 60.
fn next(set: u64, from: u32) -> Option<u32> {
    let rest = set & (u64::MAX << from);
    (rest != 0).then(|| rest.trailing_zeros())
}
