//! The evaluator at scale: the days around every change of every zone's offset, from 2007 to 2037.
//!
//! In each window of 72 hours, lines are drawn from a fixed seed, with hours near the change. Two
//! oracles say when they fire: cronsim (`cronsim`, `cronsim.py`) for lines of five fields that both
//! read alike, and a scan that looks at every minute (`scan`) for all. `trial` asks the evaluator
//! every question it answers. `window` finds the zones and the changes; `line`, `field` and `days` draw
//! lines of which the meaning is known without parsing them.
//!
//! `make evaluate COUNT=500 SEED=7` asks for more, on demand.

mod cronsim;
mod days;
mod draw;
mod field;
mod line;
mod scan;
mod tally;
mod trial;
mod window;

use std::sync::{
    Arc, LazyLock, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use jiff::{
    SignedDuration, Timestamp, ToSpan as _,
    civil::{self, Date},
    tz::TimeZone,
};
use proptest::prelude::*;
use watchbell::clock::Stopwatch;

use self::{
    cronsim::Cronsim,
    draw::Draw,
    field::Dialect,
    line::Line,
    tally::Tally,
    window::{Change, Window, Zone},
};

/// `H` depends on it.
const TASK: &str = "nightly-backup";
/// Lines in each window, half of them in the dialect of cronsim; more by [`LINES`].
const LINES_BY_DEFAULT: u64 = 16;
const SEED_BY_DEFAULT: u64 = 2007;
const LINES: &str = "WATCHBELL_TEST_LINES";
const SEED: &str = "WATCHBELL_TEST_SEED";
/// Set where nothing may be skipped, as in CI.
const STRICT: &str = "WATCHBELL_TEST_STRICT";

#[test]
fn every_change_of_every_zone_agrees_with_cronsim_and_with_a_scan() {
    let watch = Stopwatch::start();
    let (lines, seed) = (
        setting(LINES, LINES_BY_DEFAULT),
        setting(SEED, SEED_BY_DEFAULT),
    );
    let zones = Zone::all(2007..=2037);
    let changes: Vec<(&_, &Change)> = zones
        .iter()
        .flat_map(|(zone, changes)| changes.iter().map(move |change| (zone, change)))
        .collect();
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    let work = || {
        let mut own = Tally::default();
        let mut cronsim = Cronsim::start();
        while let Some((zone, change)) = changes.get(next.fetch_add(1, Ordering::Relaxed)) {
            own.try_window(&Window::around(zone, change), lines, seed, cronsim.as_mut());
        }
        tally.lock().unwrap().add(own);
        cronsim.is_some()
    };
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let has_cronsim = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().all(|thread| thread.join().unwrap())
    });
    let tally = tally.into_inner().unwrap();
    tally.tell(zones.len(), watch.elapsed(), has_cronsim);
    assert_eq!(tally.windows, changes.len());
    assert!(tally.failures.is_empty(), "{}", tally.first_failures());
    // Of the half that is written in its dialect; the rest are strange zones and odd changes.
    assert!(
        !has_cronsim || tally.lines < 3 * tally.judged,
        "Python reads another tz database than jiff: see above"
    );
    assert!(
        has_cronsim || !is_strict(),
        "there is no cronsim, and {STRICT} is set"
    );
}

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|error| panic!("{name}: {error}")),
        Err(_) => default,
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn is_strict() -> bool {
    std::env::var_os(STRICT).is_some()
}

/// All changes since offsets count whole minutes.
static CHANGES: LazyLock<Vec<(Arc<Zone>, Change)>> = LazyLock::new(|| {
    let zones = Zone::all(1973..=2039);
    let each = zones.into_iter().flat_map(|(zone, changes)| {
        changes
            .into_iter()
            .map(move |change| (zone.clone(), change))
    });
    each.collect()
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    // Another seed each time, and the changes from 1973 on.
    #[test]
    fn any_line_agrees_with_a_scan(seed: u64) {
        let mut draw = Draw::new(seed);
        let (zone, change) = draw.pick(&CHANGES);
        let window = Window::around(zone, change);
        let line = Line::draw(&mut draw, &window.near, Dialect::Own);
        if let Some(schedule) = trial::schedule(&zone.name, &line.text()) {
            let fires = scan::fires(&window, &line);
            let checked = trial::check(&window, &schedule, &fires, &mut draw);
            let (text, from) = (line.text(), window.from);
            prop_assert!(checked.is_ok(), "{:?} in {} from {}: {:?}", text, zone.name, from, checked);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_day_of_three_years_agrees_with_the_calendar(seed: u64, year in 1995_i16..2105) {
        let line = Line::daily(&mut Draw::new(seed), 12);
        let Some(schedule) = trial::schedule("UTC", &line.text()) else {
            return Ok(());
        };
        let noon = |date: Date| date.at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp();
        let days = || civil::date(year, 1, 1).series(1.day()).take(3 * 365);
        let expected: Vec<Timestamp> = days().filter(|date| line.holds_on(*date)).map(noon).collect();
        let (first, last) = (noon(days().next().unwrap()), noon(days().last().unwrap()));
        let after = first - SignedDuration::from_secs(1);
        let found: Vec<Timestamp> = schedule.slots(after, last).collect();
        prop_assert_eq!(schedule.count(after, last), found.len() as u64);
        prop_assert_eq!(found, expected, "{} in {}", line.text(), year);
    }
}
