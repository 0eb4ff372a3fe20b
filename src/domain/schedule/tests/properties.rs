//! Properties that hold for any schedule: order, spread, and that every question agrees.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::{Schedule, ScheduleSpec, instant};

const ZONES: [&str; 6] = [
    "UTC",
    "America/New_York",
    "Europe/Paris",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Africa/Casablanca",
];
const LINES: [&str; 16] = [
    "* * * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "15,45 1-3 * * *",
    "*/20 30 2 * * *",
    "0 */6 * * MON-FRI",
    "0 0 L * *",
    "0 0 15W * *",
    "0 9 * * FRI#2",
    "0 0 13 * FRI",
    "0 0 29 2 *",
    "H H * * *",
    "H/15 * * * *",
    "@weekly",
    "@yearly",
];

fn schedules() -> impl Strategy<Value = Schedule> {
    let zone = prop::sample::select(&ZONES[..]);
    let cron =
        prop::sample::select(&LINES[..]).prop_map(|line| (Some(line.to_owned()), None, None));
    let interval = (1_u64..200_000, 0_u64..200_000).prop_map(|(every, phase)| {
        let every_for = Duration::from_secs(every);
        (
            None,
            Some(every_for),
            Some(Duration::from_secs(phase % every)),
        )
    });
    let window = (prop::option::of(instants()), 0_i64..400 * 86_400);
    let spread = prop::option::of((0_u64..900_000).prop_map(Duration::from_millis));
    (zone, prop_oneof![3 => cron, 1 => interval], window, spread).prop_filter_map(
        "a window without a slot",
        |(zone, (cron, every, phase), (start_at, length), spread)| {
            let end_at = start_at.map(|start| start + Duration::from_secs(length.unsigned_abs()));
            let spec = ScheduleSpec {
                cron,
                every,
                phase,
                start_at,
                end_at,
                spread,
                ..ScheduleSpec::default()
            };
            Schedule::parse(&spec, "nightly-backup", zone).ok()
        },
    )
}

/// Instants of the years 2025 to 2027, fractions of a second included.
fn instants() -> impl Strategy<Value = Timestamp> {
    let first = instant("2025-01-01T00:00:00Z").as_millisecond();
    (0..3 * 365 * 86_400_000_i64)
        .prop_map(move |ms| Timestamp::from_millisecond(first + ms).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slots_rise_strictly_and_lie_in_the_range(
        schedule in schedules(), after in instants(), length in 0_u64..40 * 86_400_000,
    ) {
        let upto = after + Duration::from_millis(length);
        let mut last = after;
        for slot in schedule.slots(after, upto).take(2_000) {
            prop_assert!(slot > last && slot <= upto);
            prop_assert_eq!(slot.subsec_nanosecond(), 0);
            prop_assert_eq!(schedule.next_after(last), Some(slot));
            last = slot;
        }
    }

    #[test]
    fn count_and_newest_agree_with_the_slots(
        schedule in schedules(), after in instants(), length in 0_u64..20_000_000,
    ) {
        let upto = after + Duration::from_millis(length);
        let slots: Vec<_> = schedule.slots(after, upto).collect();
        prop_assert_eq!(schedule.count(after, upto), slots.len() as u64);
        prop_assert_eq!(schedule.last_between(after, upto), slots.last().copied());
    }

    #[test]
    fn the_newest_slot_of_a_long_range_has_none_after_it(
        schedule in schedules(), upto in instants(),
    ) {
        let found = schedule.last_between(Timestamp::MIN, upto);
        match found {
            Some(slot) => {
                prop_assert!(slot <= upto);
                prop_assert!(schedule.next_after(slot).is_none_or(|next| next > upto));
            }
            None => prop_assert!(schedule.next_after(Timestamp::MIN).is_none_or(|next| next > upto)),
        }
    }

    #[test]
    fn a_spread_stays_before_the_next_slot(schedule in schedules(), after in instants()) {
        if let Some(slot) = schedule.next_after(after) {
            let due_at = schedule.due_at(slot);
            prop_assert!(due_at >= slot);
            prop_assert_eq!(due_at, schedule.clone().due_at(slot));
            let spread = schedule.spec().spread.unwrap_or_default();
            prop_assert!(due_at <= slot + spread);
            if let Some(next) = schedule.next_after(slot) {
                prop_assert!(due_at < next);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[-0-9*/,?LWH#() @a-zé]{0,24}") {
        let spec = ScheduleSpec { cron: Some(text), ..ScheduleSpec::default() };
        let _ = Schedule::parse(&spec, "nightly-backup", "UTC");
    }

    #[test]
    fn no_fields_make_the_parser_panic(fields in prop::collection::vec("[-0-9*/,?LWH#]{1,6}", 5..=6)) {
        let spec = ScheduleSpec { cron: Some(fields.join(" ")), ..ScheduleSpec::default() };
        if let Ok(schedule) = Schedule::parse(&spec, "nightly-backup", "UTC") {
            prop_assert!(schedule.next_after(Timestamp::UNIX_EPOCH).is_some());
        }
    }
}
