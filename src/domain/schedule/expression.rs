//! Reads a cron expression. Every refusal says which field, what was written and what was expected.

use super::{
    cron::Cron,
    days::{self, Months},
    field::{DAY_OF_MONTH, DAY_OF_WEEK, Field, HOUR, MINUTE, MONTH, Reason, SECOND},
};
use crate::error::{Error, Result};

/// Longer than any sensible expression; it bounds the work of reading one.
const MAX_LENGTH: usize = 1_000;
/// 29 February waits 8 years at most, around 2100.
const MAX_WAIT_YEARS: i64 = 8;

/// Reads a cron expression of five or six fields, or a macro.
///
/// # Errors
/// `Invalid` on `schedule.cron`.
pub(super) fn read(text: &str, task_name: &str) -> Result<Cron> {
    let cron =
        read_fields(text, task_name).map_err(|reason| Error::invalid("schedule.cron", reason))?;
    let reason = match cron.longest_wait_years() {
        Some(years) if years <= MAX_WAIT_YEARS => return Ok(cron),
        Some(years) => format!("waits up to {years} years for"),
        None => "never fires: no year has".to_owned(),
    };
    Err(Error::invalid(
        "schedule.cron",
        format!(
            "{text:?} {reason} a day that its day of month, month and day of week fields allow; \
             expected one at least every {MAX_WAIT_YEARS} years, such as 0 0 28 2 * or 0 0 L 2 *"
        ),
    ))
}

fn read_fields(text: &str, task_name: &str) -> Result<Cron, Reason> {
    if text.len() > MAX_LENGTH {
        return Err(format!(
            "{} bytes are too long; expected at most {MAX_LENGTH}",
            text.len()
        ));
    }
    let text = text.trim();
    let expanded = if text.starts_with('@') {
        expand(text)?
    } else {
        text
    };
    let fields: Vec<&str> = expanded.split_ascii_whitespace().collect();
    if let Some(reason) = misread(text, &fields) {
        return Err(reason);
    }
    let (second, [minute, hour, day, month, weekday]) = match fields[..] {
        [minute, hour, day, month, weekday] => ("0", [minute, hour, day, month, weekday]),
        [second, minute, hour, day, month, weekday] => {
            (second, [minute, hour, day, month, weekday])
        }
        _ => return Err(miscounted(text, fields.len())),
    };
    let numbers = |field: &Field, written: &str| -> Result<u64, Reason> {
        let mut set = 0;
        for element in written.split(',') {
            let part = field.element(element, task_name);
            set |= part.map_err(|reason| refusal(field, written, reason))?;
        }
        Ok(set)
    };
    let any = |written| if written == "?" { "*" } else { written };
    let (day, weekday) = (any(day), any(weekday));
    let month_days = day_table(&DAY_OF_MONTH, day, |text| days::month_day(text, task_name))?;
    let week_days = day_table(&DAY_OF_WEEK, weekday, |text| {
        days::week_day(text, task_name)
    })?;
    let both = is_star(day) || is_star(weekday);
    let days = days::combine(
        &month_days,
        &week_days,
        |a, b| if both { a & b } else { a | b },
    );
    Ok(Cron {
        seconds: numbers(&SECOND, second)?,
        minutes: numbers(&MINUTE, minute)?,
        hours: numbers(&HOUR, hour)?,
        months: numbers(&MONTH, month)?,
        days,
        either: (!both).then(|| Box::new((month_days, week_days))),
        elapsed: is_star(minute) || is_star(hour),
    })
}

/// What a field starts with decides, as in Debian's cron: `*/2` is a star, `0-23` is none.
fn is_star(field: &str) -> bool {
    field.starts_with('*')
}

fn day_table(
    field: &Field,
    written: &str,
    read: impl Fn(&str) -> Result<Months, Reason>,
) -> Result<Months, Reason> {
    let mut table = Months::default();
    for element in written.split(',') {
        let part = read(element).map_err(|reason| refusal(field, written, reason))?;
        table = days::combine(&table, &part, |a, b| a | b);
    }
    Ok(table)
}

fn refusal(field: &Field, written: &str, reason: Reason) -> Reason {
    format!(
        "{} {written:?}: {reason}; expected {}",
        field.name, field.expected
    )
}

fn expand(text: &str) -> Result<&'static str, Reason> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@reboot" => {
            return Err(
                "@reboot names no time, and a replica that restarts must not run a task \
                 again; expected a time, such as @daily, or a manual schedule"
                    .to_owned(),
            );
        }
        other if other.starts_with("@every") => {
            return Err(format!(
                "{text:?} is an interval; expected it in the field every, such as every = \"5m\""
            ));
        }
        _ => {
            return Err(format!(
                "{text:?} is no macro; expected @hourly, @daily, @midnight, @weekly, @monthly, @yearly or @annually"
            ));
        }
    })
}

/// Refusal of a line that is written for another program, and may have as many fields as it should all the same.
fn misread(text: &str, fields: &[&str]) -> Option<Reason> {
    let in_front = fields.first().is_some_and(|first| first.contains("TZ="));
    if in_front {
        return Some(format!(
            "{text:?} names a time zone; expected it in the field time_zone, such as \"Europe/Paris\""
        ));
    }
    let torn = |field: &&str| 1 < field.len() && (field.starts_with(',') || field.ends_with(','));
    if fields.contains(&",") || fields.iter().any(torn) {
        return Some(format!(
            "{text:?} has a list that is torn; expected one without blanks: a list has no spaces, such as MON,FRI"
        ));
    }
    None
}

fn miscounted(text: &str, count: usize) -> Reason {
    let hint = match count {
        7 => "; a year cannot be told by a field: start_at and end_at can",
        _ => "",
    };
    format!(
        "{text:?} has {count} fields; expected 5 (minute, hour, day of month, month, day of week) \
         or 6 (second first), such as 30 2 * * * or 0 30 2 * * *{hint}"
    )
}
