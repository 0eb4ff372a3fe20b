//! A run's words by their numbers, in one.

use crate::domain::{Outcome, RunState, Trigger};

/// What a run is by words, each of which has a number that never changes.
#[derive(Clone, Copy)]
pub(super) struct Word {
    pub(super) state: RunState,
    pub(super) trigger: Trigger,
    pub(super) outcome: Option<Outcome>,
    pub(super) dry_run: bool,
    pub(super) solo: bool,
    pub(super) catch_up: bool,
    /// Whether its newest attempt is its first.
    pub(super) same_start: bool,
}

const STATES: &[(RunState, u32)] = &[
    (RunState::Queued, 1),
    (RunState::Running, 2),
    (RunState::RetryWait, 3),
    (RunState::Succeeded, 4),
    (RunState::Failed, 5),
    (RunState::TimedOut, 6),
    (RunState::Cancelled, 7),
    (RunState::Expired, 8),
    (RunState::Abandoned, 9),
];
const TRIGGERS: &[(Trigger, u32)] = &[
    (Trigger::Schedule, 1),
    (Trigger::Manual, 2),
    (Trigger::Retry, 3),
    (Trigger::Backfill, 4),
];
pub(super) const OUTCOMES: &[(Outcome, u32)] = &[
    (Outcome::Worked, 1),
    (Outcome::NothingToDo, 2),
    (Outcome::Partial, 3),
];
/// Bits of a state, a trigger and an outcome; the flags come after them.
const BITS: [u32; 3] = [5, 4, 4];

pub(super) fn number<T: PartialEq>(words: &[(T, u32)], word: &T) -> Option<u32> {
    let found = words.iter().find(|(known, _)| known == word);
    found.map(|(_, number)| *number)
}

pub(super) fn named<T: Copy>(words: &[(T, u32)], number: u32) -> Option<T> {
    let found = words.iter().find(|(_, known)| *known == number);
    found.map(|(word, _)| *word)
}

impl Word {
    pub(super) fn pack(self) -> Option<u32> {
        let outcome = match self.outcome {
            Some(outcome) => number(OUTCOMES, &outcome)?,
            None => 0,
        };
        let [state_bits, trigger_bits, outcome_bits] = BITS;
        let flags = [self.dry_run, self.solo, self.catch_up, self.same_start];
        let mut word = 0;
        for flag in flags.into_iter().rev() {
            word = word << 1 | u32::from(flag);
        }
        word = word << outcome_bits | outcome;
        word = word << trigger_bits | number(TRIGGERS, &self.trigger)?;
        Some(word << state_bits | number(STATES, &self.state)?)
    }

    pub(super) fn unpack(mut word: u32) -> Option<Self> {
        let mut take = |bits: u32| {
            let taken = word & ((1 << bits) - 1);
            word >>= bits;
            taken
        };
        let [state, trigger, outcome] = BITS.map(&mut take);
        let [dry_run, solo, catch_up, same_start] = [1; 4].map(|bits| take(bits) != 0);
        Some(Self {
            state: named(STATES, state)?,
            trigger: named(TRIGGERS, trigger)?,
            outcome: match outcome {
                0 => None,
                outcome => Some(named(OUTCOMES, outcome)?),
            },
            dry_run,
            solo,
            catch_up,
            same_start,
        })
    }
}
