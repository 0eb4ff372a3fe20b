//! Where the slots lie, in whole seconds since the epoch.

use std::sync::Arc;

use super::{
    cron::Cron,
    zone::{Period, Zone},
};

/// What makes slots. The window of a schedule's start and end is not known here.
#[derive(Debug)]
pub(super) enum Rule {
    Manual,
    At(i64),
    Every { period: i64, phase: i64 },
    Cron { cron: Cron, zone: Arc<Zone> },
}

impl Rule {
    /// The first slot in `[from, upto]`.
    pub(super) fn first_in(&self, from: i64, upto: i64) -> Option<i64> {
        if from > upto {
            return None;
        }
        let slot = match self {
            Self::Manual => return None,
            Self::At(at) => (*at >= from).then_some(*at),
            Self::Every { period, phase } => from.checked_add((phase - from).rem_euclid(*period)),
            Self::Cron { cron, zone } => first_fire(cron, zone, from, upto),
        };
        slot.filter(|slot| *slot <= upto)
    }

    /// How many slots lie in `[from, upto]`.
    pub(super) fn count_in(&self, from: i64, upto: i64) -> u64 {
        if from > upto {
            return 0;
        }
        match self {
            Self::Manual => 0,
            Self::At(at) => u64::from((from..=upto).contains(at)),
            Self::Every { period, phase } => {
                let number = |instant: i64| (instant - phase).div_euclid(*period);
                number(upto).abs_diff(number(from - 1))
            }
            Self::Cron { cron, zone } => count_fires(cron, zone, from, upto),
        }
    }
}

/// Steps through the zone's periods. A local time is mapped to the first instant by which the
/// clock's face has reached it: its only one, the first pass of an overlap, or the end of a gap.
/// An entry that follows elapsed time is matched at every real instant instead.
fn first_fire(cron: &Cron, zone: &Zone, from: i64, upto: i64) -> Option<i64> {
    for period in zone.periods_from(from) {
        if period.start > upto {
            return None;
        }
        if from <= period.start && first_in_gap(cron, period).is_some() {
            return Some(period.start);
        }
        let (local_from, local_upto) = faces(cron, period, from, upto);
        if let Some(local) = cron.first_in(local_from, local_upto) {
            return Some(local - period.offset);
        }
    }
    None
}

/// Counts what [`first_fire`] would step through.
fn count_fires(cron: &Cron, zone: &Zone, from: i64, upto: i64) -> u64 {
    let mut count = 0;
    for period in zone.periods_from(from) {
        if period.start > upto {
            break;
        }
        let (local_from, local_upto) = faces(cron, period, from, upto);
        count += cron.count_in(local_from, local_upto);
        // What the gap swallowed and a time that is exactly its end are one fire.
        let end_of_gap = period.local_start();
        let swallowed = from <= period.start && first_in_gap(cron, period).is_some();
        if swallowed && cron.first_in(end_of_gap, end_of_gap + 1).is_none() {
            count += 1;
        }
    }
    count
}

/// The local times of a period, within `[from, upto]`, that are matched one by one; the end is
/// excluded. Those that an entry with a fixed time has seen before are left out.
fn faces(cron: &Cron, period: &Period, from: i64, upto: i64) -> (i64, i64) {
    let first = from.max(period.start) + period.offset;
    let end = period.end.min(upto + 1) + period.offset;
    match cron.elapsed {
        true => (first, end),
        false => (first.max(period.seen), end),
    }
}

/// The first fixed local time that the gap before this period swallowed.
pub(super) fn first_in_gap(cron: &Cron, period: &Period) -> Option<i64> {
    if cron.elapsed {
        return None;
    }
    cron.first_in(period.seen, period.local_start())
}
