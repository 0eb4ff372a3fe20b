//! Turns of tasks: how much one may lose before the others have theirs.

/// Rows: a fraction of a second's, so that a task with very many runs holds up no other.
const ROWS: u64 = 5_000;

/// The turn of a task. Where it ends before all is gone that is old enough, another comes once all tasks had theirs: so
/// such a task is not passed over either.
#[derive(Debug)]
pub(super) struct Turn {
    left: u64,
}

impl Turn {
    pub(super) fn begin() -> Self {
        Self { left: ROWS }
    }

    /// One that lasts until all is gone, for what is not a task's.
    pub(super) fn endless() -> Self {
        Self { left: u64::MAX }
    }

    /// Counts rows that went.
    pub(super) fn count(&mut self, rows: u64) {
        self.left = self.left.saturating_sub(rows);
    }

    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }
}
