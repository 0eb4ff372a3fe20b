//! Spans of time as people write them: `90s`, `1h 30m`, `7d`, or ISO 8601 (`PT1H30M`).

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Reads a span. Days and weeks are 24 hours and 7 of those.
///
/// # Errors
/// A sentence that says what was expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!("{text:?} is no span of time: expected one such as 90s, 15m, 1h 30m, 7d or PT1H30M")
    };
    let text = text.trim();
    if let Ok(span) = text.parse::<jiff::SignedDuration>() {
        return Duration::try_from(span).map_err(|_| wrong());
    }
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    let span = span.to_duration(relative).map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

/// Writes a span so that [`parse`] reads it back: whole days as such.
pub fn format(span: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    let printer = jiff::fmt::friendly::SpanPrinter::new();
    let days = span.as_secs() / DAY;
    // More days than these no calendar span holds: hours do.
    if days == 0 || DAYS_MAX < days {
        return printer.unsigned_duration_to_string(&span);
    }
    let rest = span - Duration::from_secs(days * DAY);
    if rest.is_zero() {
        return format!("{days}d");
    }
    format!("{days}d {}", printer.unsigned_duration_to_string(&rest))
}

const DAYS_MAX: u64 = 7_000_000;

/// For `#[serde(with = …)]` on a `Duration`.
pub mod required {
    use super::{Deserialize, Deserializer, Duration, Serializer, de};

    pub fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format(*span))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        super::parse(&text).map_err(de::Error::custom)
    }
}

/// For `#[serde(with = …)]` on an `Option<Duration>`.
pub mod optional {
    use super::{Deserialize, Deserializer, Duration, Serializer, de};

    pub fn serialize<S: Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => to.serialize_some(&super::format(*span)),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let span = text.map(|text| super::parse(&text)).transpose();
        span.map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_and_written_back() {
        for (text, seconds) in [
            ("90s", 90.0),
            ("15m", 900.0),
            ("1h 30m", 5400.0),
            ("7d", 604_800.0),
            ("PT1H30M", 5400.0),
            ("250ms", 0.25),
            ("1w", 604_800.0),
            ("90d", 7_776_000.0),
            ("1d 12h 30m", 131_400.0),
        ] {
            let span = parse(text).unwrap();
            assert_eq!(span.as_secs_f64(), seconds, "{text}");
            assert_eq!(parse(&format(span)).unwrap(), span, "{text}");
        }
    }

    #[test]
    fn whole_days_are_written_as_days() {
        let day = 24 * 60 * 60;
        assert_eq!(format(Duration::from_secs(90 * day)), "90d");
        assert_eq!(format(Duration::from_secs(day + 5400)), "1d 1h 30m");
        assert_eq!(format(Duration::from_secs(5400)), "1h 30m");
        for huge in [u64::MAX / 1_000_000_000, 8_000_000 * day] {
            let huge = Duration::from_secs(huge);
            assert_eq!(parse(&format(huge)).unwrap(), huge);
        }
    }

    #[test]
    fn what_is_no_span_is_told_apart() {
        for text in ["", "soon", "10", "-5s", "1 month"] {
            assert!(parse(text).unwrap_err().contains("expected"), "{text}");
        }
    }
}
