//! A pause, and its end.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{id::TaskId, retry::later, schedule::just_before};

/// A pause of a task, or of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub at: Timestamp,
    pub principal: String,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Progress of its end. A pause of all ends for some tasks after others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

/// An end of a pause of all that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Instant up to which slots are paused, for all tasks alike.
    pub upto: Timestamp,
    /// The last task, by id, for which it has ended.
    pub behind: Option<TaskId>,
    /// Tasks for which it has ended.
    pub tasks: u64,
    /// Tasks among those that had slots in it.
    pub count: u64,
    /// Requests that asked for it: whoever ends it keeps their answer, as who took them may be no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asking>,
}

/// A request that has an id, and gets one answer however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    pub principal: String,
    pub method: String,
    pub request_id: String,
    /// Of the request's body.
    pub fingerprint: String,
}

impl Asking {
    /// The answer, as it is kept: a message whose first field is how many tasks had slots in the pause. Whoever ends it is
    /// told nothing of messages, and may be another server than the one that was asked.
    pub fn answer(&self, count: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = count;
        if 0 < rest {
            // Field 1, a number in groups of seven bits.
            bytes.push(8);
            while 0x7f < rest {
                bytes.push((rest & 0x7f) as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        bytes
    }
}

/// Requests that an end remembers.
const ASKED_AT_MOST: usize = 100;

impl Ending {
    /// Notes who asked for it, once.
    pub fn note(&mut self, asking: Asking) {
        if self.asked.len() < ASKED_AT_MOST && !self.asked.contains(&asking) {
            self.asked.push(asking);
        }
    }
}

impl Pause {
    /// Whether slots are rightly undecided at `now`: its end, where it has one or that is under way, passed less than
    /// `grace` ago.
    pub fn holds_at(&self, now: Timestamp, grace: Duration) -> bool {
        let ending = self.ending.as_ref().map(|ending| ending.upto);
        let end = ending.or(self.until);
        end.is_none_or(|end| now <= later(end, grace))
    }

    /// Instant up to which slots are paused, seen at `now`: a slot at the very instant of its end runs. Never past `now`,
    /// also where its end began by a clock that was ahead.
    pub fn ends_at(&self, now: Timestamp) -> Timestamp {
        if let Some(ending) = &self.ending {
            return ending.upto.min(now);
        }
        match self.until {
            Some(until) if until <= now => just_before(until),
            _ => now,
        }
    }

    /// Whether a slot at this instant falls into it.
    pub fn skips(&self, nominal_at: Timestamp) -> bool {
        match &self.ending {
            Some(ending) => nominal_at <= ending.upto,
            None => self.until.is_none_or(|until| nominal_at < until),
        }
    }

    /// Whether its end is due at `now`, or under way.
    pub fn is_to_end(&self, now: Timestamp) -> bool {
        self.ending.is_some() || self.until.is_some_and(|until| until <= now)
    }

    /// Progress of its end, or the beginning of it where that is not under way.
    pub fn ending_at(&self, now: Timestamp) -> Ending {
        let begins = || Ending {
            upto: self.ends_at(now),
            behind: None,
            tasks: 0,
            count: 0,
            asked: Vec::new(),
        };
        self.ending.clone().unwrap_or_else(begins)
    }

    /// The pause as it was before its end began.
    pub fn without_ending(&self) -> Self {
        Self {
            ending: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_due_after_an_end_that_is_under_way_is_no_part_of_the_pause() {
        let mut pause = Pause {
            at: at(0),
            principal: "ann".to_owned(),
            reason: String::new(),
            until: None,
            ending: None,
        };
        let grace = Duration::from_secs(60);
        assert_eq!(pause.ends_at(at(900)), at(900));
        assert!(pause.holds_at(at(900), grace));
        assert!(pause.skips(at(900)));

        pause.ending = Some(Ending {
            upto: at(600),
            behind: None,
            tasks: 500,
            count: 1,
            asked: Vec::new(),
        });
        assert_eq!(pause.ends_at(at(900)), at(600));
        assert_eq!(pause.ends_at(at(500)), at(500), "the clock was set back");
        assert!(pause.skips(at(600)));
        assert!(!pause.skips(at(900)), "it comes after the end");
        assert!(pause.holds_at(at(650), grace));
        assert!(!pause.holds_at(at(661), grace), "an end that hangs");
    }
}
