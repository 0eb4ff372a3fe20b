//! The scan: it looks at every minute there is, and shares no code with the evaluator.

use std::collections::BTreeSet;

use jiff::{
    SignedDuration, Timestamp, ToSpan as _,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};

use super::{line::Line, window::Window};

/// Every fire of the line within the window, oldest first, in seconds since the epoch.
pub(super) fn fires(window: &Window, line: &Line) -> Vec<i64> {
    match line.is_elapsed() {
        true => elapsed(window, line),
        false => fixed(window, line),
    }
}

/// Asks of each real minute whether it matches.
fn elapsed(window: &Window, line: &Line) -> Vec<i64> {
    let mut fires = Vec::new();
    let mut last: Option<(Date, bool)> = None;
    for (index, face) in window.minutes.iter().enumerate() {
        if !line.holds_at(face.hour, face.minute) {
            continue;
        }
        let date = face.date;
        let holds = match last {
            Some((seen, holds)) if seen == date => holds,
            _ => line.holds_on(date),
        };
        last = Some((date, holds));
        if holds {
            let minute = window.from.as_second() + 60 * index as i64;
            fires.extend(line.seconds().map(|second| minute + i64::from(second)));
        }
    }
    fires
}

/// Runs each nominal day once: its times of day by the clock's face, whatever the zone does.
fn fixed(window: &Window, line: &Line) -> Vec<i64> {
    let (first, last) = window.dates();
    // A day that a zone skips is among those around.
    let first = first.checked_sub(2.days()).unwrap();
    let days = first
        .series(1.day())
        .take_while(|date| *date <= last + 2.days());
    let mut fires = BTreeSet::new();
    // The same on each day.
    let minutes = (0..24).flat_map(|hour| (0..60).map(move |minute| (hour, minute)));
    let times: Vec<(i8, i8)> = minutes
        .filter(|(hour, minute)| line.holds_at(*hour, *minute))
        .collect();
    for date in days.filter(|date| line.holds_on(*date)) {
        for (hour, minute) in &times {
            let local = date.at(*hour, *minute, 0, 0);
            for second in line.seconds() {
                let at = once(&window.zone.time_zone, local + i64::from(second).seconds());
                if (window.from..window.until).contains(&at) {
                    fires.insert(at.as_second());
                }
            }
        }
    }
    fires.into_iter().collect()
}

/// The one instant of a fixed local time: the first of two, or the end of the gap it lies in.
fn once(zone: &TimeZone, local: DateTime) -> Timestamp {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).unwrap(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).unwrap(),
        AmbiguousOffset::Gap { before, .. } => {
            let inside = before.to_timestamp(local).unwrap() + SignedDuration::from_nanos(1);
            zone.preceding(inside).next().unwrap().timestamp()
        }
    }
}
