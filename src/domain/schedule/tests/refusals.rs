//! What is refused, with the field, what was written and what was expected.

use super::{Schedule, ScheduleSpec, every, instant, span};
use crate::error::Error;

fn refused(spec: &ScheduleSpec) -> (String, String) {
    match Schedule::parse(spec, "nightly-backup", "UTC") {
        Err(Error::Invalid { field, reason }) => (field, reason),
        other => panic!("{spec:?}: {other:?}"),
    }
}

#[test]
fn a_cron_line_is_refused_by_its_field() {
    let table = [
        (
            "61 * * * *",
            "minute \"61\": 61 is above 59; expected 0 to 59",
        ),
        ("-1 * * * *", "minute \"-1\": \"\" is not a number"),
        ("x * * * *", "minute \"x\": \"x\" is not a number"),
        ("1,,2 * * * *", "minute \"1,,2\": an empty element"),
        ("99999999999 * * * *", "99999999999 is above 59"),
        (
            "0 24 * * *",
            "hour \"24\": 24 is above 23; expected 0 to 23",
        ),
        (
            "0 22-2 * * *",
            "the range 22-2 runs backwards; a range may not wrap around, write 22-23,0-2",
        ),
        ("0 0 0 * *", "day of month \"0\": 0 is below 1"),
        ("0 0 32 * *", "32 is above 31"),
        ("0 0 L-31 * *", "counts back \"31\" days"),
        ("0 0 L-x * *", "not 1 to 30"),
        ("0 0 32W * *", "32 is above 31"),
        ("0 0 1-5W * *", "\"1-5\" is not a number"),
        (
            "0 0 1 13 *",
            "month \"13\": 13 is above 12; expected 1 to 12 or JAN to DEC",
        ),
        (
            "0 0 1 JANUARY *",
            "\"JANUARY\" is neither a number nor a name",
        ),
        ("0 0 1 NOV-FEB *", "write NOV-12,1-FEB"),
        ("0 0 * * 8", "day of week \"8\": 8 is above 7"),
        ("0 0 * * 5-1", "runs backwards"),
        ("0 0 * * L", "L alone could be Saturday or Sunday"),
        ("0 0 * * FRI#6", "not 1 to 5"),
        ("0 0 * * #1", "neither a number nor a name"),
        ("*/0 * * * *", "the step \"0\" is not a number from 1 to 59"),
        (
            "*/90 * * * *",
            "the step \"90\" is not a number from 1 to 59",
        ),
        ("*/ * * * *", "the step \"\""),
        ("/5 * * * *", "an empty element"),
        ("1/+5 * * * *", "the step \"+5\""),
        ("H( * * * *", "\"H(\" is not H or H(from-to)"),
        ("H(5) * * * *", "\"H(5)\" is not H or H(from-to)"),
        ("H(9-5) * * * *", "runs backwards"),
        (
            "H(0-4)/10 * * * *",
            "the step 10 is longer than the range 0-4",
        ),
        ("60 * * * * *", "second \"60\": 60 is above 59"),
        ("* * * *", "has 4 fields; expected 5"),
        ("0 0 0 1 1 * 2026", "has 7 fields"),
        ("0 * * ? * 1 2099", "a year cannot be told by a field"),
        ("*/60 * * * *", "and 60 would fire once in all"),
        (
            "0 */24 * * *",
            "the step \"24\" is not a number from 1 to 23",
        ),
        ("0 0 */31 * *", "the step"),
        ("0 0 1 */12 *", "the step"),
        ("0 0 * * */7", "the step \"7\" is not a number from 1 to 6"),
        ("H/60 * * * *", "the step"),
        ("*/60 * * * * *", "second \"*/60\": the step"),
        (
            "0 10 * * ? *",
            "month \"?\": `?` stands for a whole day field",
        ),
        ("* ? * * * *", "minute \"?\": `?` stands"),
        ("? * * * *", "minute \"?\""),
        ("0 ?/12 * * *", "hour \"?/12\": `?` stands"),
        ("0 0 ?/12 * *", "day of month \"?/12\": `?` stands"),
        ("0 0 * * ?,1", "day of week \"?,1\": `?` stands"),
        (
            "0 0 * * MON, FRI 1",
            "a list has no spaces, such as MON,FRI",
        ),
        ("0 2 1, 15 * *", "a list has no spaces"),
        ("0 2 1 ,15 * *", "a list has no spaces"),
        ("0 2 1 , 15 * *", "a list has no spaces"),
        (
            "TZ=Europe/Paris 0 2 * * *",
            "expected it in the field time_zone",
        ),
        ("", "has 0 fields"),
        ("é * * * *", "\"é\" is not a number"),
        ("Hé * * * *", "is not H or H(from-to)"),
        (
            "CRON_TZ=UTC 0 0 * * *",
            "expected it in the field time_zone",
        ),
        (
            "CRON_TZ=UTC 0 0 0 * * *",
            "expected it in the field time_zone",
        ),
        ("@reboot", "@reboot names no time"),
        ("@every 5m", "expected it in the field every"),
        (
            "@fortnightly",
            "\"@fortnightly\" is no macro; expected @hourly",
        ),
        ("0 0 31 2 *", "never fires: no year has a day"),
        ("0 0 30 2 ?", "never fires"),
        ("0 0 L-30 4,6 *", "never fires"),
        ("0 0 ? 2 5#5", "waits up to 40 years"),
    ];
    for (cron, expected) in table {
        let spec = ScheduleSpec {
            cron: Some(cron.to_owned()),
            ..ScheduleSpec::default()
        };
        let (field, reason) = refused(&spec);
        assert_eq!(field, "schedule.cron", "{cron}");
        assert!(reason.contains(expected), "{cron}: {reason}");
        assert!(reason.contains("expected"), "{cron}: {reason}");
    }
}

#[test]
fn a_leap_day_is_not_refused() {
    let spec = ScheduleSpec {
        cron: Some("0 0 29 2 *".to_owned()),
        ..ScheduleSpec::default()
    };
    let schedule = Schedule::parse(&spec, "t", "UTC").unwrap();
    let next = schedule.next_after(instant("2096-03-01T00:00:00Z"));
    assert_eq!(next, Some(instant("2104-02-29T00:00:00Z")));
}

#[test]
fn the_other_fields_are_refused_by_name() {
    let none = ScheduleSpec::default;
    let at = |text| Some(instant(text));
    let hour = || every("1h");
    let cron = |text: &str| ScheduleSpec {
        cron: Some(text.to_owned()),
        ..none()
    };
    let table = [
        (
            ScheduleSpec {
                time_zone: Some("Paris".into()),
                ..hour()
            },
            "schedule.time_zone",
            "did you mean \"Europe/Paris\"?",
        ),
        (
            ScheduleSpec {
                time_zone: Some("localtime".into()),
                ..hour()
            },
            "schedule.time_zone",
            "is no zone of the tz database",
        ),
        (
            ScheduleSpec {
                time_zone: Some("right/Europe/Paris".into()),
                ..hour()
            },
            "schedule.time_zone",
            "means something else on each machine",
        ),
        (
            ScheduleSpec {
                time_zone: Some("+02:00".into()),
                ..hour()
            },
            "schedule.time_zone",
            "expected an IANA name",
        ),
        (
            ScheduleSpec {
                time_zone: Some(String::new()),
                ..hour()
            },
            "schedule.time_zone",
            "expected an IANA name",
        ),
        (every("1500ms"), "schedule.every", "whole number of seconds"),
        (every("0s"), "schedule.every", "whole number of seconds"),
        (every("999999h"), "schedule.every", "8 years"),
        (
            ScheduleSpec {
                phase: Some(span("1h")),
                ..hour()
            },
            "schedule.phase",
            "below the interval",
        ),
        (
            ScheduleSpec {
                phase: Some(span("1ms")),
                ..hour()
            },
            "schedule.phase",
            "below the interval",
        ),
        (
            ScheduleSpec {
                phase: Some(span("1h")),
                ..cron("@daily")
            },
            "schedule.phase",
            "expected every",
        ),
        (
            ScheduleSpec {
                cron: Some("@daily".into()),
                ..hour()
            },
            "schedule",
            "cron and every are given",
        ),
        (
            ScheduleSpec {
                at: at("2026-01-01T00:00:00Z"),
                ..cron("@daily")
            },
            "schedule",
            "cron and at are given",
        ),
        (
            ScheduleSpec {
                spread: Some(span("1us")),
                ..hour()
            },
            "schedule.spread",
            "milliseconds",
        ),
        (
            ScheduleSpec {
                spread: Some(span("8d")),
                ..hour()
            },
            "schedule.spread",
            "7 days",
        ),
        (
            ScheduleSpec {
                start_at: at("2026-01-02T00:00:00Z"),
                end_at: at("2026-01-01T00:00:00Z"),
                ..hour()
            },
            "schedule.end_at",
            "is before the start",
        ),
        (
            ScheduleSpec {
                start_at: at("2026-01-02T00:00:01Z"),
                end_at: at("2026-01-02T12:00:00Z"),
                ..cron("@daily")
            },
            "schedule.end_at",
            "no slot lies between",
        ),
        (
            ScheduleSpec {
                at: at("2026-01-01T00:00:00Z"),
                start_at: at("2026-01-02T00:00:00Z"),
                ..none()
            },
            "schedule.at",
            "is not between",
        ),
        (
            ScheduleSpec {
                start_at: Some(jiff::Timestamp::MAX),
                ..hour()
            },
            "schedule.start_at",
            "expected an instant from the year 1 to the year 9998",
        ),
        (
            ScheduleSpec {
                end_at: Some(jiff::Timestamp::MIN),
                ..hour()
            },
            "schedule.end_at",
            "expected an instant from the year 1 to the year 9998",
        ),
    ];
    for (spec, expected_field, expected) in table {
        let (field, reason) = refused(&spec);
        assert_eq!(field, expected_field, "{spec:?}: {reason}");
        assert!(reason.contains(expected), "{spec:?}: {reason}");
    }
}

#[test]
fn an_unknown_key_is_refused() {
    let wrong = serde_json::from_str::<ScheduleSpec>(r#"{"corn": "@daily"}"#);
    assert!(wrong.unwrap_err().to_string().contains("corn"));
}
