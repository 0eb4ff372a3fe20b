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
        let mut local_from = from.max(period.start) + period.offset;
        if !cron.elapsed {
            local_from = local_from.max(period.seen);
        }
        let local_upto = period.end.min(upto + 1) + period.offset;
        if let Some(local) = cron.first_in(local_from, local_upto) {
            return Some(local - period.offset);
        }
    }
    None
}

/// The first fixed local time that the gap before this period swallowed.
pub(super) fn first_in_gap(cron: &Cron, period: &Period) -> Option<i64> {
    if cron.elapsed {
        return None;
    }
    cron.first_in(period.seen, period.local_start())
}
