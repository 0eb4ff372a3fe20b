//! Bounds of instants that come from outside: what each can mean where it stands.
//!
//! Any of them has a year that a calendar can write. What lies in a filter needs no more; what something is reckoned from
//! has bounds of its own, which the message tells.

use jiff::{SignedDuration, Timestamp};

use crate::error::{Error, Result};

/// The first and the last instant that anyone outside may name: years that RFC 3339 and a calendar can write, with room on
/// both sides for what is reckoned from them.
pub const FIRST_INSTANT: Timestamp = Timestamp::constant(-62_135_596_800, 0);
/// The last second of 9998.
pub const LAST_INSTANT: Timestamp = Timestamp::constant(253_370_764_799, 0);

/// Words for an error that expected such an instant.
pub const EXPECTED_INSTANT: &str = "expected an instant from the year 1 to the year 9998";

/// How long a pause may last that has an end: who means longer, gives none.
const PAUSE_AT_MOST: SignedDuration = SignedDuration::from_hours(3660 * 24);
/// Before the instant from which intervals are counted no task can have had slots.
const FIRST_SLOT: Timestamp = Timestamp::UNIX_EPOCH;

/// An instant from outside, where it is one that can be meant.
///
/// # Errors
/// What was expected.
pub fn meant(at: Timestamp) -> Result<Timestamp, &'static str> {
    match (FIRST_INSTANT..=LAST_INSTANT).contains(&at) {
        true => Ok(at),
        false => Err(EXPECTED_INSTANT),
    }
}

/// Checks when a pause is to end that begins at `now`.
///
/// # Errors
/// [`Error::Invalid`] for `until_time`.
pub fn pause_end(until: Option<Timestamp>, now: Timestamp) -> Result<()> {
    let Some(until) = until else { return Ok(()) };
    let field = "until_time";
    if until <= now {
        let what = format!("{until} is past; expected an instant after {now}");
        return Err(Error::invalid(field, what));
    }
    let last = now.checked_add(PAUSE_AT_MOST).unwrap_or(LAST_INSTANT);
    if last < until {
        let what = format!(
            "{until} is too far away; expected an instant up to {last}, or none for a pause that someone ends"
        );
        return Err(Error::invalid(field, what));
    }
    Ok(())
}

/// Checks the span of a backfill; answers where it begins, as whoever asks for all there ever was names an instant before
/// any slot.
///
/// # Errors
/// [`Error::Invalid`] for `end_time`.
pub fn backfill(start: Timestamp, end: Timestamp, now: Timestamp) -> Result<Timestamp> {
    if now < end {
        let what = format!("{end} lies in the future; expected at most {now}");
        return Err(Error::invalid("end_time", what));
    }
    if end <= start {
        let what = format!("expected an instant after start_time {start}");
        return Err(Error::invalid("end_time", what));
    }
    Ok(start.max(FIRST_SLOT))
}

/// Checks that a span that is asked for does not end before it begins; `end` is its field. One that ends where it begins
/// holds nothing.
///
/// # Errors
/// [`Error::Invalid`] for that field.
pub fn ordered(
    (begin, since): (&str, Option<Timestamp>),
    (end, before): (&str, Option<Timestamp>),
) -> Result<()> {
    match (since, before) {
        (Some(since), Some(before)) if before < since => {
            let what = format!("{before} given; expected an instant from {begin} on, {since}");
            Err(Error::invalid(end, what))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn wrong<T: std::fmt::Debug>(checked: Result<T>) -> String {
        checked.unwrap_err().wrong_fields().unwrap()
    }

    #[test]
    fn a_pause_ends_within_ten_years() {
        let now = at("2026-03-02T12:00:00Z");
        for right in ["2026-03-02T12:00:01Z", "2036-03-01T12:00:00Z"] {
            pause_end(Some(at(right)), now).unwrap();
        }
        pause_end(None, now).unwrap();
        for until in ["2026-03-02T12:00:00Z", "0001-01-01T00:00:00Z"] {
            assert!(wrong(pause_end(Some(at(until)), now)).contains("is past"));
        }
        let told = wrong(pause_end(Some(LAST_INSTANT), now));
        assert!(told.contains("2036-03"), "{told}");
    }

    #[test]
    fn a_backfill_begins_with_the_first_slot_and_ends_by_now() {
        let now = at("2026-03-02T12:00:00Z");
        let hour = at("2026-03-02T11:00:00Z");
        assert_eq!(backfill(hour, now, now).unwrap(), hour);
        // All there ever was.
        assert_eq!(backfill(FIRST_INSTANT, now, now).unwrap(), FIRST_SLOT);
        let told = wrong(backfill(FIRST_INSTANT, LAST_INSTANT, now));
        assert!(
            told.contains("end_time: ") && told.contains("2026-03-02"),
            "{told}"
        );
        assert!(wrong(backfill(now, now, now)).contains("end_time"));
    }

    #[test]
    fn a_span_does_not_end_before_it_begins() {
        let (one, other) = (Some(FIRST_SLOT), Some(LAST_INSTANT));
        ordered(("since", one), ("before", other)).unwrap();
        ordered(("since", one), ("before", one)).unwrap();
        ordered(("since", None), ("before", one)).unwrap();
        let told = wrong(ordered(("since", other), ("before", one)));
        assert!(told.starts_with("before: "), "{told}");
    }
}
