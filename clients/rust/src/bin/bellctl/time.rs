//! Moments and lengths as people type them, and as they read them.

use std::{str::FromStr, time::Duration};

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, Zoned, civil::DateTime, tz::TimeZone};

/// A point in time that may depend on now and on a zone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Moment {
    Instant(Timestamp),
    /// On the clock of the zone that the command is about.
    Civil(DateTime),
    /// So long from now, or before now.
    FromNow(SignedDuration),
}

impl Moment {
    /// The instant that is meant. A time that daylight saving skips is moved on by the gap, and of
    /// one that comes twice the first is meant.
    pub(crate) fn resolve(
        &self,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<Timestamp, jiff::Error> {
        match self {
            Self::Instant(instant) => Ok(*instant),
            Self::Civil(civil) => zone.to_timestamp(*civil),
            Self::FromNow(length) => now.checked_add(*length),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "now" {
            return Ok(Self::FromNow(SignedDuration::ZERO));
        }
        if let Some(length) = text.strip_prefix('+') {
            return Ok(Self::FromNow(length_of(length)?));
        }
        if let Some(length) = text.strip_prefix('-') {
            return Ok(Self::FromNow(-length_of(length)?));
        }
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Ok(Self::Instant(instant));
        }
        if text.contains('[')
            && let Ok(zoned) = text.parse::<Zoned>()
        {
            return Ok(Self::Instant(zoned.timestamp()));
        }
        // A date alone is midnight.
        text.parse::<DateTime>().map(Self::Civil).map_err(|_| {
            "expected a time such as `2026-03-08T02:00:00Z`, `2026-03-08T02:00`, `2026-03-08`, \
             `now`, `-2h` or `+30m`"
                .to_owned()
        })
    }
}

/// A length of time, such as `90s`, `1h30m` or `7d`; a day is 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length(pub(crate) Duration);

impl Length {
    pub(crate) fn to_proto(self) -> Option<prost_types::Duration> {
        prost_types::Duration::try_from(self.0).ok()
    }
}

impl FromStr for Length {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let length = length_of(text)?;
        Duration::try_from(length)
            .map(Self)
            .map_err(|_| "expected a length that is not negative".to_owned())
    }
}

fn length_of(text: &str) -> Result<SignedDuration, String> {
    let expected = || "expected a length such as `90s`, `30m`, `1h30m` or `7d`".to_owned();
    let span: Span = text.parse().map_err(|_| expected())?;
    if text.starts_with(['-', '+']) || span.get_months() != 0 || span.get_years() != 0 {
        return Err(expected());
    }
    span.to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| expected())
}

pub(crate) fn to_proto(instant: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: instant.as_second(),
        nanos: instant.subsec_nanosecond(),
    }
}

pub(crate) fn from_proto(instant: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(instant.seconds, instant.nanos).ok()
}

/// Shows instants in the reader's zone, as short as they can be, with how far they are from now.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) now: Timestamp,
    pub(crate) zone: TimeZone,
}

impl Clock {
    /// Such as `Mar 08 02:00:05 (in 3 h)`; `-` for none.
    pub(crate) fn show(&self, instant: Option<&prost_types::Timestamp>) -> String {
        let Some(instant) = instant.and_then(from_proto) else {
            return "-".to_owned();
        };
        format!("{} ({})", self.absolute(instant), self.relative(instant))
    }

    /// The same with the whole date and the zone, as for what is kept: `2026-03-08 02:00:05 CET (in 3 h)`; `-` for none.
    pub(crate) fn dated(&self, instant: Option<&prost_types::Timestamp>) -> String {
        let Some(known) = instant.and_then(from_proto) else {
            return "-".to_owned();
        };
        format!("{} ({})", self.date(instant), self.relative(known))
    }

    /// Such as `2026-03-08 02:00:05 CET`; `-` for none.
    pub(crate) fn date(&self, instant: Option<&prost_types::Timestamp>) -> String {
        let Some(instant) = instant.and_then(from_proto) else {
            return "-".to_owned();
        };
        let then = instant.to_zoned(self.zone.clone());
        then.strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    fn absolute(&self, instant: Timestamp) -> String {
        let then = instant.to_zoned(self.zone.clone());
        let today = self.now.to_zoned(self.zone.clone());
        let format = if then.date() == today.date() {
            "%H:%M:%S"
        } else if then.year() == today.year() {
            "%b %d %H:%M:%S"
        } else {
            "%Y-%m-%d %H:%M"
        };
        then.strftime(format).to_string()
    }

    fn relative(&self, instant: Timestamp) -> String {
        let distance = instant.duration_since(self.now);
        let length = short_length(distance.unsigned_abs());
        if distance.unsigned_abs() < Duration::from_secs(1) {
            "now".to_owned()
        } else if distance.is_negative() {
            format!("{length} ago")
        } else {
            format!("in {length}")
        }
    }

    /// The time between two instants, or since the first where there is no second; `-` for none.
    pub(crate) fn between(
        &self,
        start: Option<&prost_types::Timestamp>,
        end: Option<&prost_types::Timestamp>,
    ) -> String {
        let Some(start) = start.and_then(from_proto) else {
            return "-".to_owned();
        };
        let end = end.and_then(from_proto).unwrap_or(self.now);
        let length = end.duration_since(start);
        if length.is_negative() {
            return "0 s".to_owned();
        }
        exact_length(length.unsigned_abs())
    }
}

/// `-` for none.
pub(crate) fn show_length(length: Option<&prost_types::Duration>) -> String {
    let Some(length) = length else {
        return "-".to_owned();
    };
    match Duration::try_from(*length) {
        Ok(length) => exact_length(length),
        // `try_from` hands back a negative length as its absolute value.
        Err(_) => format!("{}.{:03} s", length.seconds, length.nanos.abs() / 1_000_000),
    }
}

/// In the two largest units, such as `2 h 5 min`.
pub(crate) fn exact_length(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 if length.is_zero() => "0 s".to_owned(),
        0 => format!("{} ms", length.as_millis().max(1)),
        1..10 => format!("{:.1} s", length.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        return format!("{large} {large_unit}");
    }
    format!("{large} {large_unit} {small} {small_unit}")
}

/// In the largest unit alone: a hint.
fn short_length(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The zone of this machine, or UTC where that is not known.
pub(crate) fn local_zone() -> TimeZone {
    TimeZone::system()
}

/// Now, to the second that has begun: what is derived from it is read and compared by people, and `now`
/// must not lie in the future.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
#[path = "time_tests.rs"]
mod tests;
