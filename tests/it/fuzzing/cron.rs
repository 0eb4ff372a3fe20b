//! What holds for any text as a cron line.

use std::time::Duration;

use jiff::Timestamp;
use watchbell::{
    clock::Stopwatch,
    domain::schedule::{Schedule, ScheduleSpec, preview},
    error::Error,
};

/// On any machine, however busy; it takes a few milliseconds at most.
const ENOUGH: Duration = Duration::from_secs(5);
/// What took longer is done again: the processor may have been another's.
const TRIES: usize = 3;
const STEPS: usize = 24;
const ZONES: [&str; 4] = [
    "UTC",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
];
/// Before changes of clocks, at the epoch, and where time begins.
const STARTS: [i64; 4] = [1_772_900_000, 1_325_100_000, 0, -377_705_023_201];
const FIELDS: [&str; 6] = [
    "second",
    "minute",
    "hour",
    "day of month",
    "month",
    "day of week",
];

/// The line is refused, soon and with a word that helps; or it always means the same.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let is_soon = || {
        let watch = Stopwatch::start();
        check_once(&text);
        watch.elapsed() < ENOUGH
    };
    assert!(
        (0..TRIES).any(|_| is_soon()),
        "{text:?} takes longer than {ENOUGH:?}"
    );
}

fn check_once(text: &str) {
    for zone in ZONES {
        match parse(text, zone) {
            Ok(schedule) => check_slots(text, zone, &schedule),
            Err(error) => check_refusal(text, &error),
        }
    }
}

fn parse(text: &str, zone: &str) -> Result<Schedule, Error> {
    let spec = ScheduleSpec {
        cron: Some(text.to_owned()),
        ..ScheduleSpec::default()
    };
    Schedule::parse(&spec, "nightly-backup", zone)
}

fn check_refusal(text: &str, error: &Error) {
    let Error::Invalid { field, reason } = error else {
        panic!("{text:?}: {error:?}");
    };
    assert_eq!(field, "schedule.cron", "{text:?}");
    assert!(!reason.contains(char::is_control), "{text:?}: {reason:?}");
    assert!(
        reason.len() <= 1_000 + 12 * text.len(),
        "{text:?}: {reason}"
    );
    assert!(reason.contains("expected"), "{text:?}: {reason}");
    let is_of_fields = matches!(text.trim().split_ascii_whitespace().count(), 5 | 6);
    if is_of_fields && text.len() <= 1_000 && !text.trim().starts_with('@') {
        let names_one = FIELDS.iter().any(|name| reason.starts_with(name));
        let of_all = [
            "never fires",
            "waits up to",
            "names a time zone",
            "a list has no spaces",
        ];
        let of_all = of_all.iter().any(|words| reason.contains(words));
        assert!(names_one || of_all, "{text:?}: {reason}");
    }
}

fn check_slots(text: &str, zone: &str, schedule: &Schedule) {
    assert!(
        parse(text, zone).is_ok_and(|again| again == *schedule),
        "{text:?}"
    );
    // Neither case nor blanks mean anything.
    let words: Vec<&str> = text.trim().split_ascii_whitespace().collect();
    let shouted = parse(&words.join(" \t").to_ascii_uppercase(), zone);
    let shouted = shouted.unwrap_or_else(|error| panic!("{text:?}, shouted: {error}"));
    for start in STARTS {
        let start = Timestamp::from_second(start).unwrap();
        let slots: Vec<Timestamp> = schedule.slots(start, Timestamp::MAX).take(STEPS).collect();
        let about = || format!("{text:?} in {zone} after {start}: {slots:?}");
        let last = *slots
            .last()
            .unwrap_or_else(|| panic!("no slot: {}", about()));
        let stepped =
            std::iter::successors(schedule.next_after(start), |at| schedule.next_after(*at));
        assert!(
            stepped.take(STEPS).eq(slots.iter().copied()),
            "next_after: {}",
            about()
        );
        assert!(
            slots.is_sorted_by(|a, b| a < b) && start < slots[0],
            "{}",
            about()
        );
        assert_eq!(
            schedule.count(start, last),
            slots.len() as u64,
            "{}",
            about()
        );
        assert_eq!(
            schedule.last_between(start, last),
            Some(last),
            "{}",
            about()
        );
        let shown = preview(schedule, start, None, STEPS);
        assert!(
            shown
                .iter()
                .map(|fire| fire.nominal_at)
                .eq(slots.iter().copied()),
            "preview: {}",
            about()
        );
        let shouted = shouted.slots(start, Timestamp::MAX).take(STEPS);
        assert!(shouted.eq(slots.iter().copied()), "shouted: {}", about());
    }
}
