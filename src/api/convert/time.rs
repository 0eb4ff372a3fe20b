//! Instants and spans, on the wire.

use jiff::Timestamp;

use crate::{
    domain::bounds::{EXPECTED_INSTANT, meant},
    error::{Error, Result},
};

pub(in crate::api) fn stamp(at: Timestamp) -> prost_types::Timestamp {
    let (mut seconds, mut nanos) = (at.as_second(), at.subsec_nanosecond());
    if nanos < 0 {
        seconds -= 1;
        nanos += 1_000_000_000;
    }
    prost_types::Timestamp { seconds, nanos }
}

pub(in crate::api) fn stamp_of(at: Option<Timestamp>) -> Option<prost_types::Timestamp> {
    at.map(stamp)
}

pub(in crate::api) fn span(span: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        // Below 1,000,000,000.
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

/// An instant from outside.
pub(in crate::api) fn instant(field: &str, at: &prost_types::Timestamp) -> Result<Timestamp> {
    if !(0..1_000_000_000).contains(&at.nanos) {
        return Err(Error::invalid(field, "nanos: expected 0 to 999,999,999"));
    }
    let read = Timestamp::new(at.seconds, at.nanos).map_err(|_| EXPECTED_INSTANT);
    let read = read
        .and_then(meant)
        .map_err(|expected| Error::invalid(field, expected))?;
    Ok(crate::clock::cut(read))
}

pub(in crate::api) fn instant_of(
    field: &str,
    at: Option<&prost_types::Timestamp>,
) -> Result<Option<Timestamp>> {
    at.map(|at| instant(field, at)).transpose()
}

/// A span from outside.
pub(in crate::api) fn duration(
    field: &str,
    span: &prost_types::Duration,
) -> Result<std::time::Duration> {
    let wrong = || Error::invalid(field, "expected a span that is not negative");
    let seconds = u64::try_from(span.seconds).map_err(|_| wrong())?;
    let nanos = u32::try_from(span.nanos).map_err(|_| wrong())?;
    if 1_000_000_000 <= nanos {
        return Err(Error::invalid(field, "nanos: expected 0 to 999,999,999"));
    }
    Ok(std::time::Duration::new(seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_go_there_and_back_and_wrong_ones_name_their_field() {
        for text in ["2026-03-08T07:00:00.5Z", "1969-12-31T23:59:59.25Z"] {
            let at: Timestamp = text.parse().unwrap();
            assert_eq!(instant("x", &stamp(at)).unwrap(), at);
        }
        // What comes before and after what is accepted, jiff's own bounds, and nonsense.
        for seconds in [
            -62_135_596_801,
            253_370_764_800,
            Timestamp::MIN.as_second(),
            Timestamp::MAX.as_second(),
            i64::MIN,
            i64::MAX,
        ] {
            let wrong = prost_types::Timestamp { seconds, nanos: 0 };
            let error = instant("after_time", &wrong).unwrap_err().to_string();
            assert!(error.contains("after_time"), "{seconds}: {error}");
        }
        let wrong = prost_types::Duration {
            seconds: -1,
            nanos: 0,
        };
        assert!(duration("late_after", &wrong).is_err());
    }
}
