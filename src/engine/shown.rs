//! Problems of one kind, of which there may be very many.

use jiff::Timestamp;

use crate::domain::problem::{Problem, ProblemKind};

/// Problems of a kind that are told; what is beyond is told as a number.
pub(super) const SHOWN: usize = 1000;

/// Problems of a kind, as far as they are shown, and how many are not.
#[derive(Debug, Default)]
pub(super) struct Shown {
    problems: Vec<Problem>,
    more: usize,
}

impl Shown {
    pub(super) fn take(&mut self, problem: impl FnOnce() -> Problem) {
        if self.problems.len() < SHOWN {
            self.problems.push(problem());
        } else {
            self.more += 1;
        }
    }

    /// All that is shown; `what` says of what there are more.
    pub(super) fn all(mut self, kind: ProblemKind, what: &str, now: Timestamp) -> Vec<Problem> {
        if 0 < self.more {
            let message = format!("{} {what}", self.more);
            self.problems
                .push(Problem::new(kind, "tasks", message, now));
        }
        self.problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_is_told_as_a_number() {
        let now = Timestamp::UNIX_EPOCH;
        let mut shown = Shown::default();
        for number in 0..SHOWN + 2 {
            let subject = format!("tasks/{number}");
            shown.take(|| Problem::new(ProblemKind::TaskPaused, subject, "", now));
        }
        let all = shown.all(ProblemKind::TaskPaused, "more tasks are paused", now);
        assert_eq!(all.len(), SHOWN + 1);
        let last = all.last().unwrap();
        assert_eq!(last.subject, "tasks");
        assert_eq!(last.message, "2 more tasks are paused");
        let none = Shown::default().all(ProblemKind::TaskPaused, "more", now);
        assert_eq!(none, []);
    }
}
