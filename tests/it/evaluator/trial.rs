//! One line in one window: every question that the evaluator answers, against what is true.

use jiff::{SignedDuration, Timestamp};
use watchbell::domain::schedule::{Schedule, ScheduleSpec, preview};

use super::{TASK, draw::Draw, window::Window};

/// Fires of a preview that are looked at; each comes with sentences, which take their time.
const SHOWN: usize = 24;
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// The schedule of a line; none where the line is refused, such as 31 February.
pub(super) fn schedule(zone: &str, line: &str) -> Option<Schedule> {
    let spec = ScheduleSpec {
        cron: Some(line.to_owned()),
        ..ScheduleSpec::default()
    };
    Schedule::parse(&spec, TASK, zone).ok()
}

/// Whether all answers tell of these fires, which are all there are in the window.
///
/// # Errors
/// What was answered instead.
pub(super) fn check(
    window: &Window,
    schedule: &Schedule,
    fires: &[i64],
    draw: &mut Draw,
) -> Result<(), String> {
    // Their start is excluded and their end is not; of a window it is the other way round.
    let (after, upto) = (window.from - SECOND, window.until - SECOND);
    let slots: Vec<i64> = schedule
        .slots(after, upto)
        .map(Timestamp::as_second)
        .collect();
    if slots != fires {
        return Err(differences(&slots, fires));
    }
    follow(schedule, after, window.until, fires)?;
    look_ahead(schedule, after, window.until, fires)?;
    within(schedule, after, upto, fires)?;
    // Spans that begin and end anywhere, on a fire of all places too.
    let ends: Vec<Timestamp> = (0..4).map(|_| anywhere(draw, after, upto, fires)).collect();
    for ends in ends.chunks(2) {
        let (start, end) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        within(schedule, start, end, fires)?;
    }
    Ok(())
}

/// From each fire to the next, and from the last one out of the window.
fn follow(
    schedule: &Schedule,
    after: Timestamp,
    until: Timestamp,
    fires: &[i64],
) -> Result<(), String> {
    let mut at = after;
    for fire in fires {
        let next = schedule.next_after(at);
        if next.map(Timestamp::as_second) != Some(*fire) {
            return Err(format!(
                "next_after({at}) is {next:?}, and not {}",
                shown(*fire)
            ));
        }
        at = next.unwrap_or(at);
    }
    match schedule.next_after(at) {
        Some(next) if next < until => Err(format!("next_after({at}) is {next}, and not later")),
        _ => Ok(()),
    }
}

/// The preview, as far as it is looked at.
fn look_ahead(
    schedule: &Schedule,
    after: Timestamp,
    until: Timestamp,
    fires: &[i64],
) -> Result<(), String> {
    let previewed = preview(schedule, after, Some(until), SHOWN);
    let nominal: Vec<i64> = previewed
        .iter()
        .map(|fire| fire.nominal_at.as_second())
        .collect();
    let expected = &fires[..fires.len().min(SHOWN)];
    if nominal != expected {
        return Err(format!("the preview: {}", differences(&nominal, expected)));
    }
    // Nothing is spread here, so each is due when it is nominal.
    match previewed.iter().find(|fire| fire.due_at != fire.nominal_at) {
        Some(fire) => Err(format!("the preview: {fire:?}")),
        None => Ok(()),
    }
}

/// The count, the first and the newest of `(after, upto]`.
fn within(
    schedule: &Schedule,
    after: Timestamp,
    upto: Timestamp,
    fires: &[i64],
) -> Result<(), String> {
    let instants = fires
        .iter()
        .map(|fire| Timestamp::from_second(*fire).unwrap());
    let inside: Vec<Timestamp> = instants.filter(|at| after < *at && *at <= upto).collect();
    let count = schedule.count(after, upto);
    if count != inside.len() as u64 {
        return Err(format!(
            "count({after}, {upto}) is {count}, and not {}",
            inside.len()
        ));
    }
    let newest = schedule.last_between(after, upto);
    if newest != inside.last().copied() {
        let expected = inside.last();
        return Err(format!(
            "last_between({after}, {upto}) is {newest:?}, and not {expected:?}"
        ));
    }
    let next = schedule.next_after(after);
    if next.filter(|next| *next <= upto) != inside.first().copied() {
        let expected = inside.first();
        return Err(format!(
            "next_after({after}) is {next:?}, and not {expected:?}"
        ));
    }
    Ok(())
}

/// An instant of the window, at a fire, right beside one, or anywhere.
fn anywhere(draw: &mut Draw, after: Timestamp, upto: Timestamp, fires: &[i64]) -> Timestamp {
    let length = (upto.as_microsecond() - after.as_microsecond()).unsigned_abs();
    let any = after + SignedDuration::from_micros(draw.below(length) as i64);
    if fires.is_empty() || draw.chance(40) {
        return any;
    }
    let aside = *draw.pick(&[-1_000_000, -1, 0, 1, 999_999]);
    let at =
        Timestamp::from_second(*draw.pick(fires)).unwrap() + SignedDuration::from_micros(aside);
    at.clamp(after, upto)
}

/// What one list has and the other has not.
pub(super) fn differences(found: &[i64], expected: &[i64]) -> String {
    let only = |these: &[i64], those: &[i64]| {
        let mut only = these.iter().filter(|at| !those.contains(at));
        let some: Vec<String> = only.by_ref().take(5).map(|at| shown(*at)).collect();
        format!("{} and {} more", some.join(" "), only.count())
    };
    let (wrong, missing) = (only(found, expected), only(expected, found));
    format!("the evaluator alone has {wrong}; it lacks {missing}")
}

fn shown(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |at| at.to_string())
}
