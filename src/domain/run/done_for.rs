//! The instant that a run counts for: how new its work is where it succeeds, and what has to be made good where it fails.

use jiff::Timestamp;

use super::{Run, Trigger};

impl Run {
    /// The instant for which its work is done, where it succeeded in full at `finished_at`: its newest attempt did
    /// what was due as it began, and nothing that came due meanwhile. A backfill does the work of its slot, and so
    /// does a run that repeats one of a slot. One that was given values does none that is due.
    pub fn fresh_at(&self, finished_at: Timestamp) -> Option<Timestamp> {
        if !self.is_full_success() || self.policy.given {
            return None;
        }
        let began_at = self.attempt_started_at.unwrap_or(finished_at);
        let at = match (self.trigger, self.nominal_at) {
            (Trigger::Backfill | Trigger::Retry, Some(nominal_at)) => nominal_at,
            (Trigger::Schedule | Trigger::Manual, Some(nominal_at)) => nominal_at.max(began_at),
            (_, None) => began_at,
        };
        // No work is done for what is to come, whatever a clock said meanwhile.
        Some(at.min(finished_at))
    }

    /// The instant that a full success has to reach to make good that it failed at `failed_at`; none where it was
    /// given values, so that any success does.
    pub fn failed_for(&self, failed_at: Timestamp) -> Option<Timestamp> {
        let of = self.nominal_at.or(self.attempt_started_at);
        (!self.policy.given).then(|| of.unwrap_or(self.due_at).min(failed_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Outcome, RunState, TaskId, TaskSpec, task::Course};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// One of the slot of 2 March that began an hour late, as of `trigger`.
    fn done(trigger: Trigger) -> Run {
        let slot = at("2026-03-02T02:00:00Z");
        let spec = TaskSpec::default();
        let course = Course {
            id: TaskId::new(),
            name: "task".parse().unwrap(),
            next_slot_at: None,
            next_due_at: None,
            rules: 0,
            cursor_at: slot,
            pause: None,
            revision: 1,
            spec: spec.into(),
        };
        let mut run = crate::domain::decide::new_run(&course, trigger, slot, slot);
        run.nominal_at = Some(slot);
        run.state = RunState::Succeeded;
        run.outcome = Some(Outcome::Worked);
        run.attempt_started_at = Some(at("2026-03-02T03:00:00Z"));
        run
    }

    #[test]
    fn work_is_as_new_as_its_beginning_and_that_of_a_repeated_slot_as_its_slot() {
        let ended = at("2026-03-04T01:59:00Z");
        let fresh = |run: &Run| run.fresh_at(ended).unwrap();
        for (trigger, expected) in [
            (Trigger::Schedule, "2026-03-02T03:00:00Z"),
            (Trigger::Manual, "2026-03-02T03:00:00Z"),
            (Trigger::Retry, "2026-03-02T02:00:00Z"),
            (Trigger::Backfill, "2026-03-02T02:00:00Z"),
        ] {
            assert_eq!(fresh(&done(trigger)), at(expected), "{trigger}");
        }
        let mut by_hand = done(Trigger::Retry);
        by_hand.nominal_at = None;
        assert_eq!(fresh(&by_hand), at("2026-03-02T03:00:00Z"));
        let mut early = done(Trigger::Schedule);
        early.attempt_started_at = Some(at("2026-03-02T01:59:59Z"));
        assert_eq!(fresh(&early), at("2026-03-02T02:00:00Z"));
    }

    #[test]
    fn no_work_is_newer_than_its_end_and_what_was_given_values_is_none_of_it() {
        let ended = at("2026-03-01T00:00:00Z");
        for trigger in [Trigger::Schedule, Trigger::Retry, Trigger::Backfill] {
            assert_eq!(done(trigger).fresh_at(ended), Some(ended), "{trigger}");
            assert_eq!(done(trigger).failed_for(ended), Some(ended), "{trigger}");
            let mut given = done(trigger);
            given.policy.given = true;
            let later = at("2026-03-04T00:00:00Z");
            assert_eq!(
                (given.fresh_at(later), given.failed_for(later)),
                (None, None)
            );
        }
    }

    #[test]
    fn a_repetition_makes_good_what_it_repeats() {
        let ended = at("2026-03-04T00:00:00Z");
        for trigger in [Trigger::Schedule, Trigger::Backfill] {
            let repeated = done(Trigger::Retry).fresh_at(ended);
            assert_eq!(done(trigger).failed_for(ended), repeated, "{trigger}");
        }
    }
}
