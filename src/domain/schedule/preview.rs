//! The coming fires of a schedule, with a sentence for everything about them that may surprise.

use jiff::Timestamp;

use super::{
    Schedule,
    civil::{DAY, Date, month_length, weekday},
    cron::Cron,
    days, floor,
    rule::{Rule, first_in_gap},
    zone::{Period, Zone},
};

/// One fire of a preview.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fire {
    /// The slot.
    pub nominal_at: Timestamp,
    /// The slot with the spread added.
    pub due_at: Timestamp,
    /// The slot in the schedule's zone: RFC 3339 with the offset, then the zone in brackets.
    pub local: String,
    /// Whatever is special about it, in sentences; empty for most fires.
    pub reasons: Vec<String>,
}

/// The fires after `after` and before `until`, both excluded, at most `limit` of them.
pub fn preview(
    schedule: &Schedule,
    after: Timestamp,
    until: Option<Timestamp>,
    limit: usize,
) -> Vec<Fire> {
    let before_end = |slot: &Timestamp| until.is_none_or(|until| *slot < until);
    let slots = schedule.slots(after, until.unwrap_or(Timestamp::MAX));
    let fires = slots.take_while(before_end).take(limit);
    fires.map(|slot| fire(schedule, slot)).collect()
}

fn fire(schedule: &Schedule, slot: Timestamp) -> Fire {
    let due_at = schedule.due_at(slot);
    let zone = &schedule.inner.zone;
    let mut reasons = Vec::new();
    if let Rule::Cron { cron, zone } = &schedule.inner.rule {
        reasons.extend(daylight_saving(schedule, cron, zone, floor(slot)));
        reasons.extend(which_day_field(cron, zone, floor(slot)));
    }
    let late_ms = due_at.as_millisecond() - slot.as_millisecond();
    if late_ms > 0 {
        reasons.push(format!("spread by {} s", late_ms as f64 / 1_000.0));
    }
    Fire {
        nominal_at: slot,
        due_at,
        local: slot.to_zoned(zone.time_zone.clone()).to_string(),
        reasons,
    }
}

fn daylight_saving(schedule: &Schedule, cron: &Cron, zone: &Zone, slot: i64) -> Option<String> {
    let [period, later @ ..] = zone.periods_from(slot) else {
        return None;
    };
    let local = slot + period.offset;
    let name = &zone.name;
    if slot == period.start && first_in_gap(cron, period).is_some() {
        let (times, several) = skipped(cron, period);
        let run = if several { "run once, at" } else { "runs at" };
        let end = time(local);
        return Some(format!("{times} in {name}: {run} the gap's end {end}"));
    }
    let why = "because a minute or hour field that starts with * follows elapsed time";
    let passed_over = cron.elapsed
        && cron.first_in(period.seen, period.local_start()).is_some()
        && schedule.first_in(period.start, slot) == Some(slot);
    if passed_over {
        let (times, _) = skipped(cron, period);
        return Some(format!("{times} in {name}: passed over, {why}"));
    }
    // An offset is below 26 hours, so what repeats this local time begins within that.
    let mut soon = later.iter().take_while(|p| p.start < slot + 2 * DAY);
    let again = soon.any(|p| (p.local_start()..p.local_end()).contains(&local));
    let twice = || format!("{} occurs twice on {} in {name}", time(local), date(local));
    if !cron.elapsed {
        return again.then(|| format!("{}: runs at the first pass", twice()));
    }
    if again {
        return Some(format!("{}: this is the first pass of two, {why}", twice()));
    }
    (local < period.seen).then(|| format!("{}: this is the second pass, {why}", twice()))
}

/// "02:30 does not exist on 2026-03-08", or the same of several times, and whether it is several.
fn skipped(cron: &Cron, period: &Period) -> (String, bool) {
    let mut times = Vec::new();
    let mut from = period.seen;
    while let Some(local) = cron.first_in(from, period.local_start()) {
        times.push(time(local));
        from = local + 1;
        // Three are enough to show what happened; the fourth tells that there are more.
        if times.len() > 3 {
            break;
        }
    }
    let day = date(period.seen);
    match &times[..] {
        [one] => (format!("{one} does not exist on {day}"), false),
        [a, b] => (format!("{a} and {b} do not exist on {day}"), true),
        [a, b, c] => (format!("{a}, {b} and {c} do not exist on {day}"), true),
        some => {
            let shown = some.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
            (format!("{shown} and others do not exist on {day}"), true)
        }
    }
}

fn which_day_field(cron: &Cron, zone: &Zone, slot: i64) -> Option<String> {
    let either = cron.either.as_ref()?;
    let offset = zone.periods_from(slot).first()?.offset;
    let day = (slot + offset).div_euclid(DAY);
    let date = Date::from_days(day);
    let length = month_length(date.year, date.month);
    let first = weekday(day - i64::from(date.day) + 1);
    let holds = |months| days::in_month(months, length, first) >> date.day & 1 == 1;
    Some(match (holds(&either.0), holds(&either.1)) {
        (true, true) => "day of month and day of week both match".to_owned(),
        (true, false) => "day of month matches; day of week need not".to_owned(),
        (false, true) => "day of week matches; day of month need not".to_owned(),
        // A gap's end lies on another day than the time that it stands for.
        (false, false) => return None,
    })
}

fn date(local: i64) -> String {
    let Date { year, month, day } = Date::from_days(local.div_euclid(DAY));
    format!("{year:04}-{month:02}-{day:02}")
}

fn time(local: i64) -> String {
    let time = local.rem_euclid(DAY);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    match second {
        0 => format!("{hour:02}:{minute:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}"),
    }
}
