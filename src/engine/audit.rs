//! Compares a task's ledger with what its revisions say it should be: the auditor's eyes, and the
//! command `watchbell audit-slots`.

mod uncompared;
mod whole;

use std::time::Duration;

use jiff::Timestamp;

pub use self::{
    uncompared::Uncompared,
    whole::{WholeAudit, audit},
};
use crate::domain::{
    ledger::{SlotOutcome, SlotRow},
    problem::ProblemKind,
    retry::later,
    schedule::Schedule,
};

/// A row is missing, or says another number of slots than there are.
pub(super) const HOLE: ProblemKind = ProblemKind::LedgerHole;
/// A slot was decided later than its grace.
pub(super) const LATE: ProblemKind = ProblemKind::SlotLate;
/// A slot is overdue and not decided.
pub(super) const UNDECIDED: ProblemKind = ProblemKind::SlotUndecided;

/// Something wrong with a task's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `ledger.hole`, `slot.late` or `slot.undecided`.
    pub kind: ProblemKind,
    pub message: String,
    /// Since when it is so: where the hole is, or when the slot was due.
    pub since: Timestamp,
}

/// What one look at a task's ledger brought.
#[derive(Debug)]
pub(super) struct Audit {
    pub(super) findings: Vec<Finding>,
    /// The ledger is checked up to here.
    pub(super) upto: Timestamp,
    /// A slot was decided on time in the rows that were looked at.
    pub(super) on_time: bool,
    pub(super) uncompared: Uncompared,
    pub(super) rows: u64,
    slots: i64,
}

impl Audit {
    /// Checks rows that follow `from`, by the schedule of each one's revision.
    pub(super) fn of<'a>(
        rows: &[SlotRow],
        from: Timestamp,
        schedule: impl Fn(i64) -> Option<&'a Schedule>,
        grace: Duration,
    ) -> Self {
        let mut audit = Self {
            findings: Vec::new(),
            upto: from,
            on_time: false,
            uncompared: Uncompared::default(),
            rows: rows.len() as u64,
            slots: rows.iter().map(|row| row.count).sum(),
        };
        for (index, row) in rows.iter().enumerate() {
            check_place(row, index == 0, &mut audit);
            check_row(row, schedule(row.revision), grace, &mut audit);
            audit.upto = row.upto_at;
        }
        audit
    }

    /// Whether a slot behind what is decided is overdue.
    pub(super) fn look_ahead(
        &mut self,
        schedule: &Schedule,
        cursor_at: Timestamp,
        now: Timestamp,
        grace: Duration,
    ) {
        // Read together, the task and its rows agree but for what was decided between the two reads.
        let decided_upto = self.upto.max(cursor_at);
        let Some(slot) = schedule.next_after(decided_upto) else {
            return;
        };
        let due_at = schedule.due_at(slot);
        if later(due_at, grace) < now {
            self.findings.push(Finding {
                kind: UNDECIDED,
                message: format!("slot {slot} was due at {due_at} and is not decided"),
                since: due_at,
            });
        }
    }
}

/// Whether a row begins where the ledger ended before it, and ends later.
fn check_place(row: &SlotRow, is_first: bool, audit: &mut Audit) {
    let upto = audit.upto;
    // Rows that were looked at may have been merged with it since.
    let merged = is_first && row.outcome == SlotOutcome::Pruned && row.after_at < upto;
    if row.after_at != upto && !merged {
        audit.findings.push(Finding {
            kind: HOLE,
            message: format!(
                "the row up to {} begins at {}, but what is before it ends at {upto}",
                row.upto_at, row.after_at
            ),
            since: upto.min(row.after_at),
        });
    }
    if row.upto_at <= row.after_at {
        audit.findings.push(Finding {
            kind: HOLE,
            message: format!(
                "the row up to {} begins at {}, which is not before it",
                row.upto_at, row.after_at
            ),
            since: row.upto_at,
        });
    }
}

fn check_row(row: &SlotRow, schedule: Option<&Schedule>, grace: Duration, audit: &mut Audit) {
    let uncompared = &mut audit.uncompared;
    if row.outcome == SlotOutcome::Pruned {
        return uncompared.pruned.count(row);
    }
    let Some(schedule) = schedule else {
        return uncompared.unreadable.count(row);
    };
    // With other rules of the zone the same instants need not be slots.
    if !schedule.is_made_by(&row.tzdb) {
        return uncompared.of_version(&row.tzdb).count(row);
    }
    let expected = schedule.count(row.after_at, row.upto_at);
    if u64::try_from(row.count).ok() != Some(expected) {
        audit.findings.push(Finding {
            kind: HOLE,
            message: format!(
                "({}, {}] holds {expected} slots, but the ledger has {} as {}",
                row.after_at, row.upto_at, row.count, row.outcome
            ),
            since: row.after_at,
        });
    }
    if row.outcome == SlotOutcome::Dispatched {
        let due_at = schedule.due_at(row.upto_at);
        if later(due_at, grace) < row.decided_at {
            audit.findings.push(Finding {
                kind: LATE,
                message: format!(
                    "slot {} was due at {due_at} and decided at {}",
                    row.upto_at, row.decided_at
                ),
                since: due_at,
            });
        } else {
            audit.findings.retain(|finding| finding.kind != LATE);
            audit.on_time = true;
        }
    }
}
