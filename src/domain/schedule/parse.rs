//! Checks a specification as a whole, field by field.

use std::time::Duration;

use jiff::Timestamp;

use super::{Inner, ScheduleSpec, ceil, expression, floor, rule::Rule, zone::Zone};
use crate::{
    domain::{bounds, span},
    error::{Error, Faults, Result},
};

/// A spread longer than this hides when a task runs.
const MAX_SPREAD: Duration = Duration::from_secs(7 * 86_400);
/// As long as any wait that is accepted from a cron expression.
const MAX_PERIOD: Duration = Duration::from_secs(8 * 366 * 86_400);

/// Checks all fields before it says which are wrong, so that who corrects them sends the schedule twice and not once for
/// each.
pub(super) fn check(spec: &ScheduleSpec, task_name: &str, default_zone: &str) -> Result<Inner> {
    let mut faults = Faults::default();
    let zone_name = spec.time_zone.as_deref().unwrap_or(default_zone);
    let zone = Zone::find(zone_name);
    let zone = faults.take(zone.map_err(|reason| Error::invalid("schedule.time_zone", reason)))?;
    for (field, at) in [
        ("schedule.at", spec.at),
        ("schedule.start_at", spec.start_at),
        ("schedule.end_at", spec.end_at),
    ] {
        let meant = at.map(bounds::meant).transpose();
        faults.take(meant.map_err(|expected| Error::invalid(field, expected)))?;
    }
    faults.take(check_timings(spec))?;
    let cron = spec.cron.as_deref();
    let cron = cron.map(|text| expression::read(text, task_name));
    let cron = faults.take(cron.transpose())?.flatten();
    let every = spec.every;
    let every = every.map(|every| interval(every, spec.phase.unwrap_or_default()));
    let every = faults.take(every.transpose())?.flatten();
    let spread = faults.take(spread(spec.spread.unwrap_or_default()))?;
    faults.take(check_order(spec))?;
    let (zone, spread) = faults.done_with(zone.zip(spread))?;
    let rule = match (cron, every, spec.at) {
        (Some(cron), ..) => Rule::Cron {
            cron,
            zone: zone.clone(),
        },
        (None, Some(every), _) => every,
        (None, None, Some(at)) => Rule::At(ceil(at)),
        (None, None, None) => Rule::Manual,
    };
    let inner = Inner {
        first: spec.start_at.map_or(Timestamp::MIN.as_second(), ceil),
        last: spec.end_at.map_or(Timestamp::MAX.as_second(), floor),
        spread,
        spec: spec.clone(),
        task_name: if is_of_its_name(spec) {
            task_name.to_owned()
        } else {
            String::new()
        },
        zone,
        rule,
    };
    check_window(&inner)?;
    Ok(inner)
}

/// Checks which of the timings are given.
fn check_timings(spec: &ScheduleSpec) -> Result<()> {
    let mut faults = Faults::default();
    if spec.phase.is_some() && spec.every.is_none() {
        let what = "a phase shifts an interval; expected every as well, such as every = \"1h\"";
        faults.take(Err::<(), _>(Error::invalid("schedule.phase", what)))?;
    }
    let given = [
        ("cron", spec.cron.is_some()),
        ("every", spec.every.is_some()),
        ("at", spec.at.is_some()),
    ];
    let names = given.into_iter().filter(|(_, is_given)| *is_given);
    let names: Vec<&str> = names.map(|(name, _)| name).collect();
    if 1 < names.len() {
        faults.take(Err::<(), _>(several(&names)))?;
    }
    faults.done()
}

/// Whether it draws something by the task's name: an `H`, which stands in some words as well, or a spread.
fn is_of_its_name(spec: &ScheduleSpec) -> bool {
    let hashed = spec
        .cron
        .as_deref()
        .is_some_and(|cron| cron.contains(['H', 'h']));
    hashed || spec.spread.is_some_and(|spread| !spread.is_zero())
}

fn interval(every: Duration, phase: Duration) -> Result<Rule> {
    let written = span::format(every);
    let is_right = every.subsec_nanos() == 0 && !every.is_zero() && every <= MAX_PERIOD;
    let mut faults = Faults::default();
    if !is_right {
        let what = format!(
            "{written:?} is not a whole number of seconds from 1 s to 8 years; expected one such as 30s, 5m or 1h30m"
        );
        faults.take(Err::<(), _>(Error::invalid("schedule.every", what)))?;
    }
    // Where the interval is wrong itself, it is no bound for another.
    if phase.subsec_nanos() != 0 || (is_right && every <= phase) {
        let phase = span::format(phase);
        let what = format!(
            "{phase:?} is not a whole number of seconds below the interval of {written:?}; expected one such as 90s or 0s"
        );
        faults.take(Err::<(), _>(Error::invalid("schedule.phase", what)))?;
    }
    faults.done()?;
    // Both are below `MAX_PERIOD`.
    Ok(Rule::Every {
        period: every.as_secs() as i64,
        phase: phase.as_secs() as i64,
    })
}

fn spread(spread: Duration) -> Result<Duration> {
    if !spread.subsec_nanos().is_multiple_of(1_000_000) || spread > MAX_SPREAD {
        let written = span::format(spread);
        return Err(Error::invalid(
            "schedule.spread",
            format!(
                "{written:?} is not a whole number of milliseconds up to 7 days; expected one such as 30s or 10m"
            ),
        ));
    }
    Ok(spread)
}

/// Checks that the window's end is not before its start, where each of them can be meant.
fn check_order(spec: &ScheduleSpec) -> Result<()> {
    let meant = |at: Option<Timestamp>| at.and_then(|at| bounds::meant(at).ok());
    let (Some(start), Some(end)) = (meant(spec.start_at), meant(spec.end_at)) else {
        return Ok(());
    };
    if ceil(start) <= floor(end) {
        return Ok(());
    }
    Err(Error::invalid(
        "schedule.end_at",
        format!("{end} is before the start, {start}; expected a later instant"),
    ))
}

/// A window that holds no slot is a mistake, and would look like a task that is merely quiet.
fn check_window(inner: &Inner) -> Result<()> {
    let spec = &inner.spec;
    let shown =
        |instant: Option<Timestamp>| instant.map_or("unset".to_owned(), |at| at.to_string());
    let (start, end) = (shown(spec.start_at), shown(spec.end_at));
    if matches!(inner.rule, Rule::Manual) || inner.rule.first_in(inner.first, inner.last).is_some()
    {
        return Ok(());
    }
    let (field, what) = match (spec.at, spec.end_at) {
        (Some(at), _) => ("schedule.at", format!("{at} is not")),
        (None, Some(_)) => ("schedule.end_at", "no slot lies".to_owned()),
        (None, None) => ("schedule.start_at", "no slot lies".to_owned()),
    };
    Err(Error::invalid(
        field,
        format!(
            "{what} between the start ({start}) and the end ({end}); expected a window with at least one slot"
        ),
    ))
}

/// Refuses more timings than one.
pub(in crate::domain) fn several(names: &[&str]) -> Error {
    Error::invalid(
        "schedule",
        format!(
            "{} are given; expected at most one of cron, every and at, such as cron = \"30 2 * * *\"",
            names.join(" and ")
        ),
    )
}
