//! What a preview says.

use super::{Schedule, ScheduleSpec, cron_in, every, instant, span};
use crate::domain::schedule::{preview, tzdb_version};

/// The local time and the reasons of each fire from `from` (excluded) to `until` (excluded).
fn shown(zone: &str, cron: &str, from: &str, until: &str) -> Vec<String> {
    preview(
        &cron_in(zone, cron),
        instant(from),
        Some(instant(until)),
        10,
    )
    .into_iter()
    .map(|fire| format!("{} {}", fire.local, fire.reasons.join("; ")))
    .collect()
}

#[test]
fn a_gap_is_explained() {
    let (from, until) = ("2026-03-08T05:00:00Z", "2026-03-08T12:00:00Z");
    assert_eq!(
        shown("America/New_York", "30 2 * * *", from, until),
        [
            "2026-03-08T03:00:00-04:00[America/New_York] 02:30 does not exist on 2026-03-08 in \
          America/New_York: runs at the gap's end 03:00"
        ]
    );
    assert_eq!(
        shown("America/New_York", "15,45 2 * * *", from, until),
        [
            "2026-03-08T03:00:00-04:00[America/New_York] 02:15 and 02:45 do not exist on 2026-03-08 \
          in America/New_York: run once, at the gap's end 03:00"
        ]
    );
    let elapsed = shown(
        "America/New_York",
        "0 */2 * * *",
        "2026-03-08T04:59:59Z",
        until,
    );
    assert_eq!(elapsed[0], "2026-03-08T00:00:00-05:00[America/New_York] ");
    assert!(
        elapsed[1].contains("04:00:00-04:00[America/New_York] 02:00 does not exist on 2026-03-08"),
        "{}",
        elapsed[1]
    );
    assert!(elapsed[1].contains("passed over"), "{}", elapsed[1]);
    assert!(elapsed[2].ends_with("] "), "{}", elapsed[2]);
}

#[test]
fn an_overlap_is_explained() {
    let (from, until) = ("2026-11-01T04:00:00Z", "2026-11-01T08:00:00Z");
    assert_eq!(
        shown("America/New_York", "30 1 * * *", from, until),
        [
            "2026-11-01T01:30:00-04:00[America/New_York] 01:30 occurs twice on 2026-11-01 in \
          America/New_York: runs at the first pass"
        ]
    );
    let hourly = shown("America/New_York", "@hourly", from, until);
    assert!(
        hourly[0].contains("this is the first pass of two"),
        "{}",
        hourly[0]
    );
    assert!(
        hourly[1].contains("this is the second pass"),
        "{}",
        hourly[1]
    );
    assert!(hourly[2].ends_with("] "), "{}", hourly[2]);
}

#[test]
fn the_day_field_that_matched_is_named() {
    let fires = shown(
        "UTC",
        "0 0 13 * FRI",
        "2026-02-12T00:00:00Z",
        "2026-03-14T00:00:00Z",
    );
    assert!(fires[0].contains("both match"), "{}", fires[0]);
    assert!(fires[1].contains("day of week matches"), "{}", fires[1]);
    let fires = shown(
        "UTC",
        "0 0 13 * FRI",
        "2026-06-12T00:00:00Z",
        "2026-06-14T00:00:00Z",
    );
    assert!(fires[0].contains("day of month matches"), "{}", fires[0]);
}

#[test]
fn a_spread_is_told_and_the_end_is_excluded() {
    let spec = ScheduleSpec {
        spread: Some(span("10m")),
        ..every("1h")
    };
    let schedule = Schedule::parse(&spec, "nightly-backup", "UTC").unwrap();
    let (from, until) = (
        instant("2026-06-01T00:00:00Z"),
        instant("2026-06-01T03:00:00Z"),
    );
    let fires = preview(&schedule, from, Some(until), 10);
    assert_eq!(fires.len(), 2);
    for fire in &fires {
        assert_eq!(fire.due_at, schedule.due_at(fire.nominal_at));
        assert!(
            fire.reasons[0].starts_with("spread by "),
            "{:?}",
            fire.reasons
        );
    }
    assert_eq!(preview(&schedule, from, None, 5).len(), 5);
    assert_eq!(preview(&schedule, from, None, 0).len(), 0);
}

#[test]
fn the_tz_database_tells_its_version() {
    assert!(!tzdb_version().is_empty());
}
