//! The schedule evaluator by itself: how many next fires it works out in a second, without a server.

use std::{hint::black_box, time::Instant};

use anyhow::Context as _;
use jiff::Timestamp;
use watchbell::domain::schedule::{Schedule, ScheduleSpec};

use super::Scene;
use crate::{
    figures,
    report::{Goal, Report},
};

/// From each second to one day in four years, with what cron lines are made of in between.
const LINES: [&str; 12] = [
    "* * * * * *",
    "*/15 * * * * *",
    "* * * * *",
    "*/5 * * * *",
    "7,37 * * * *",
    "0 */2 * * *",
    "30 2 * * *",
    "0 9-17 * * 1-5",
    "15 4 1 * *",
    "0 0 L * *",
    "0 12 * * FRI#2",
    "0 0 29 2 *",
];

/// Zones without change, with it in either half of the year, and with half an hour of it.
const ZONES: [&str; 5] = [
    "UTC",
    "Asia/Kolkata",
    "Europe/Paris",
    "America/New_York",
    "Australia/Lord_Howe",
];

/// The years through which each schedule is stepped, again and again.
const FROM: &str = "2026-01-01T00:00:00Z";
const UPTO: &str = "2066-01-01T00:00:00Z";

/// What one pass over all lines and zones came to.
#[derive(Debug)]
struct Pass {
    per_second: f64,
    /// The line that took longest, in all zones, and its microseconds for each evaluation.
    slowest: (&'static str, f64),
}

pub(super) fn measure(scene: &Scene, report: &mut Report) -> anyhow::Result<()> {
    let steps = scene.size(20_000, 1_000);
    let schedules = schedules()?;
    let passes = (0..scene.repeats(5))
        .map(|_| pass(&schedules, steps))
        .collect::<anyhow::Result<Vec<Pass>>>()?;
    let name = format!("evaluator, {} lines × {} zones", LINES.len(), ZONES.len());
    let of = |figure: fn(&Pass) -> f64| passes.iter().map(figure).collect::<Vec<f64>>();
    let mut add = |metric: &str, unit, values: &[f64]| {
        report.add(&name, "-", (metric, unit), values, Goal::None);
    };
    add("next fires", "evaluations/s", &of(|pass| pass.per_second));
    let slowest = of(|pass| pass.slowest.1);
    let median = figures::median(&slowest);
    let nearest = passes.iter().min_by(|a, b| {
        let off = |pass: &Pass| (pass.slowest.1 - median).abs();
        off(a).total_cmp(&off(b))
    });
    let line = nearest.context("a pass")?.slowest.0;
    let metric = format!("an evaluation of the slowest line, `{line}`");
    add(&metric, "µs", &slowest);
    Ok(())
}

/// Each line with its schedules, one for each zone.
fn schedules() -> anyhow::Result<Vec<(&'static str, Vec<Schedule>)>> {
    let parse = |line: &str, zone: &str| {
        let spec = ScheduleSpec {
            cron: Some(line.to_owned()),
            time_zone: Some(zone.to_owned()),
            ..ScheduleSpec::default()
        };
        Schedule::parse(&spec, "evaluated", "UTC").with_context(|| format!("{line} in {zone}"))
    };
    let of_line = |line: &'static str| {
        let zones = ZONES.iter().map(|zone| parse(line, zone));
        Ok((line, zones.collect::<anyhow::Result<_>>()?))
    };
    LINES.into_iter().map(of_line).collect()
}

fn pass(schedules: &[(&'static str, Vec<Schedule>)], steps: usize) -> anyhow::Result<Pass> {
    let (from, upto): (Timestamp, Timestamp) = (FROM.parse()?, UPTO.parse()?);
    let mut took = Vec::with_capacity(schedules.len());
    for (line, zones) in schedules {
        let began = Instant::now();
        for schedule in zones {
            step(schedule, steps, from, upto);
        }
        took.push((*line, began.elapsed().as_secs_f64()));
    }
    let of_line = (steps * ZONES.len()) as f64;
    let all: f64 = took.iter().map(|(_, seconds)| seconds).sum();
    let slowest = took.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let (line, seconds) = slowest.context("a line")?;
    Ok(Pass {
        per_second: of_line * took.len() as f64 / all,
        slowest: (line, seconds * 1e6 / of_line),
    })
}

/// From slot to slot, so many times; from the beginning again where the years are over.
fn step(schedule: &Schedule, steps: usize, from: Timestamp, upto: Timestamp) {
    let mut at = from;
    for _ in 0..steps {
        at = match black_box(schedule.next_after(black_box(at))) {
            Some(next) if next < upto => next,
            _ => from,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_fires_in_each_zone_within_the_years() {
        let from: Timestamp = FROM.parse().unwrap();
        let upto: Timestamp = UPTO.parse().unwrap();
        for (line, zones) in schedules().unwrap() {
            for schedule in zones {
                let next = schedule.next_after(from).unwrap();
                assert!(from < next && next < upto, "{line} {next}");
            }
        }
        assert!(0.0 < pass(&schedules().unwrap(), 10).unwrap().per_second);
    }
}
