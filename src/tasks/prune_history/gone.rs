//! What a run of `prune-history` has dropped.

/// Numbers of what is gone, by what it was.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pub(super) runs: u64,
    pub(super) slots: u64,
    pub(super) events: u64,
    pub(super) requests: u64,
    pub(super) revisions: u64,
    pub(super) tasks: u64,
    /// Of runs that stay.
    pub(super) logs: u64,
}

impl Gone {
    pub(super) fn all(&self) -> u64 {
        self.runs
            + self.slots
            + self.events
            + self.requests
            + self.revisions
            + self.tasks
            + self.logs
    }

    pub(super) fn message(&self, verb: &str) -> String {
        format!(
            "{} runs, {} logs of others, {} ledger rows, {} events, {} kept answers, {} revisions, {} deleted tasks {verb}",
            self.runs,
            self.logs,
            self.slots,
            self.events,
            self.requests,
            self.revisions,
            self.tasks
        )
    }
}
