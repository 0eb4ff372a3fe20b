//! Recomputes, from the revisions, which slots there should be, and compares them with the ledger:
//! independently of the scheduler's loop. It catches a dead scheduler, a torn ledger and a second
//! scheduler.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Engine,
    audit::{Audit, Finding, HOLE, LATE, UNDECIDED, Uncompared},
};
use crate::{
    domain::{
        TaskId,
        ledger::SlotRow,
        problem::{Problem, ProblemKind},
        retry::later,
        schedule::Schedule,
    },
    error::Result,
    store::{Mark, SpecOf},
};

/// Tasks audited, and rows read, in one go.
const CHUNK: usize = 500;
const ROWS: usize = 2000;

const EVERY: Duration = Duration::from_secs(30);
const LOOK_TWICE: Duration = Duration::from_secs(1);
/// How long a late decision stays a problem, unless the work was done since it was due, or a later slot was on
/// time.
const LATE_STAYS: Duration = Duration::from_secs(24 * 60 * 60);

const HOLE_STAYS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const UNREADABLE: ProblemKind = ProblemKind::ScheduleUnreadable;
/// Under which its problems stand.
const SOURCE: &str = "auditor";

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

/// What one tick knows beforehand.
#[derive(Debug)]
struct Look {
    suspected: BTreeSet<TaskId>,
    now: Timestamp,
    paused: bool,
    /// Open problems, and since when.
    open: HashMap<(String, String), Timestamp>,
}

/// What an audit of a task changes.
#[derive(Debug)]
struct Change {
    upto: Option<(TaskId, Timestamp)>,
    subject: String,
    findings: Vec<Finding>,
    /// Kinds of problems that are over.
    over: Vec<ProblemKind>,
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
        let store = self.engine.store().clone();
        let suspected = std::mem::take(&mut self.suspects);
        self.look_twice = false;
        let pause = store.global_pause().await?;
        let now = self.engine.clock().now();
        let grace = self.engine.settings().audit_grace;
        // What is held back on purpose is no dead scheduler, and told by itself.
        let paused =
            self.engine.held().is_some() || pause.is_some_and(|pause| pause.holds_at(now, grace));
        let open = store.problems(now).await?;
        let open = open
            .into_iter()
            .map(|problem| ((problem.kind, problem.subject), problem.since));
        let look = Look {
            suspected,
            now,
            paused,
            open: open.collect(),
        };
        let mut behind = None;
        loop {
            let marks = store.marks(behind, CHUNK).await?;
            let Some(last) = marks.last() else {
                return Ok(());
            };
            behind = Some(last.id);
            let mut left = marks;
            while !left.is_empty() {
                left = self.audit_marks(left, &look).await?;
            }
        }
    }

    /// Audits what is behind these marks, as far as one read takes it; returns the marks of which there is
    /// more.
    async fn audit_marks(&mut self, marks: Vec<Mark>, look: &Look) -> Result<Vec<Mark>> {
        let engine = self.engine.clone();
        let (now, grace) = (engine.clock().now(), engine.settings().audit_grace);
        let of: Vec<_> = marks
            .iter()
            .map(|mark| (mark.id, mark.name.clone(), mark.revision))
            .collect();
        let schedules = engine.schedules(&of).await?;
        let unseen = marks.iter().filter(|mark| mark.audited_at < mark.cursor_at);
        let unseen: Vec<_> = unseen.map(|mark| (mark.id, mark.audited_at)).collect();
        let rows = engine.store().slots_behind(&unseen, ROWS).await?;
        // Where the rows end at the limit, the last one's task may have more, and those behind it too.
        let cut = rows.last().filter(|_| rows.len() == ROWS);
        let cut = cut.map(|row| row.task_id);
        let old = self.old_schedules(&marks, &rows).await?;

        let mut changes = Vec::new();
        let mut more = Vec::new();
        let (mut seen, mut uncompared) = (0, Uncompared::default());
        for mark in marks {
            let from = rows.partition_point(|row| row.task_id < mark.id);
            let upto = rows.partition_point(|row| row.task_id <= mark.id);
            let newest = schedules
                .get(&mark.id)
                .and_then(|found| found.as_ref().ok());
            let schedule = |revision| {
                if revision == mark.revision {
                    return newest;
                }
                old.get(&(mark.id, revision))
            };
            let mut audit = Audit::of(&rows[from..upto], mark.audited_at, schedule, grace);
            seen += audit.rows;
            uncompared.add(std::mem::take(&mut audit.uncompared));
            let is_whole = cut.is_none_or(|cut| mark.id < cut);
            if let Some(schedule) =
                newest.filter(|_| is_whole && !look.paused && !mark.holds_at(now, grace))
            {
                audit.look_ahead(schedule, mark.cursor_at, now, grace);
            }
            self.doubt(&mark, &mut audit, look);
            let unreadable = match schedules.get(&mark.id) {
                Some(Err(why)) => Some(why.as_str()),
                _ => None,
            };
            changes.push(Change::of(&mark, &audit, look, is_whole, unreadable));
            if !is_whole {
                more.push(Mark {
                    audited_at: audit.upto,
                    ..mark
                });
            }
        }
        engine.board().note(|notes| {
            notes.audited_rows += seen;
            notes.uncompared_rows += uncompared.rows();
        });
        let lines = uncompared.to_string();
        for line in lines.lines() {
            info!("{line}");
        }
        changes.retain(|change| !change.is_nothing());
        if !changes.is_empty() {
            self.write(changes, now).await?;
        }
        Ok(more)
    }

    /// An undecided slot is a problem at the second look.
    fn doubt(&mut self, mark: &Mark, audit: &mut Audit, look: &Look) {
        let is_undecided = |finding: &Finding| finding.kind == UNDECIDED;
        if audit.findings.iter().any(is_undecided) {
            self.suspects.insert(mark.id);
            if !look.suspected.contains(&mark.id) {
                self.look_twice = true;
                audit.findings.retain(|finding| !is_undecided(finding));
            }
        }
    }

    /// The schedules of rows that were decided by an earlier revision than the newest.
    async fn old_schedules(
        &self,
        marks: &[Mark],
        rows: &[SlotRow],
    ) -> Result<BTreeMap<(TaskId, i64), Schedule>> {
        let names: BTreeMap<TaskId, &Mark> = marks.iter().map(|mark| (mark.id, mark)).collect();
        let is_old = |row: &&SlotRow| {
            names
                .get(&row.task_id)
                .is_some_and(|mark| mark.revision != row.revision)
        };
        let old: BTreeSet<(TaskId, i64)> = rows
            .iter()
            .filter(is_old)
            .map(|row| (row.task_id, row.revision))
            .collect();
        let old: Vec<_> = old.into_iter().collect();
        let zone = self.engine.default_zone();
        let read = |(id, revision, spec): SpecOf| {
            let name = names.get(&id)?.name.as_str();
            let schedule = Schedule::parse(&spec.schedule, name, zone).ok()?;
            Some(((id, revision), schedule))
        };
        let specs = self.engine.store().specs(&old).await?;
        Ok(specs.into_iter().filter_map(read).collect())
    }

    async fn write(&self, changes: Vec<Change>, now: Timestamp) -> Result<()> {
        let mut tx = self.engine.store().begin().await?;
        let marks: Vec<_> = changes.iter().filter_map(|change| change.upto).collect();
        tx.audited(&marks).await?;
        for change in changes {
            for finding in &change.findings {
                error!(subject = %change.subject, "{}: {}", finding.kind, finding.message);
                let until = match finding.kind {
                    LATE => Some(later(now, LATE_STAYS)),
                    // Each row is looked at once: what was torn stays so.
                    HOLE => Some(later(now, HOLE_STAYS)),
                    _ => None,
                };
                let message = finding.message.clone();
                let problem =
                    Problem::new(finding.kind, change.subject.clone(), message, finding.since);
                tx.problem_raise(SOURCE, &problem, until).await?;
            }
            for kind in change.over {
                tx.problem_clear(kind.as_str(), &change.subject).await?;
            }
        }
        tx.commit().await
    }
}

impl Change {
    /// What an audit changes: the mark, problems that are found, and problems that are over. Where not all there
    /// is was looked at, nothing is known of what is undecided or `unreadable`.
    fn of(
        mark: &Mark,
        audit: &Audit,
        look: &Look,
        is_whole: bool,
        unreadable: Option<&str>,
    ) -> Self {
        let subject = format!("tasks/{}", mark.name);
        let open_since = |kind: ProblemKind| {
            let key = (kind.as_str().to_owned(), subject.clone());
            look.open.get(&key).copied()
        };
        let mut findings = audit.findings.clone();
        // What was late and is done since is caught up.
        let caught_up = |since: Timestamp| mark.fresh_at.is_some_and(|at| since <= at);
        findings.retain(|finding| finding.kind != LATE || !caught_up(finding.since));
        let found = |kind| findings.iter().any(|finding| finding.kind == kind);
        let mut over = Vec::new();
        if is_whole && open_since(UNDECIDED).is_some() && !found(UNDECIDED) {
            over.push(UNDECIDED);
        }
        if let Some(since) = open_since(LATE)
            && !found(LATE)
            && (audit.on_time || caught_up(since))
        {
            over.push(LATE);
        }
        match (unreadable, open_since(UNREADABLE)) {
            _ if !is_whole => {}
            (Some(why), None) => findings.push(Finding {
                kind: UNREADABLE,
                message: format!(
                    "its schedule cannot be read: {why}; none of its slots is decided"
                ),
                since: look.now,
            }),
            (None, Some(_)) => over.push(UNREADABLE),
            _ => {}
        }
        Self {
            upto: (mark.audited_at < audit.upto).then_some((mark.id, audit.upto)),
            subject,
            findings,
            over,
        }
    }

    fn is_nothing(&self) -> bool {
        self.upto.is_none() && self.findings.is_empty() && self.over.is_empty()
    }
}
