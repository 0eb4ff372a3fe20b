//! What the evaluator promises, by form, by zone and by property; `tests/it/evaluator` tries it at scale.

mod daylight_saving;
mod forms;
mod previews;
mod properties;
mod refusals;
mod windows;

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

use super::{Schedule, ScheduleSpec};
use crate::error::Result;

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn cron_in(zone: &str, cron: &str) -> Schedule {
    try_cron_in(zone, cron).unwrap_or_else(|e| panic!("{cron}: {e}"))
}

fn try_cron_in(zone: &str, cron: &str) -> Result<Schedule> {
    let spec = ScheduleSpec {
        cron: Some(cron.to_owned()),
        ..ScheduleSpec::default()
    };
    Schedule::parse(&spec, "nightly-backup", zone)
}

fn every(period: &str) -> ScheduleSpec {
    ScheduleSpec {
        every: Some(span(period)),
        ..ScheduleSpec::default()
    }
}

fn span(text: &str) -> Duration {
    crate::domain::span::parse(text).unwrap()
}

/// The fires in local time from the first instant, included, to the second, excluded.
fn local(schedule: &Schedule, from: &str, until: &str) -> Vec<String> {
    let zone = TimeZone::get(schedule.time_zone()).unwrap();
    between(schedule, from, until)
        .map(|slot| {
            let local = zone.to_datetime(slot).to_string();
            local.strip_suffix(":00").unwrap_or(&local).to_owned()
        })
        .collect()
}

fn between(schedule: &Schedule, from: &str, until: &str) -> impl Iterator<Item = Timestamp> {
    let second = Duration::from_secs(1);
    schedule.slots(instant(from) - second, instant(until) - second)
}
