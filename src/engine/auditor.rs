//! Recomputes, from the revisions, which slots there should be, and compares them with the ledger:
//! independently of the scheduler's loop. It catches a dead scheduler, a torn ledger and a second
//! scheduler.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::Engine;
use crate::{
    domain::{
        Task, TaskId,
        ledger::{SlotOutcome, SlotRow},
        problem::{Problem, Severity},
        retry::later,
        schedule::Schedule,
    },
    error::Result,
    store::{Revision, Store},
};

const EVERY: Duration = Duration::from_secs(30);
const LOOK_TWICE: Duration = Duration::from_secs(1);
/// Ledger rows of one task looked at in one go.
const ROWS: u64 = 1000;
/// How long a late decision stays a problem, unless the work was done since, or a later slot was on
/// time.
const LATE_STAYS: Duration = Duration::from_secs(24 * 60 * 60);

const HOLE: &str = "ledger.hole";
const LATE: &str = "slot.late";
const UNDECIDED: &str = "slot.undecided";

/// Something wrong with a task's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// `ledger.hole`, `slot.late` or `slot.undecided`.
    pub kind: &'static str,
    pub message: String,
}

/// What one look at a task's ledger brought.
#[derive(Debug)]
struct Audit {
    findings: Vec<Finding>,
    /// The ledger is checked up to here.
    upto: Timestamp,
    /// A slot was decided on time in the rows that were looked at.
    on_time: bool,
    /// There are more rows to look at.
    more: bool,
    rows: u64,
    slots: i64,
}

/// The auditor's loop.
#[derive(Debug)]
pub struct Auditor {
    engine: Engine,
    /// Tasks with a slot that was overdue and undecided at the last look. After a host has slept, the
    /// scheduler is deciding what came due meanwhile: only what is so at the next look is a problem.
    suspects: BTreeSet<TaskId>,
    /// Some of them are new.
    look_twice: bool,
}

impl Auditor {
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            suspects: BTreeSet::new(),
            look_twice: false,
        }
    }

    /// Audits until `stop`; `bell` is that of a round.
    pub async fn run(
        mut self,
        stop: CancellationToken,
        mut bell: tokio::sync::watch::Receiver<()>,
    ) {
        while !stop.is_cancelled() {
            if let Err(error) = self.tick().await {
                warn!(%error, "could not audit the ledger; trying again");
            }
            let wake_at = later(self.engine.clock().now(), EVERY);
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.engine.clock().sleep_until(wake_at) => {}
                _ = bell.changed() => {}
                // Real time: the clock may have just jumped.
                () = tokio::time::sleep(LOOK_TWICE), if self.look_twice => {}
            }
        }
    }

    /// Looks at every row that was not looked at, and at every slot that should have been decided.
    ///
    /// # Errors
    /// Where the database is away: the next tick goes on where this one stopped.
    pub async fn tick(&mut self) -> Result<()> {
        let suspects = std::mem::take(&mut self.suspects);
        self.look_twice = false;
        let paused = self.engine.store().global_pause().await?.is_some();
        let open = self
            .engine
            .store()
            .problems(self.engine.clock().now())
            .await?;
        for task in self.engine.store().tasks_all().await? {
            let suspected = suspects.contains(&task.id);
            self.audit_task(task, paused, suspected, &open).await?;
        }
        Ok(())
    }

    async fn audit_task(
        &mut self,
        mut task: Task,
        paused: bool,
        suspected: bool,
        open: &[Problem],
    ) -> Result<()> {
        loop {
            let now = self.engine.clock().now();
            let grace = self.engine.settings().audit_grace;
            let zone = self.engine.default_zone();
            let mut audit =
                audit_since(self.engine.store(), &task, zone, now, grace, paused).await?;
            let is_undecided = |finding: &Finding| finding.kind == UNDECIDED;
            if audit.findings.iter().any(is_undecided) {
                self.suspects.insert(task.id);
                if !suspected {
                    self.look_twice = true;
                    audit.findings.retain(|finding| !is_undecided(finding));
                }
            }
            let subject = task.resource_name();
            let is_open = |kind: &str| {
                open.iter()
                    .any(|problem| problem.kind == kind && problem.subject == subject)
            };
            let undecided = audit
                .findings
                .iter()
                .any(|finding| finding.kind == UNDECIDED);
            let late = audit.findings.iter().any(|finding| finding.kind == LATE);
            let ends_undecided = is_open(UNDECIDED) && !undecided;
            let caught_up = open.iter().any(|problem| {
                problem.kind == LATE
                    && problem.subject == subject
                    && task
                        .health
                        .last_success_at
                        .is_some_and(|at| problem.since < at)
            });
            let ends_late = is_open(LATE) && !late && (audit.on_time || caught_up);
            let moved = task.audited_at < audit.upto;
            if moved || !audit.findings.is_empty() || ends_undecided || ends_late {
                let mut tx = self.engine.store().begin().await?;
                for finding in &audit.findings {
                    error!(task = %task.name, "{}: {}", finding.kind, finding.message);
                    let until = (finding.kind == LATE).then(|| later(now, LATE_STAYS));
                    tx.problem_raise(&problem_of(finding, &subject, now), until)
                        .await?;
                }
                if ends_undecided {
                    tx.problem_clear(UNDECIDED, &subject).await?;
                }
                if ends_late {
                    tx.problem_clear(LATE, &subject).await?;
                }
                if moved {
                    tx.audited(task.id, audit.upto).await?;
                }
                tx.commit().await?;
            }
            if !audit.more {
                return Ok(());
            }
            task.audited_at = audit.upto;
        }
    }
}

/// What a whole audit brought.
#[derive(Clone, Debug, Default)]
pub struct WholeAudit {
    /// What is wrong, by task.
    pub tasks: BTreeMap<String, Vec<Finding>>,
    pub task_count: usize,
    pub row_count: u64,
    pub slot_count: i64,
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
    for tear in store.ledger_tears().await? {
        let finding = Finding {
            kind: HOLE,
            message: tear.message,
        };
        whole.tasks.entry(tear.task).or_default().push(finding);
    }
    let paused = store.global_pause().await?.is_some();
    for mut task in store.tasks_all().await? {
        task.audited_at = task.created_at;
        whole.task_count += 1;
        loop {
            let audit = audit_since(store, &task, default_zone, now, grace, paused).await?;
            whole.row_count += audit.rows;
            whole.slot_count += audit.slots;
            // Late is no fault of the ledger: what is late is accounted for.
            let found: Vec<Finding> = audit
                .findings
                .into_iter()
                .filter(|finding| finding.kind != LATE)
                .collect();
            if !found.is_empty() {
                let name = task.name.to_string();
                whole.tasks.entry(name).or_default().extend(found);
            }
            if !audit.more {
                break;
            }
            task.audited_at = audit.upto;
        }
    }
    Ok(whole)
}

async fn audit_since(
    store: &Store,
    task: &Task,
    default_zone: &str,
    now: Timestamp,
    grace: Duration,
    paused: bool,
) -> Result<Audit> {
    let revisions = store.revisions_since(task.id, task.audited_at).await?;
    let rows = store.slots_since(task.id, task.audited_at, ROWS).await?;
    let more = rows.len() as u64 == ROWS;
    let mut audit = Audit {
        findings: Vec::new(),
        upto: task.audited_at,
        on_time: false,
        more,
        rows: rows.len() as u64,
        slots: rows.iter().map(|row| row.count).sum(),
    };
    let mut schedules: BTreeMap<i64, Schedule> = BTreeMap::new();
    for row in &rows {
        let known = !schedules.contains_key(&row.revision);
        if known && let Some(schedule) = schedule_of(&revisions, row.revision, task, default_zone) {
            schedules.insert(row.revision, schedule);
        }
        check_row(row, schedules.get(&row.revision), grace, &mut audit);
        audit.upto = row.upto_at;
    }
    if more || paused || task.pause.is_some() {
        return Ok(audit);
    }
    let newest = schedule_of(&revisions, task.revision, task, default_zone);
    // Read together, the task and its rows agree but for what was decided between the two reads.
    let decided_upto = audit.upto.max(task.cursor_at);
    if let Some(schedule) = newest
        && let Some(slot) = schedule.next_after(decided_upto)
        && later(schedule.due_at(slot), grace) < now
    {
        audit.findings.push(Finding {
            kind: UNDECIDED,
            message: format!(
                "slot {slot} was due at {} and is not decided",
                schedule.due_at(slot)
            ),
        });
    }
    Ok(audit)
}

fn check_row(row: &SlotRow, schedule: Option<&Schedule>, grace: Duration, audit: &mut Audit) {
    if row.outcome == SlotOutcome::Pruned {
        return;
    }
    if row.after_at != audit.upto {
        audit.findings.push(Finding {
            kind: HOLE,
            message: format!(
                "the row up to {} begins at {}, but the one before it ends at {}",
                row.upto_at, row.after_at, audit.upto
            ),
        });
    }
    // With other rules of the zone the same instants need not be slots.
    let Some(schedule) = schedule.filter(|_| row.tzdb == crate::domain::schedule::tzdb_version())
    else {
        return;
    };
    let expected = schedule.count(row.after_at, row.upto_at);
    if u64::try_from(row.count).ok() != Some(expected) {
        audit.findings.push(Finding {
            kind: HOLE,
            message: format!(
                "({}, {}] holds {expected} slots, but the ledger has {} as {}",
                row.after_at, row.upto_at, row.count, row.outcome
            ),
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

fn problem_of(finding: &Finding, subject: &str, now: Timestamp) -> Problem {
    let action = match finding.kind {
        HOLE => {
            "run `watchbell audit-slots`, keep its output and a copy of the database, and look for a second scheduler"
        }
        LATE => {
            "see whether the server was down or overloaded then, and whether the work it stands for still matters"
        }
        _ => "see whether the server's scheduler is alive: its last tick is in the status",
    };
    Problem {
        severity: Severity::Critical,
        kind: finding.kind.to_owned(),
        subject: subject.to_owned(),
        message: finding.message.clone(),
        action: action.to_owned(),
        since: now,
    }
}
