//! Compares a task's ledger with what its revisions say it should be: the auditor's eyes, and the
//! command `watchbell audit-slots`.

mod uncompared;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

pub use self::uncompared::Uncompared;
use crate::{
    domain::{
        Task,
        ledger::{SlotOutcome, SlotRow},
        problem::ProblemKind,
        retry::later,
        schedule::Schedule,
    },
    error::Result,
    store::{Revision, Store},
};

/// Ledger rows of one task looked at in one go.
const ROWS: u64 = 1000;

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

/// What a whole audit brought.
#[derive(Clone, Debug, Default)]
pub struct WholeAudit {
    /// What is wrong, by task.
    pub tasks: BTreeMap<String, Vec<Finding>>,
    pub task_count: usize,
    pub row_count: u64,
    pub slot_count: i64,
    /// Of these.
    pub uncompared: Uncompared,
}

/// Everything that is wrong with the ledger, from each task's creation on: `watchbell audit-slots`.
///
/// # Errors
/// Where the database is away.
pub async fn audit(
    store: &Store,
    default_zone: &str,
    now: Timestamp,
    grace: Duration,
) -> Result<WholeAudit> {
    let mut whole = WholeAudit::default();
    let paused = store.global_pause().await?;
    let paused = paused.is_some_and(|pause| pause.holds_at(now, grace));
    let mut tasks = store.tasks_all().await?;
    tasks.extend(store.tasks_deleted(u64::MAX).await?);
    for mut task in tasks {
        task.audited_at = task.created_at;
        whole.task_count += 1;
        let mut found = Vec::new();
        loop {
            let (audit, more) = audit_since(store, &task, default_zone, now, grace, paused).await?;
            whole.row_count += audit.rows;
            whole.slot_count += audit.slots;
            whole.uncompared.add(audit.uncompared);
            // Late is no fault of the ledger: what is late is accounted for.
            let faults = audit.findings.into_iter();
            found.extend(faults.filter(|finding| finding.kind != LATE));
            task.audited_at = audit.upto;
            if !more {
                break;
            }
        }
        found.extend(check_end(store, &task).await?);
        if !found.is_empty() {
            let name = task.name.to_string();
            whole.tasks.entry(name).or_default().extend(found);
        }
    }
    Ok(whole)
}

/// Whether the ledger, looked at to its end, ends where the task is decided up to. A server may decide
/// meanwhile: the end lies between where the cursor was before the rows were read and where it is now.
async fn check_end(store: &Store, task: &Task) -> Result<Option<Finding>> {
    let upto = task.audited_at;
    if upto == task.cursor_at {
        return Ok(None);
    }
    // A deleted task may have been erased.
    let Some(cursor_at) = store.cursor_of(task.id).await? else {
        return Ok(None);
    };
    if task.cursor_at <= upto && upto <= cursor_at {
        return Ok(None);
    }
    Ok(Some(Finding {
        kind: HOLE,
        message: format!("the ledger ends at {upto}, but the task is decided up to {cursor_at}"),
        since: upto,
    }))
}

async fn audit_since(
    store: &Store,
    task: &Task,
    default_zone: &str,
    now: Timestamp,
    grace: Duration,
    paused: bool,
) -> Result<(Audit, bool)> {
    let revisions = store.revisions_since(task.id, task.audited_at).await?;
    let rows = store.slots_since(task.id, task.audited_at, ROWS).await?;
    let more = rows.len() as u64 == ROWS;
    let mut schedules: BTreeMap<i64, Schedule> = BTreeMap::new();
    for row in &rows {
        let new = !schedules.contains_key(&row.revision);
        if new && let Some(schedule) = schedule_of(&revisions, row.revision, task, default_zone) {
            schedules.insert(row.revision, schedule);
        }
    }
    let schedule = |revision| schedules.get(&revision);
    let mut audit = Audit::of(&rows, task.audited_at, schedule, grace);
    let begun = rows.first().filter(|row| row.after_at < task.created_at);
    if let Some(row) = begun.filter(|row| row.outcome == SlotOutcome::Pruned) {
        audit.findings.push(Finding {
            kind: HOLE,
            message: format!(
                "the row up to {} begins at {}, but the task was created at {}",
                row.upto_at, row.after_at, task.created_at
            ),
            since: row.after_at,
        });
    }
    let own = task.pause.as_ref();
    let paused = paused || own.is_some_and(|pause| pause.holds_at(now, grace));
    if !(more || paused || task.deleted_at.is_some())
        && let Some(schedule) = schedule_of(&revisions, task.revision, task, default_zone)
    {
        audit.look_ahead(&schedule, task.cursor_at, now, grace);
    }
    Ok((audit, more))
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

fn schedule_of(
    revisions: &[Revision],
    revision: i64,
    task: &Task,
    default_zone: &str,
) -> Option<Schedule> {
    let revision = revisions.iter().find(|known| known.revision == revision)?;
    Schedule::parse(&revision.spec.schedule, task.name.as_str(), default_zone).ok()
}
