//! The two day fields of a cron expression: which days of a month match.
//!
//! A month is known by its length and the weekday it begins with, 28 shapes in all. So whatever a
//! day field says, `L` and `15W` included, is worked out once for each shape when it is parsed.

use super::field::{DAY_OF_MONTH, DAY_OF_WEEK, Reason};

/// The days that match, bit 1 to 31, by the month's length less 28 and its first weekday.
pub(super) type Months = [[u32; 7]; 4];

/// The days that match in a month of this shape.
pub(super) fn in_month(months: &Months, length: u32, first_weekday: u32) -> u32 {
    months[(length - 28) as usize][first_weekday as usize]
}

/// Combines two tables.
pub(super) fn combine(a: &Months, b: &Months, with: impl Fn(u32, u32) -> u32) -> Months {
    by_shape(|length, first| with(in_month(a, length, first), in_month(b, length, first)))
}

/// One element of the day of month field.
#[derive(Clone, Copy, Debug)]
enum MonthDay {
    Numbers(u32),
    /// `L`, or `L-3` for three days before it.
    BeforeLast(u32),
    /// `15W`: the weekday nearest to the 15th within the month.
    NearestWeekday(u32),
    /// `LW`
    LastWeekday,
}

/// One element of the day of week field.
#[derive(Clone, Copy, Debug)]
enum WeekDay {
    Numbers(u32),
    /// `FRI#2`: the second Friday.
    Nth(u32, u32),
    /// `5L`: the last Friday.
    Last(u32),
}

/// Reads one element of the day of month field.
pub(super) fn month_day(text: &str, task_name: &str) -> Result<Months, Reason> {
    let element = read_month_day(text, task_name)?;
    Ok(by_shape(|length, first| match element {
        MonthDay::Numbers(days) => days & within(length),
        MonthDay::BeforeLast(back) => bit(length.saturating_sub(back)),
        MonthDay::NearestWeekday(day) => nearest_weekday(day, length, first),
        MonthDay::LastWeekday => match weekday(length, first) {
            0 => bit(length - 2),
            6 => bit(length - 1),
            _ => bit(length),
        },
    }))
}

/// Reads one element of the day of week field.
pub(super) fn week_day(text: &str, task_name: &str) -> Result<Months, Reason> {
    let element = read_week_day(text, task_name)?;
    Ok(by_shape(|length, first| {
        let mut days = 1..=length;
        match element {
            WeekDay::Numbers(set) => days
                .filter(|day| set >> weekday(*day, first) & 1 == 1)
                .fold(0, |days, day| days | bit(day)),
            WeekDay::Nth(wanted, nth) => days
                .filter(|day| weekday(*day, first) == wanted)
                .nth(nth as usize - 1)
                .map_or(0, bit),
            WeekDay::Last(wanted) => days
                .rfind(|day| weekday(*day, first) == wanted)
                .map_or(0, bit),
        }
    }))
}

fn read_month_day(text: &str, task_name: &str) -> Result<MonthDay, Reason> {
    let upper = text.to_ascii_uppercase();
    if upper == "L" {
        return Ok(MonthDay::BeforeLast(0));
    }
    if upper == "LW" {
        return Ok(MonthDay::LastWeekday);
    }
    if let Some(back) = upper.strip_prefix("L-") {
        return match back.parse::<u32>() {
            Ok(days) if (1..=30).contains(&days) => Ok(MonthDay::BeforeLast(days)),
            _ => Err(format!("{text:?} counts back {back:?} days, not 1 to 30")),
        };
    }
    if let Some(day) = upper.strip_suffix('W') {
        return Ok(MonthDay::NearestWeekday(DAY_OF_MONTH.number(day)?));
    }
    let days = DAY_OF_MONTH.element(text, task_name)?;
    Ok(MonthDay::Numbers(days as u32))
}

fn read_week_day(text: &str, task_name: &str) -> Result<WeekDay, Reason> {
    if text.eq_ignore_ascii_case("L") {
        return Err(
            "L alone could be Saturday or Sunday; write 6, 0, or 6L for the last Saturday"
                .to_owned(),
        );
    }
    if let Some((day, nth)) = text.split_once('#') {
        let wanted = DAY_OF_WEEK.number(day)? % 7;
        return match nth.parse::<u32>() {
            Ok(nth) if (1..=5).contains(&nth) => Ok(WeekDay::Nth(wanted, nth)),
            _ => Err(format!(
                "{text:?} asks for number {nth:?} of the month, not 1 to 5"
            )),
        };
    }
    if let Some(day) = text.strip_suffix(['L', 'l']) {
        return Ok(WeekDay::Last(DAY_OF_WEEK.number(day)? % 7));
    }
    let set = DAY_OF_WEEK.element(text, task_name)? as u32;
    Ok(WeekDay::Numbers((set | set >> 7) & 0x7f))
}

/// The weekday nearest to a day, never in another month; nothing if the month has no such day.
fn nearest_weekday(day: u32, length: u32, first: u32) -> u32 {
    if day > length {
        return 0;
    }
    match weekday(day, first) {
        6 if day == 1 => bit(3),
        6 => bit(day - 1),
        0 if day == length => bit(day - 2),
        0 => bit(day + 1),
        _ => bit(day),
    }
}

fn by_shape(days: impl Fn(u32, u32) -> u32) -> Months {
    let mut months = Months::default();
    for (length, row) in (28..).zip(&mut months) {
        for (first, cell) in (0..).zip(row) {
            *cell = days(length, first);
        }
    }
    months
}

fn weekday(day: u32, first: u32) -> u32 {
    (first + day - 1) % 7
}

/// Day 0 is no day: `L-30` in a month of 30 days.
fn bit(day: u32) -> u32 {
    if day == 0 { 0 } else { 1 << day }
}

fn within(length: u32) -> u32 {
    (((1_u64 << length) - 1) << 1) as u32
}
