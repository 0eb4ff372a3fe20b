//! Whether the work of a task is as new as its schedule promises: the rule of `task.stale`.
//!
//! It asks for no reason: a slot that was skipped, expired, cancelled, cut short or never decided is a slot
//! without a full success, like one that failed.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Pause;
use crate::domain::{retry::later, schedule::Schedule};

/// No work is expected sooner after it was due.
pub const BOUND_MIN: Duration = Duration::from_secs(60);

/// How long nobody looks whether a task is stale, at the most.
pub const LOOKED_AT_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// How far clocks of replicas may differ before what they note is not believed.
pub const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Slots that may go without a success before a task is stale.
const SLOTS: i16 = 2;

/// How new the work of a task is, and from when on its schedule asks for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freshness {
    /// The slots of the present schedule count after this instant: the task's beginning, or the last change of its
    /// schedule.
    pub scheduled_from: Timestamp,
    /// Slots of the schedules before that had gone without a full success by then: 0, 1 or 2.
    #[serde(default)]
    pub owed_slots: i16,
    /// The newest of those slots, or a later instant: a full success for it makes all of them good.
    #[serde(default)]
    pub owed_at: Option<Timestamp>,
    /// The instant for which the work is done: that of the newest full success.
    #[serde(default)]
    pub fresh_at: Option<Timestamp>,
    /// How long an attempt that succeeds takes, as a smoothed figure.
    #[serde(default)]
    pub usual: Option<Duration>,
}

/// How long after it was due work may still be on its way, where it usually takes so long: see [`Freshness::bound`].
pub fn bound(usual: Option<Duration>, stale_after: Option<Duration>) -> Duration {
    let usual = usual.unwrap_or_default().saturating_mul(2);
    BOUND_MIN.max(usual).max(stale_after.unwrap_or_default())
}

/// An instant that was noted, or `now` where that has not come yet.
fn believed(at: Timestamp, now: Timestamp) -> Timestamp {
    if later(now, CLOCKS_DIFFER) < at {
        now
    } else {
        at
    }
}

impl Default for Freshness {
    /// One of which nothing is known.
    fn default() -> Self {
        Self::new(Timestamp::UNIX_EPOCH)
    }
}

impl Freshness {
    /// A task that is new at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            scheduled_from: now,
            owed_slots: 0,
            owed_at: None,
            fresh_at: None,
            usual: None,
        }
    }

    /// How long after it was due work may still be on its way: the larger of one minute, twice the usual duration,
    /// and what the task says.
    pub fn bound(&self, stale_after: Option<Duration>) -> Duration {
        bound(self.usual, stale_after)
    }

    /// When the task becomes stale unless a run succeeds in full before: the second slot without one was due,
    /// and its bound has passed. The last slot of a schedule, such as the one of a one-shot, counts alone. None where
    /// no slot is to come.
    pub fn stale_at(&self, schedule: &Schedule, bound: Duration) -> Option<Timestamp> {
        if schedule.is_manual() {
            return None;
        }
        let (base, owed) = self.base();
        if SLOTS <= owed {
            return Some(later(self.scheduled_from, bound));
        }
        let first = schedule.next_after(base)?;
        let judged = match owed {
            0 => schedule.next_after(first).unwrap_or(first),
            _ => first,
        };
        Some(later(schedule.due_at(judged), bound))
    }

    /// Whether it is stale at `now`, and since when. While it is paused it does not become so: the pause is told
    /// instead.
    pub fn stale_since(
        &self,
        schedule: &Schedule,
        bound: Duration,
        pause: Option<&Pause>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let judged_at = pause.map_or(now, |pause| pause.at.min(now));
        self.stale_at(schedule, bound)
            .filter(|since| *since <= judged_at)
    }

    /// Slots that were due since the newest full success.
    pub fn slots_without(&self, schedule: &Schedule, now: Timestamp) -> u64 {
        let (base, owed) = self.base();
        schedule.count(base, now) + u64::from(owed.unsigned_abs())
    }

    /// Another schedule is in force from `now` on; what the one before asked for and did not get is kept.
    pub fn reschedule(&mut self, before: &Schedule, now: Timestamp) {
        let without = self.slots_without(before, now);
        let (base, owed) = self.base();
        let carried = self.owed_at.filter(|_| 0 < owed);
        self.owed_at = before.last_between(base, now).or(carried);
        self.owed_slots = i16::try_from(without).unwrap_or(SLOTS).min(SLOTS);
        self.scheduled_from = now;
    }

    /// A new beginning: nothing that was due before is asked for.
    pub fn restart(&mut self, now: Timestamp) {
        self.owed_slots = 0;
        self.owed_at = None;
        self.scheduled_from = now;
    }

    /// As far as it is known at `now`: what a clock that was ahead has noted reaches to `now` and not beyond. Clocks
    /// of replicas may differ by so little that it matters to nobody.
    #[must_use]
    pub fn known(mut self, now: Timestamp) -> Self {
        self.scheduled_from = believed(self.scheduled_from, now);
        self.fresh_at = self.fresh_at.map(|at| believed(at, now));
        self
    }

    /// From where slots are counted, and how many there were before.
    fn base(&self) -> (Timestamp, i16) {
        match self.fresh_at {
            Some(fresh_at) if self.scheduled_from < fresh_at => (fresh_at, 0),
            // By a run that was under way as the schedule changed.
            Some(fresh_at) if self.owed_at.is_some_and(|owed_at| owed_at <= fresh_at) => {
                (self.scheduled_from, 0)
            }
            _ => (self.scheduled_from, self.owed_slots),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::schedule::ScheduleSpec;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn schedule(spec: ScheduleSpec) -> Schedule {
        Schedule::parse(&spec, "task", "UTC").unwrap()
    }

    fn cron(line: &str) -> Schedule {
        schedule(ScheduleSpec {
            cron: Some(line.to_owned()),
            ..ScheduleSpec::default()
        })
    }

    fn new() -> Freshness {
        Freshness::new(at("2026-03-02T12:30:00Z"))
    }

    #[test]
    fn the_bound_is_the_largest_of_the_three() {
        let mut fresh = new();
        assert_eq!(fresh.bound(None), BOUND_MIN);
        assert_eq!(fresh.bound(Some(Duration::from_secs(59))), BOUND_MIN);
        fresh.usual = Some(Duration::from_secs(600));
        assert_eq!(fresh.bound(None), Duration::from_secs(1200));
        let day = Duration::from_secs(86_400);
        assert_eq!(fresh.bound(Some(day)), day);
    }

    #[test]
    fn a_task_is_stale_when_its_second_slot_has_gone_without_a_success() {
        let hourly = cron("0 * * * *");
        let mut fresh = new();
        assert_eq!(
            fresh.stale_at(&hourly, BOUND_MIN),
            Some(at("2026-03-02T14:01:00Z"))
        );
        // At a slot is for the slot.
        fresh.fresh_at = Some(at("2026-03-02T14:00:00Z"));
        assert_eq!(
            fresh.stale_at(&hourly, BOUND_MIN),
            Some(at("2026-03-02T16:01:00Z"))
        );
        fresh.fresh_at = Some(at("2026-03-02T13:59:59.9Z"));
        assert_eq!(
            fresh.stale_at(&hourly, BOUND_MIN),
            Some(at("2026-03-02T15:01:00Z"))
        );
    }

    #[test]
    fn the_one_slot_of_a_one_shot_counts_alone_and_so_does_the_last_of_a_window() {
        let once = schedule(ScheduleSpec {
            at: Some(at("2026-03-02T13:00:00Z")),
            ..ScheduleSpec::default()
        });
        let mut fresh = new();
        assert_eq!(
            fresh.stale_at(&once, BOUND_MIN),
            Some(at("2026-03-02T13:01:00Z"))
        );
        fresh.fresh_at = Some(at("2026-03-02T13:00:02Z"));
        assert_eq!(fresh.stale_at(&once, BOUND_MIN), None);

        let window = schedule(ScheduleSpec {
            cron: Some("0 * * * *".to_owned()),
            end_at: Some(at("2026-03-02T15:00:00Z")),
            ..ScheduleSpec::default()
        });
        fresh.fresh_at = Some(at("2026-03-02T14:00:02Z"));
        assert_eq!(
            fresh.stale_at(&window, BOUND_MIN),
            Some(at("2026-03-02T15:01:00Z"))
        );
        fresh.fresh_at = Some(at("2026-03-02T15:00:02Z"));
        assert_eq!(fresh.stale_at(&window, BOUND_MIN), None);
    }

    #[test]
    fn slots_before_a_change_of_the_schedule_are_those_of_the_one_before() {
        let (daily, hourly) = (cron("0 2 * * *"), cron("0 * * * *"));
        let mut fresh = Freshness {
            fresh_at: Some(at("2026-03-02T02:00:05Z")),
            ..Freshness::new(at("2026-01-01T00:00:00Z"))
        };
        fresh.reschedule(&daily, at("2026-03-02T12:30:00Z"));
        assert_eq!(
            fresh.stale_at(&hourly, BOUND_MIN),
            Some(at("2026-03-02T14:01:00Z")),
            "the hours of the morning were no slots"
        );

        let mut owing = Freshness {
            fresh_at: Some(at("2026-03-01T02:00:05Z")),
            ..Freshness::new(at("2026-01-01T00:00:00Z"))
        };
        owing.reschedule(&daily, at("2026-03-02T12:30:00Z"));
        assert_eq!(
            owing.stale_at(&hourly, BOUND_MIN),
            Some(at("2026-03-02T13:01:00Z")),
            "that of the night went without"
        );
        // However often it is edited, what is owed stays so.
        owing.reschedule(&hourly, at("2026-03-02T12:40:00Z"));
        owing.reschedule(&daily, at("2026-03-02T12:50:00Z"));
        assert_eq!(
            owing.stale_at(&hourly, BOUND_MIN),
            Some(at("2026-03-02T13:01:00Z"))
        );
        owing.reschedule(&hourly, at("2026-03-02T13:00:30Z"));
        assert_eq!(
            owing.stale_at(&daily, BOUND_MIN),
            Some(at("2026-03-02T13:01:30Z"))
        );
        // What was under way meanwhile did what was owed.
        let done = Freshness {
            fresh_at: Some(at("2026-03-02T13:00:00Z")),
            ..owing
        };
        assert_eq!(
            done.stale_at(&daily, BOUND_MIN),
            Some(at("2026-03-04T02:01:00Z"))
        );
        let part = Freshness {
            fresh_at: Some(at("2026-03-02T02:00:00Z")),
            ..owing
        };
        assert_eq!(
            part.stale_at(&daily, BOUND_MIN),
            owing.stale_at(&daily, BOUND_MIN)
        );
        let by_hand = schedule(ScheduleSpec::default());
        assert_eq!(owing.stale_at(&by_hand, BOUND_MIN), None);
        owing.fresh_at = Some(at("2026-03-02T13:00:40Z"));
        assert_eq!(
            owing.stale_at(&hourly, BOUND_MIN),
            Some(at("2026-03-02T15:01:00Z"))
        );
    }

    #[test]
    fn a_pause_neither_makes_stale_nor_makes_good() {
        let hourly = cron("0 * * * *");
        let fresh = new();
        let since = at("2026-03-02T14:01:00Z");
        let now = at("2026-03-02T20:00:00Z");
        let pause = |from: &str| Pause {
            at: at(from),
            principal: "ada".to_owned(),
            reason: String::new(),
            until: None,
            ending: None,
        };
        let stale = |pause: Option<&Pause>| fresh.stale_since(&hourly, BOUND_MIN, pause, now);
        assert_eq!(stale(None), Some(since));
        assert_eq!(stale(Some(&pause("2026-03-02T14:00:59Z"))), None);
        assert_eq!(stale(Some(&pause("2026-03-02T14:01:00Z"))), Some(since));
    }

    #[test]
    fn a_slot_that_daylight_saving_moves_is_one_slot() {
        // 02:30 does not exist in Paris on 29 March: the slot is at 03:00, 01:00Z.
        let nightly = schedule(ScheduleSpec {
            cron: Some("30 2 * * *".to_owned()),
            time_zone: Some("Europe/Paris".to_owned()),
            ..ScheduleSpec::default()
        });
        let fresh = Freshness {
            fresh_at: Some(at("2026-03-28T01:30:05Z")),
            ..Freshness::new(at("2026-01-01T00:00:00Z"))
        };
        assert_eq!(
            fresh.stale_at(&nightly, BOUND_MIN),
            Some(at("2026-03-30T00:31:00Z"))
        );
    }

    proptest! {
        /// What the rule says in words, slot by slot: the second-newest slot whose due plus bound has passed has no
        /// success at or after it.
        #[test]
        fn it_is_what_the_words_say(
            every in 1_u64..50, window in 0_u64..200, fresh in 0_i64..400, bound in 60_u64..600, now in 0_i64..2000,
        ) {
            let epoch = at("2026-03-02T00:00:00Z");
            let minute = |minutes: i64| epoch + jiff::SignedDuration::from_mins(minutes);
            let end = (window < 100).then(|| minute(i64::try_from(window).unwrap() + 1));
            let spec = ScheduleSpec {
                every: Some(Duration::from_secs(60 * every)),
                end_at: end,
                ..ScheduleSpec::default()
            };
            let Ok(schedule) = Schedule::parse(&spec, "task", "UTC") else { return Ok(()) };
            let bound = Duration::from_secs(bound);
            let fresh_at = minute(fresh);
            let freshness = Freshness { fresh_at: Some(fresh_at), ..Freshness::new(epoch) };
            let now = minute(now);

            let passed: Vec<Timestamp> = schedule
                .slots(epoch, now)
                .filter(|slot| later(*slot, bound) <= now)
                .collect();
            let judged = match passed.as_slice() {
                [] => None,
                [.., last] if schedule.next_after(*last).is_none() && fresh_at < *last => Some(*last),
                [.., second, _] => Some(*second),
                [_] => None,
            };
            let stale = judged.is_some_and(|slot| fresh_at < slot);
            prop_assert_eq!(freshness.stale_since(&schedule, bound, None, now).is_some(), stale);
        }
    }
}
