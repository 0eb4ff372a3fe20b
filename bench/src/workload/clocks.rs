//! Two clocks: this program's, and that of a server. A server sets its own every few seconds: by that of its machine on SQLite,
//! which is the same, and by its database's on PostgreSQL, from which it may then be off by as much as a trigger takes.

use jiff::Timestamp;

use crate::{calls::millis, database::Kind};

/// A call that had something written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// By this program's clock.
    pub(super) called: Timestamp,
    pub(super) answered: Timestamp,
    /// When the write began, by the server's.
    pub(super) written: Timestamp,
}

impl Call {
    /// Milliseconds from the call to its answer.
    pub(super) fn until_answered(&self) -> f64 {
        millis(self.called, self.answered)
    }
}

/// Milliseconds by which a server's clock was ahead of this program's at each of some calls, one after another. What a call has
/// written began after it and before its answer, so that many of them leave little room: the middle of that is taken, for as
/// long as there is any, or nothing where the clocks are one and may agree.
pub(super) fn ahead(kind: Kind, calls: &[Call]) -> Vec<f64> {
    let middle = |least: f64, most: f64| match kind {
        Kind::Sqlite if least <= 0.0 && 0.0 <= most => 0.0,
        _ => f64::midpoint(least, most),
    };
    let mut all = Vec::with_capacity(calls.len());
    let (mut least, mut most) = (f64::NEG_INFINITY, f64::INFINITY);
    for (at, call) in calls.iter().enumerate() {
        let least_here = millis(call.answered, call.written);
        let most_here = millis(call.called, call.written);
        if most.min(most_here) < least.max(least_here) {
            // It was set: those before this one had another.
            all.resize(at, middle(least, most));
            (least, most) = (least_here, most_here);
        }
        least = least.max(least_here);
        most = most.min(most_here);
    }
    all.resize(calls.len(), middle(least, most));
    all
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    /// Calls that have 0.3, 0.1 and 1.5 ms before them what they write.
    fn calls() -> Vec<Call> {
        let at = |micros| Timestamp::from_microsecond(micros).unwrap();
        let calls = (0..30_i64).map(|number| {
            let began = number * 10_000;
            let (written, answered) = [(300, 900), (100, 400), (1_500, 2_000)][number as usize % 3];
            Call {
                called: at(began),
                answered: at(began + answered),
                written: at(began + written),
            }
        });
        calls.collect()
    }

    #[test]
    fn a_clock_that_is_ahead_or_behind_or_set_is_known_by_what_calls_write() {
        for (first, then) in [(0, 0), (4_000, 4_000), (-4_000, -4_000), (5_000, -500)] {
            let mut calls = calls();
            for (number, call) in calls.iter_mut().enumerate() {
                let off = if number < 12 { first } else { then };
                call.written += SignedDuration::from_micros(off);
            }
            let ahead = ahead(Kind::Postgresql, &calls);
            assert_eq!(ahead.len(), calls.len());
            for (number, ahead) in ahead.iter().enumerate() {
                let off = if number < 12 { first } else { then };
                assert!((ahead - off as f64 / 1000.0).abs() < 0.15, "{ahead} {off}");
            }
        }
    }

    #[test]
    fn clocks_that_are_one_agree_where_they_may() {
        let mut calls = calls();
        assert_eq!(ahead(Kind::Sqlite, &calls), [0.0; 30]);
        for call in &mut calls {
            call.written -= SignedDuration::from_millis(2);
        }
        let behind = ahead(Kind::Sqlite, &calls);
        assert!(behind.iter().all(|ahead| *ahead < -1.8), "{behind:?}");
        assert!(ahead(Kind::Postgresql, &[]).is_empty());
    }
}
