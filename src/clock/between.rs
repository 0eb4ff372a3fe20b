//! A clock that was read elsewhere, and what such a reading proves.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Instants between which another clock is. It was read at whatever moment between the question and the answer: on the way
/// there, behind whoever was asked first, or on the way back. Half of that is a guess, which is wrong by seconds where
/// the machine was busy; that it is between the two is sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    earliest: Timestamp,
    latest: Timestamp,
}

impl Between {
    /// That clock now, where `reading` is the answer to what was asked `ago`.
    pub fn read(reading: Timestamp, ago: Duration) -> Self {
        Self {
            earliest: reading,
            latest: later(reading, ago),
        }
    }

    /// The same after so much time.
    #[must_use]
    pub fn after(self, passed: Duration) -> Self {
        Self {
            earliest: later(self.earliest, passed),
            latest: later(self.latest, passed),
        }
    }

    /// How little it says.
    pub fn width(self) -> Duration {
        let width = self.latest.duration_since(self.earliest);
        width.unsigned_abs()
    }

    /// What a clock that says `now` is to say: the same where that can be, and otherwise the nearest that can.
    pub fn nearest(self, now: Timestamp) -> Timestamp {
        now.clamp(self.earliest, self.latest)
    }

    /// How far a clock that says `now` is off at least; less than nothing where it is behind.
    pub fn off(self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.nearest(now))
    }
}

fn later(at: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.saturating_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    #[test]
    fn a_clock_is_moved_by_no_more_than_a_reading_proves() {
        let slow = Between::read(at(0), Duration::from_secs(4));
        assert_eq!(slow.nearest(at(10)), at(10), "it says nothing of that one");
        assert_eq!(slow.nearest(at(3_990)), at(3_990));
        assert_eq!(slow.nearest(at(-60_000)), at(0));
        assert_eq!(slow.nearest(at(60_000)), at(4_000));
        assert_eq!(slow.width(), Duration::from_secs(4));
        let offs = [10, -60_000, 60_000].map(|millis| slow.off(at(millis)).as_millis());
        assert_eq!(offs, [0, -60_000, 56_000]);
    }

    #[test]
    fn what_was_read_goes_on() {
        let read = Between::read(at(0), Duration::from_millis(2));
        let later = read.after(Duration::from_secs(1));
        assert_eq!(later, Between::read(at(1_000), Duration::from_millis(2)));
        let end = Between::read(Timestamp::MAX, Duration::MAX).after(Duration::MAX);
        assert_eq!(end.nearest(at(0)), Timestamp::MAX);
    }
}
