//! Intervals, one-shots, start and end, spread and the specification's text.

use std::time::Duration;

use jiff::Timestamp;

use super::{Schedule, ScheduleSpec, cron_in, every, instant, span};

fn parse(spec: &ScheduleSpec) -> Schedule {
    Schedule::parse(spec, "nightly-backup", "Europe/Paris").unwrap()
}

#[test]
fn a_specification_is_read_and_written_back() {
    let text =
        r#"{"every":"1h30m","phase":"PT5M","spread":"30s","start_at":"2026-01-01T00:00:00Z"}"#;
    let spec: ScheduleSpec = serde_json::from_str(text).unwrap();
    assert_eq!(spec.every, Some(span("90m")));
    assert_eq!(spec.phase, Some(span("300s")));
    let written = serde_json::to_string(&spec).unwrap();
    assert_eq!(
        serde_json::from_str::<ScheduleSpec>(&written).unwrap(),
        spec
    );
    assert!(!written.contains("cron"), "{written}");
}

#[test]
fn an_empty_specification_is_manual() {
    let schedule = parse(&ScheduleSpec::default());
    assert!(schedule.is_manual());
    assert_eq!(schedule.next_after(Timestamp::UNIX_EPOCH), None);
    assert_eq!(schedule.count(Timestamp::MIN, Timestamp::MAX), 0);
    assert_eq!(schedule.time_zone(), "Europe/Paris");
}

#[test]
fn an_interval_is_anchored_at_the_epoch_plus_its_phase() {
    let spec = ScheduleSpec {
        phase: Some(span("5m")),
        ..every("7h")
    };
    let schedule = parse(&spec);
    let next = schedule
        .next_after(instant("2026-06-01T00:00:00Z"))
        .unwrap();
    assert_eq!((next.as_second() - 300) % (7 * 3_600), 0);
    assert_eq!(schedule.next_after(next), Some(next + span("7h")));
    let before_epoch = schedule.next_after(instant("1969-12-31T23:00:00Z"));
    assert_eq!(before_epoch, Some(instant("1970-01-01T00:05:00Z")));
    assert_eq!(schedule.count(Timestamp::MIN, Timestamp::MAX), 25_043_938);
}

#[test]
fn an_instant_runs_once_and_never_early() {
    let spec = ScheduleSpec {
        at: Some(instant("2026-06-01T00:00:00.25Z")),
        ..ScheduleSpec::default()
    };
    let schedule = parse(&spec);
    let slot = instant("2026-06-01T00:00:01Z");
    assert_eq!(
        schedule.next_after(instant("2020-01-01T00:00:00Z")),
        Some(slot)
    );
    assert_eq!(schedule.next_after(slot), None);
    assert_eq!(
        schedule.last_between(Timestamp::MIN, Timestamp::MAX),
        Some(slot)
    );
}

#[test]
fn start_and_end_are_both_included() {
    let spec = ScheduleSpec {
        start_at: Some(instant("2026-06-01T01:00:00Z")),
        end_at: Some(instant("2026-06-01T03:00:00.999Z")),
        ..every("1h")
    };
    let schedule = parse(&spec);
    let slots: Vec<_> = schedule.slots(Timestamp::MIN, Timestamp::MAX).collect();
    assert_eq!(slots.len(), 3);
    assert_eq!(slots[0], instant("2026-06-01T01:00:00Z"));
    assert_eq!(slots[2], instant("2026-06-01T03:00:00Z"));
    assert_eq!(schedule.count(Timestamp::MIN, Timestamp::MAX), 3);
    assert_eq!(schedule.next_after(slots[2]), None);
    let spec = ScheduleSpec {
        start_at: Some(instant("2026-06-01T01:00:00.001Z")),
        ..spec
    };
    assert_eq!(parse(&spec).count(Timestamp::MIN, Timestamp::MAX), 2);
}

#[test]
fn a_fraction_of_a_second_neither_loses_nor_repeats_a_slot() {
    let schedule = cron_in("UTC", "* * * * * *");
    for text in ["2026-06-01T00:00:00Z", "1969-06-01T00:00:00Z"] {
        let second = instant(text);
        let next = second + Duration::from_secs(1);
        assert_eq!(schedule.next_after(second), Some(next));
        assert_eq!(
            schedule.next_after(second + Duration::from_millis(500)),
            Some(next)
        );
        assert_eq!(
            schedule.next_after(second - Duration::from_nanos(1)),
            Some(second)
        );
        assert_eq!(schedule.count(second - Duration::from_nanos(1), second), 1);
        assert_eq!(
            schedule.count(second, second + Duration::from_nanos(999)),
            0
        );
    }
}

#[test]
fn the_ends_of_time_are_safe() {
    for cron in ["* * * * * *", "@yearly", "0 0 29 2 *"] {
        let schedule = cron_in("America/New_York", cron);
        assert!(schedule.next_after(Timestamp::MIN).is_some());
        assert_eq!(schedule.next_after(Timestamp::MAX), None);
        assert!(
            schedule
                .last_between(Timestamp::MIN, Timestamp::MAX)
                .is_some()
        );
        assert_eq!(schedule.last_between(Timestamp::MAX, Timestamp::MIN), None);
        assert_eq!(schedule.due_at(Timestamp::MAX), Timestamp::MAX);
    }
}

#[test]
fn a_count_agrees_with_enumeration_over_years() {
    let (after, upto) = (
        instant("2019-12-31T22:30:10Z"),
        instant("2031-03-04T05:06:07Z"),
    );
    for cron in [
        "30 2 * * *",
        "0 */2 * * *",
        "15,45 1-3 * * *",
        "0 0 L,1W * FRI#2",
        "0 0 29 2 *",
    ] {
        for zone in [
            "America/New_York",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
        ] {
            let schedule = cron_in(zone, cron);
            let enumerated = schedule.slots(after, upto).count() as u64;
            assert_eq!(schedule.count(after, upto), enumerated, "{cron} in {zone}");
        }
    }
}

#[test]
fn equal_text_makes_equal_schedules() {
    assert_eq!(cron_in("UTC", "@daily"), cron_in("UTC", "@daily"));
    assert_ne!(cron_in("UTC", "@daily"), cron_in("Europe/Paris", "@daily"));
    assert_ne!(cron_in("UTC", "@daily"), cron_in("UTC", "0 0 * * *"));
}

#[test]
fn a_spread_differs_by_task_and_never_moves() {
    let spec = ScheduleSpec {
        spread: Some(span("10m")),
        ..every("1h")
    };
    let slot = instant("2026-06-01T00:00:00Z");
    let due = |name: &str| Schedule::parse(&spec, name, "UTC").unwrap().due_at(slot);
    assert_eq!(due("a"), due("a"));
    assert_ne!(due("a"), due("b"));
    // A promise: another hash would move every run at the next release.
    assert_eq!(
        due("nightly-backup").to_string(),
        "2026-06-01T00:02:41.423Z"
    );
    let dues: Vec<_> = (0..200).map(|n| due(&format!("task-{n}")) - slot).collect();
    let late = dues
        .iter()
        .filter(|late| late.get_milliseconds() + late.get_seconds() * 1_000 > 300_000);
    assert!((60..140).contains(&late.count()));
}
