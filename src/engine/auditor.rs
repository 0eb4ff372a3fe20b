//! Recomputes, from the revisions, which slots there should be, and compares them with the ledger:
//! independently of the scheduler's loop. It catches a dead scheduler, a torn ledger and a second
//! scheduler.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{
    Engine,
    audit::{Finding, HOLE, LATE, UNDECIDED, audit_since},
};
use crate::{
    domain::{
        Task, TaskId,
        problem::{Problem, Severity},
        retry::later,
    },
    error::Result,
};

const EVERY: Duration = Duration::from_secs(30);
const LOOK_TWICE: Duration = Duration::from_secs(1);
/// How long a late decision stays a problem, unless the work was done since, or a later slot was on
/// time.
const LATE_STAYS: Duration = Duration::from_secs(24 * 60 * 60);

const HOLE_STAYS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const UNREADABLE: &str = "schedule.unreadable";

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
            self.audit_schedule(&task, &open).await?;
            let suspected = suspects.contains(&task.id);
            self.audit_task(task, paused, suspected, &open).await?;
        }
        Ok(())
    }

    /// Whether the stored schedule can still be read: another program, or another tz database, may
    /// know less than the one that took it.
    async fn audit_schedule(&self, task: &Task, open: &[Problem]) -> Result<()> {
        let subject = task.resource_name();
        let is_open = open
            .iter()
            .any(|problem| problem.kind == UNREADABLE && problem.subject == subject);
        match self.engine.schedule_of(task) {
            Ok(_) if !is_open => Ok(()),
            Ok(_) => {
                let mut tx = self.engine.store().begin().await?;
                tx.problem_clear(UNREADABLE, &subject).await?;
                tx.commit().await
            }
            Err(_) if is_open => Ok(()),
            Err(error) => {
                let finding = Finding {
                    kind: UNREADABLE,
                    message: format!(
                        "its schedule cannot be read: {error}; none of its slots is decided"
                    ),
                };
                error!(task = %task.name, "{}", finding.message);
                let mut tx = self.engine.store().begin().await?;
                let problem = problem_of(&finding, &subject, self.engine.clock().now());
                tx.problem_raise(&problem, None).await?;
                tx.commit().await
            }
        }
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
                    let until = match finding.kind {
                        LATE => Some(later(now, LATE_STAYS)),
                        // Each row is looked at once: what was torn stays so.
                        HOLE => Some(later(now, HOLE_STAYS)),
                        _ => None,
                    };
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

fn problem_of(finding: &Finding, subject: &str, now: Timestamp) -> Problem {
    let action = match finding.kind {
        HOLE => {
            "run `watchbell audit-slots`, keep its output and a copy of the database, and look for a second scheduler"
        }
        UNREADABLE => {
            "give the task a schedule that this server knows, or install the zone's rules; it goes on by itself then"
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
