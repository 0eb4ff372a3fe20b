//! Recomputes, from the revisions, which slots there should be, and compares them with the ledger:
//! independently of the scheduler's loop. It catches a dead scheduler, a torn ledger and a second
//! scheduler.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Engine,
    audit::{Audit, Finding, UNDECIDED, Uncompared},
    audited::{Change, Look},
};
use crate::{
    domain::{
        TaskId, TaskName,
        ledger::SlotRow,
        problem::Problem,
        retry::{earlier, later},
        schedule::Schedule,
    },
    error::Result,
    store::{Mark, Marked, SpecOf},
};

/// Tasks audited, and rows read, in one go.
const CHUNK: usize = 500;
const ROWS: usize = 2000;
/// Tasks looked at in one tick although nothing says that there is anything to see: a wrong plan would say nothing.
const SLICE: usize = 5000;

const EVERY: Duration = Duration::from_secs(30);
const LOOK_TWICE: Duration = Duration::from_secs(1);
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
    /// Behind this one the next slice begins; with the first where there is none.
    place: Option<TaskId>,
}

impl Auditor {
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            suspects: BTreeSet::new(),
            look_twice: false,
            place: None,
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
                // Real time: the clock may have just jumped. Nothing makes the second look sooner, or it would see the same.
                () = tokio::time::sleep(LOOK_TWICE), if self.look_twice => {}
                () = self.engine.clock().sleep_until(wake_at), if !self.look_twice => {}
                // Also where the clock was set back far, after it was ahead.
                () = tokio::time::sleep(EVERY), if !self.look_twice => {}
                _ = bell.changed(), if !self.look_twice => {}
            }
        }
    }

    /// Looks at every row that was not looked at, at tasks that are overdue or were at fault, and at the next slice of
    /// all tasks: whether each slot was decided that should have been, whatever the plan says.
    ///
    /// # Errors
    /// Where the database is away: the next tick goes on where this one stopped.
    pub async fn tick(&mut self) -> Result<()> {
        let store = self.engine.store().clone();
        let suspected = std::mem::take(&mut self.suspects);
        let is_second = std::mem::take(&mut self.look_twice);
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
        let mut look = Look {
            suspected,
            now,
            paused,
            open: open.collect(),
        };
        self.audit_all(&Marked::Unaudited, &mut look).await?;
        if !paused {
            let since = Marked::OverdueSince(earlier(now, grace));
            let mut overdue = store.marks(&since, None, SLICE).await?;
            while !overdue.is_empty() {
                let rest = overdue.split_off(overdue.len().min(CHUNK));
                self.audit_page(overdue, &mut look).await?;
                overdue = rest;
            }
        }
        let suspected: Vec<TaskId> = look.suspected.iter().copied().collect();
        for ids in suspected.chunks(CHUNK) {
            self.audit_all(&Marked::Ids(ids), &mut look).await?;
        }
        let names: BTreeSet<TaskName> = look.names_at_fault().collect();
        let names: Vec<TaskName> = names.into_iter().collect();
        for names in names.chunks(CHUNK) {
            self.audit_all(&Marked::Names(names), &mut look).await?;
        }
        if !is_second {
            self.audit_slice(&mut look).await?;
        }
        Ok(())
    }

    /// Audits all of these tasks.
    async fn audit_all(&mut self, which: &Marked<'_>, look: &mut Look) -> Result<()> {
        let mut behind = None;
        loop {
            let marks = self.engine.store().marks(which, behind, CHUNK).await?;
            let Some(last) = marks.last() else {
                return Ok(());
            };
            behind = Some(last.id);
            self.audit_page(marks, look).await?;
        }
    }

    /// Audits the next of all tasks, in their order; behind the last one it begins anew at the next tick.
    async fn audit_slice(&mut self, look: &mut Look) -> Result<()> {
        let store = self.engine.store().clone();
        let mut left = SLICE;
        while 0 < left {
            let marks = store
                .marks(&Marked::All, self.place, CHUNK.min(left))
                .await?;
            let ids: Vec<TaskId> = marks.iter().map(|mark| mark.id).collect();
            if ids.is_empty() {
                self.place = None;
                return Ok(());
            }
            left -= ids.len();
            self.audit_page(marks, look).await?;
            self.place = ids.last().copied();
            // A server of an earlier version does not write what tasks are found by.
            let outdated = store.facets_outdated(&ids).await?;
            if !outdated.is_empty() {
                let mut tx = store.begin().await?;
                tx.facets_renew(&outdated).await?;
                tx.commit().await?;
            }
        }
        Ok(())
    }

    async fn audit_page(&mut self, marks: Vec<Mark>, look: &mut Look) -> Result<()> {
        let mut left = marks;
        while !left.is_empty() {
            left = self.audit_marks(left, look).await?;
        }
        Ok(())
    }

    /// Audits what is behind these marks, as far as one read takes it; returns the marks of which there is
    /// more.
    async fn audit_marks(&mut self, marks: Vec<Mark>, look: &mut Look) -> Result<Vec<Mark>> {
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
            self.write(&changes, now).await?;
            changes.iter().for_each(|change| look.note(change));
        }
        Ok(more)
    }

    /// An undecided slot is a problem at the second look, and stays one where it was before a start.
    fn doubt(&mut self, mark: &Mark, audit: &mut Audit, look: &Look) {
        let is_undecided = |finding: &Finding| finding.kind == UNDECIDED;
        if audit.findings.iter().any(is_undecided) {
            self.suspects.insert(mark.id);
            let is_open = look
                .open_since(UNDECIDED, &format!("tasks/{}", mark.name))
                .is_some();
            if !look.suspected.contains(&mark.id) && !is_open {
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

    async fn write(&self, changes: &[Change], now: Timestamp) -> Result<()> {
        let mut tx = self.engine.store().begin().await?;
        let marks: Vec<_> = changes.iter().filter_map(|change| change.upto).collect();
        let is_told = |change: &&Change| !change.over.is_empty() || !change.findings.is_empty();
        let told: Vec<&Change> = changes.iter().filter(is_told).collect();
        let ids: Vec<TaskId> = told.iter().map(|change| change.task).collect();
        if !ids.is_empty() {
            // None is deleted between the look and what is told of it. All in the one order, before any is written.
            let marked = marks.iter().map(|(task, _)| *task);
            let touched: Vec<TaskId> = ids.iter().copied().chain(marked).collect();
            tx.tasks_lock(&touched).await?;
        }
        tx.audited(&marks).await?;
        // Of one that was deleted since it was read nothing is told: another may have its name by now.
        let there = tx.tasks_there(&ids).await?;
        for change in told.iter().filter(|change| there.contains(&change.task)) {
            for kind in &change.over {
                tx.problem_clear(kind.as_str(), &change.subject).await?;
            }
            for finding in &change.findings {
                error!(subject = %change.subject, "{}: {}", finding.kind, finding.message);
                let until = Change::stays(finding.kind).map(|stays| later(now, stays));
                let message = finding.message.clone();
                let problem =
                    Problem::new(finding.kind, change.subject.clone(), message, finding.since);
                tx.problem_raise(SOURCE, &problem, until).await?;
            }
        }
        tx.commit().await
    }
}
