//! What people may type as a time, and what they get to read.

use super::*;

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn resolve(text: &str, zone: &str) -> Timestamp {
    let zone = TimeZone::get(zone).unwrap();
    let moment: Moment = text.parse().unwrap();
    moment
        .resolve(instant("2026-03-01T12:00:00Z"), &zone)
        .unwrap()
}

#[test]
fn an_instant_with_an_offset_needs_no_zone() {
    let there = instant("2026-03-08T07:00:00Z");
    for text in [
        "2026-03-08T07:00:00Z",
        "2026-03-08T02:00:00-05:00",
        "2026-03-08T08:00:00+01:00[Europe/Paris]",
    ] {
        assert_eq!(resolve(text, "Asia/Tokyo"), there, "{text}");
    }
}

#[test]
fn a_time_without_an_offset_is_read_in_the_zone() {
    for text in [
        "2026-03-08T02:00",
        "2026-03-08T02:00:00",
        "2026-03-08 02:00",
    ] {
        assert_eq!(
            resolve(text, "Europe/Paris"),
            instant("2026-03-08T01:00:00Z"),
            "{text}"
        );
    }
    assert_eq!(
        resolve("2026-03-08", "America/New_York"),
        instant("2026-03-08T05:00:00Z")
    );
}

#[test]
fn a_time_that_daylight_saving_skips_is_moved_on_by_the_gap() {
    assert_eq!(
        resolve("2026-03-08T02:30", "America/New_York"),
        instant("2026-03-08T07:30:00Z")
    );
}

#[test]
fn relative_times_count_from_now() {
    for (text, expected) in [
        ("now", "2026-03-01T12:00:00Z"),
        ("-2h", "2026-03-01T10:00:00Z"),
        ("+30m", "2026-03-01T12:30:00Z"),
        ("+1d", "2026-03-02T12:00:00Z"),
        ("-1h30m", "2026-03-01T10:30:00Z"),
    ] {
        assert_eq!(resolve(text, "UTC"), instant(expected), "{text}");
    }
}

#[test]
fn nonsense_is_refused_with_examples() {
    for text in ["", "tomorrow", "+", "2h", "2026-13-01", "+-2h", "+1mo"] {
        let error = text.parse::<Moment>().unwrap_err();
        assert!(error.contains("such as"), "{text:?}: {error}");
    }
}

#[test]
fn lengths_are_positive_and_a_day_has_24_hours() {
    assert_eq!("90s".parse(), Ok(Length(Duration::from_secs(90))));
    assert_eq!("1h30m".parse(), Ok(Length(Duration::from_secs(5_400))));
    assert_eq!("7d".parse(), Ok(Length(Duration::from_secs(604_800))));
    assert_eq!("100ms".parse(), Ok(Length(Duration::from_millis(100))));
    for text in ["", "-5s", "5", "1mo", "1y", "soon"] {
        assert!(text.parse::<Length>().is_err(), "{text:?}");
    }
}

#[test]
fn times_are_shown_short_with_a_hint() {
    let clock = Clock {
        now: instant("2026-03-01T12:00:00Z"),
        zone: TimeZone::get("Europe/Paris").unwrap(),
    };
    for (shown, expected) in [
        ("2026-03-01T12:05:00Z", "13:05:00 (in 5 min)"),
        ("2026-03-01T12:00:00Z", "13:00:00 (now)"),
        ("2026-02-27T12:00:00Z", "Feb 27 13:00:00 (2 d ago)"),
        ("2025-12-31T12:00:00Z", "2025-12-31 13:00 (60 d ago)"),
    ] {
        assert_eq!(clock.show(Some(&to_proto(instant(shown)))), expected);
    }
    assert_eq!(clock.show(None), "-");
}

#[test]
fn lengths_are_shown_in_two_units() {
    for (milliseconds, expected) in [
        (0, "0 s"),
        (12, "12 ms"),
        (1_500, "1.5 s"),
        (45_000, "45 s"),
        (125_000, "2 min 5 s"),
        (7_200_000, "2 h"),
        (93_600_000, "1 d 2 h"),
    ] {
        assert_eq!(exact_length(Duration::from_millis(milliseconds)), expected);
    }
}
