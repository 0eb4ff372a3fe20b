//! Whether the clock may be decided by: one that has jumped ahead, for no reason that is known, is held back first.
//!
//! What was decided is never undone, so a clock that is ahead for a minute would close all slots up to there, and stop
//! every task until then. The rule: the clock runs along a line, on which as much time passes as for the machine. What
//! leaves it forward is held for [`HOLD_FOR`], or until someone says to go on, or until the clock is back.
//!
//! At a start, one that nothing has set is held as well, until something sets it: while that may still come, and where it
//! is ahead of what is known, which may be wrong however long the machine has run. A host whose clock is kept by what is
//! around it, as that of a virtual machine or of a container, may call it so for ever: there it is held once in each start of
//! the machine. What was believed since then, and has kept to its line, is believed; and where nothing was ever noted,
//! nothing can be closed by it that was not made by it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long nothing is decided.
pub const HOLD_FOR: Duration = Duration::from_secs(5 * 60);
/// A clock that is further ahead of its line was set, and did not just run fast.
const JUMP: SignedDuration = SignedDuration::from_secs(60);
/// The same at a start, where nobody knows how long the machine was down.
const JUMP_AT_START: SignedDuration = SignedDuration::from_hours(24);

/// After so long, what sets the clock of a machine has set it, or nothing is going to move it.
const SETTLES: Duration = Duration::from_secs(10 * 60);

/// What the clocks say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub now: Timestamp,
    pub since_boot: Duration,
    /// Whether the host says that its clock was set by others; none where it does not tell.
    pub is_synchronised: Option<bool>,
}

impl Reading {
    /// Whether the host says that nothing keeps its clock right.
    pub fn is_unset(&self) -> bool {
        self.is_synchronised == Some(false)
    }
}

/// What was noted of the clock while it was believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockNote {
    pub at: Timestamp,
    /// The start of the machine that noted it, and how long that was ago.
    pub boot: String,
    pub since_boot: Duration,
}

/// Why nothing is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Doubt {
    /// It has jumped so far ahead while this server ran, or since another in the same start of the machine.
    Jumped(SignedDuration),
    /// At a start it is so far ahead of the newest instant that is known.
    Ahead(SignedDuration),
    /// The host says that nothing has set it since the start.
    Unsynchronised,
    /// Another server holds back.
    Elsewhere,
}

/// A time in which nothing is decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub doubt: Doubt,
    /// The time that the clock was expected to show as it began.
    pub since: Timestamp,
    /// When it ends by itself, by the clock in doubt.
    pub until: Timestamp,
    /// By the time since the start of the machine.
    ends: Duration,
}

/// Watches over one server's clock.
#[derive(Clone, Debug)]
pub struct ClockGuard {
    /// A moment at which the clock was believed.
    at: Timestamp,
    since_boot: Duration,
    slack: SignedDuration,
    hold: Option<Hold>,
    /// Since when it has been behind its line, by the time since the start of the machine.
    behind_since: Option<Duration>,
}

impl ClockGuard {
    /// Believes the clock as it is.
    pub fn trusting(reading: Reading) -> Self {
        Self {
            at: reading.now,
            since_boot: reading.since_boot,
            slack: JUMP,
            hold: None,
            behind_since: None,
        }
    }

    /// At a start, by what was noted before, and by whether another server holds back.
    pub fn begin(reading: Reading, boot: &str, noted: Option<&ClockNote>, elsewhere: bool) -> Self {
        let mut guard = Self::trusting(reading);
        let mut doubt = None;
        let mut may_be_wrong = false;
        if let Some(note) = noted {
            let same_boot = note.boot == boot && note.since_boot <= reading.since_boot;
            let passed = match same_boot {
                true => reading.since_boot.saturating_sub(note.since_boot),
                false => Duration::ZERO,
            };
            guard.at = after(note.at, passed);
            guard.slack = if same_boot { JUMP } else { JUMP_AT_START };
            let ahead = guard.ahead(reading);
            may_be_wrong = !same_boot && (reading.since_boot < SETTLES || JUMP < ahead);
            if guard.slack < ahead {
                doubt = Some(match same_boot {
                    true => Doubt::Jumped(ahead),
                    false => Doubt::Ahead(ahead),
                });
            }
        }
        if doubt.is_none() && may_be_wrong && reading.is_unset() {
            doubt = Some(Doubt::Unsynchronised);
        }
        if doubt.is_none() && elsewhere {
            doubt = Some(Doubt::Elsewhere);
        }
        match doubt {
            Some(doubt) => guard.doubt(doubt, reading),
            // One that is behind may still be set: by up to a day beyond what is known.
            None if reading.now < guard.at => {}
            None => guard = Self::trusting(reading),
        }
        guard
    }

    pub fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// Looks; whether nothing may be decided now.
    pub fn look(&mut self, reading: Reading) -> bool {
        let ahead = self.ahead(reading);
        match self.hold.as_ref().map(|hold| (hold.doubt, hold.ends)) {
            Some((_, ends)) if ends <= reading.since_boot => self.accept(reading),
            Some((Doubt::Jumped(by) | Doubt::Ahead(by), _)) => {
                if ahead <= self.slack {
                    self.accept(reading);
                } else if JUMP < (ahead - by).abs() {
                    // Set again meanwhile: that is another doubt.
                    self.doubt(Doubt::Jumped(ahead), reading);
                }
            }
            Some((Doubt::Unsynchronised, _)) if !reading.is_unset() => self.accept(reading),
            Some((Doubt::Unsynchronised | Doubt::Elsewhere, _)) => {}
            None if self.slack < ahead => self.doubt(Doubt::Jumped(ahead), reading),
            None if ahead < -JUMP => {
                let since = *self.behind_since.get_or_insert(reading.since_boot);
                // Set back for a while, it is not on its way there and forth.
                if HOLD_FOR <= reading.since_boot.saturating_sub(since) {
                    self.accept(reading);
                }
            }
            None => self.accept(reading),
        }
        self.hold.is_some()
    }

    /// Believes the clock from here on.
    pub fn accept(&mut self, reading: Reading) {
        *self = Self::trusting(reading);
    }

    fn doubt(&mut self, doubt: Doubt, reading: Reading) {
        self.hold = Some(Hold {
            doubt,
            since: after(self.at, reading.since_boot.saturating_sub(self.since_boot)),
            until: after(reading.now, HOLD_FOR),
            ends: reading.since_boot.saturating_add(HOLD_FOR),
        });
    }

    /// How far the clock is ahead of its line.
    fn ahead(&self, reading: Reading) -> SignedDuration {
        let passed = reading.since_boot.saturating_sub(self.since_boot);
        reading.now.duration_since(after(self.at, passed))
    }
}

impl Hold {
    /// What is wrong, in a sentence.
    pub fn why(&self) -> String {
        let end = format!(
            "nothing is decided until {} by it, or until someone accepts it",
            self.until
        );
        match self.doubt {
            Doubt::Jumped(by) => format!(
                "the clock has jumped {:#} ahead, by which no time has passed for the machine: {end}",
                round(by)
            ),
            Doubt::Ahead(by) => format!(
                "at the start the clock is {:#} ahead of the newest instant that is known: {end}",
                round(by)
            ),
            Doubt::Unsynchronised => {
                format!("the host says that nothing has set its clock since it was started: {end}")
            }
            Doubt::Elsewhere => {
                format!("another server holds back since its clock has jumped: {end}")
            }
        }
    }
}

fn round(by: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(by.as_secs())
}

fn after(at: Timestamp, passed: Duration) -> Timestamp {
    crate::domain::retry::later(at, passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn reading(now: i64, since_boot: u64) -> Reading {
        Reading {
            now: Timestamp::from_second(now).unwrap(),
            since_boot: Duration::from_secs(since_boot),
            is_synchronised: None,
        }
    }

    fn note(at: i64, boot: &str, since_boot: u64) -> ClockNote {
        ClockNote {
            at: Timestamp::from_second(at).unwrap(),
            boot: boot.to_owned(),
            since_boot: Duration::from_secs(since_boot),
        }
    }

    #[test]
    fn time_that_passes_and_sleep_are_believed() {
        let mut guard = ClockGuard::trusting(reading(0, 0));
        assert!(!guard.look(reading(5, 5)));
        assert!(!guard.look(reading(10 * HOUR, 36_000)));
        assert!(!guard.look(reading(10 * HOUR + 35, 36_005)), "a small step");
    }

    #[test]
    fn a_jump_ahead_is_held_until_it_is_over() {
        let mut guard = ClockGuard::trusting(reading(0, 0));
        assert!(guard.look(reading(HOUR, 5)));
        let hold = guard.hold().unwrap().clone();
        assert_eq!(hold.since, Timestamp::from_second(5).unwrap());
        assert!(guard.look(reading(HOUR + 299, 304)));
        assert_eq!(guard.hold(), Some(&hold));
        assert!(!guard.look(reading(HOUR + 300, 305)), "its time is over");
        assert!(!guard.look(reading(HOUR + 301, 306)));
    }

    #[test]
    fn a_clock_that_is_put_right_ends_the_hold() {
        let mut guard = ClockGuard::trusting(reading(0, 0));
        assert!(guard.look(reading(HOUR, 5)));
        assert!(!guard.look(reading(10, 10)));
        assert!(guard.look(reading(HOUR, 15)), "again");
    }

    #[test]
    fn one_that_jumps_again_while_it_is_held_is_held_anew() {
        let mut guard = ClockGuard::trusting(reading(0, 0));
        assert!(guard.look(reading(HOUR, 5)));
        assert!(guard.look(reading(2 * HOUR, 200)));
        assert!(guard.look(reading(2 * HOUR + 200, 400)));
        assert!(!guard.look(reading(2 * HOUR + 300, 500)));
    }

    #[test]
    fn one_that_was_set_back_for_a_while_is_on_another_line() {
        let mut guard = ClockGuard::trusting(reading(10 * HOUR, 0));
        assert!(!guard.look(reading(0, 5)));
        assert!(!guard.look(reading(10 * HOUR + 10, 10)), "there and back");
        assert!(!guard.look(reading(0, 20)));
        assert!(!guard.look(reading(300, 320)));
        assert!(guard.look(reading(HOUR, 325)));
    }

    #[test]
    fn a_start_is_compared_with_what_was_noted() {
        let day = 24 * HOUR;
        let held = |reading, noted: ClockNote| {
            let guard = ClockGuard::begin(reading, "now", Some(&noted), false);
            guard.hold().map(|hold| hold.doubt)
        };
        // The same start of the machine: what has passed is known.
        assert_eq!(held(reading(3 * day, 260_000), note(0, "now", 800)), None);
        assert!(matches!(
            held(reading(HOUR, 100), note(0, "now", 90)),
            Some(Doubt::Jumped(_))
        ));
        // Another: it may have been down for a while.
        assert_eq!(held(reading(HOUR, 10), note(0, "before", 90)), None);
        assert!(matches!(
            held(reading(2 * day, 10), note(0, "before", 90)),
            Some(Doubt::Ahead(_))
        ));
        assert_eq!(held(reading(0, 10), note(2 * day, "before", 90)), None);
    }

    #[test]
    fn one_that_was_behind_at_the_start_may_be_set_to_what_is_known() {
        let noted = note(100 * HOUR, "before", 90);
        let mut guard = ClockGuard::begin(reading(0, 10), "now", Some(&noted), false);
        assert!(!guard.look(reading(3, 13)));
        assert!(!guard.look(reading(102 * HOUR, 20)));
        assert!(
            guard.look(reading(104 * HOUR, 25)),
            "and is watched from there"
        );
    }

    #[test]
    fn one_that_nothing_has_set_is_held_until_something_does() {
        let unset = |now, since_boot, is| Reading {
            is_synchronised: is,
            ..reading(now, since_boot)
        };
        let before = note(-HOUR, "before", 9000);
        let mut guard = ClockGuard::begin(unset(0, 5, Some(false)), "now", Some(&before), false);
        assert_eq!(guard.hold().unwrap().doubt, Doubt::Unsynchronised);
        assert!(guard.look(unset(1, 6, Some(false))));
        assert!(!guard.look(unset(2, 7, Some(true))));
        assert!(!guard.look(unset(3, 8, Some(false))), "only at a start");

        let mut guard = ClockGuard::begin(unset(0, 5, Some(false)), "now", Some(&before), false);
        assert!(guard.look(unset(299, 304, Some(false))));
        assert!(!guard.look(unset(300, 305, Some(false))), "in vain");
    }

    #[test]
    fn one_that_nothing_is_going_to_set_or_that_was_believed_is_not_held() {
        let is_held = |since_boot, is, noted: Option<ClockNote>| {
            let reading = Reading {
                is_synchronised: is,
                ..reading(0, since_boot)
            };
            let guard = ClockGuard::begin(reading, "now", noted.as_ref(), false);
            guard.hold().is_some()
        };
        let before = Some(note(-HOUR, "before", 9000));
        assert!(is_held(599, Some(false), before.clone()));
        assert!(is_held(86_400, Some(false), before.clone()), "it is ahead");
        assert!(!is_held(5, None, before), "the host does not tell");
        let just_before = Some(note(-60, "before", 9000));
        assert!(
            is_held(599, Some(false), just_before.clone()),
            "it may move"
        );
        assert!(!is_held(600, Some(false), just_before), "it stays so");
        let after = Some(note(HOUR, "before", 9000));
        assert!(!is_held(600, Some(false), after), "all of it was closed");
        let believed = Some(note(-10, "now", 290));
        assert!(!is_held(300, Some(false), believed), "by the server before");
        let jumped = Some(note(-HOUR, "now", 290));
        assert!(is_held(300, Some(false), jumped));
        assert!(!is_held(5, Some(false), None), "there is nothing to close");
    }
}
