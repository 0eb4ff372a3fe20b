//! What could not be pruned.

use tracing::warn;

use crate::engine::Failure;

/// Parts in a row that may fail before the others of their kind are left to the next attempt.
const FAILURES_IN_A_ROW: usize = 10;

/// What could not be pruned, which keeps nothing else from being pruned.
#[derive(Debug, Default)]
pub(super) struct Failed {
    pub(super) count: usize,
    in_a_row: usize,
    pub(super) first: Option<(String, Failure)>,
}

impl Failed {
    /// Takes what came of a part.
    pub(super) fn take(&mut self, part: &str, result: Result<(), Failure>) {
        let Err(failure) = result else {
            self.in_a_row = 0;
            return;
        };
        warn!(part, error = %format!("{:#}", failure.error), "{part} cannot be pruned");
        self.count += 1;
        self.in_a_row += 1;
        self.first.get_or_insert_with(|| (part.to_owned(), failure));
    }

    /// Whether so many failed in a row that the others of their kind would hardly fare better.
    pub(super) fn is_hopeless(&self) -> bool {
        FAILURES_IN_A_ROW <= self.in_a_row
    }
}
