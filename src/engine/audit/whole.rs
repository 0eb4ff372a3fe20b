//! The whole ledger, from each task's creation on: what `watchbell audit-slots` compares.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::{Audit, Finding, HOLE, LATE, Uncompared};
use crate::{
    domain::{
        TaskId, TaskName, TaskSpec,
        ledger::{SlotOutcome, SlotRow},
        schedule::Schedule,
    },
    error::Result,
    store::{Audited, SlotPlace, Store},
};

/// Tasks, and rows of their ledgers, looked at in one go.
const TASKS: usize = 500;
const ROWS: usize = 5000;
/// Schedules that are kept.
const SCHEDULES: usize = 10_000;

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

/// Everything that is wrong with the ledger, from each task's creation on: `watchbell audit-slots`. It reads tasks by pages,
/// and the ledger once, in the order of its key.
///
/// # Errors
/// Where the database is away.
pub async fn audit(
    store: &Store,
    default_zone: &str,
    now: Timestamp,
    grace: Duration,
) -> Result<WholeAudit> {
    let paused = store.global_pause().await?;
    let paused = paused.is_some_and(|pause| pause.holds_at(now, grace));
    let mut auditing = Auditing {
        store,
        default_zone,
        now,
        grace,
        paused,
        schedules: HashMap::new(),
        whole: WholeAudit::default(),
    };
    let mut behind = None;
    loop {
        let tasks = store.tasks_to_audit(behind, TASKS).await?;
        let Some(last) = tasks.last() else {
            return Ok(auditing.whole);
        };
        let last = Some(last.id);
        auditing.audit_page(behind, tasks).await?;
        behind = last;
    }
}

/// A whole audit under way.
struct Auditing<'a> {
    store: &'a Store,
    default_zone: &'a str,
    now: Timestamp,
    grace: Duration,
    paused: bool,
    /// Of specifications that tasks share, by where they lie, which is nobody else's place as long as they are held here.
    schedules: HashMap<usize, (Arc<TaskSpec>, Schedule)>,
    whole: WholeAudit,
}

impl Auditing<'_> {
    /// Audits these tasks, in the order of their ids, by one pass over the rows of their ledgers.
    async fn audit_page(&mut self, behind: Option<TaskId>, tasks: Vec<Audited>) -> Result<()> {
        let Some(last) = tasks.last().map(|task| task.id) else {
            return Ok(());
        };
        self.whole.task_count += tasks.len();
        let mut place = SlotPlace::behind(behind);
        let mut left = tasks.into_iter().peekable();
        // The task of which there is more, and up to where it is looked at.
        let mut more: Option<(Timestamp, Audited)> = None;
        let mut ends = Vec::new();
        loop {
            let rows = self.store.slots_upto(place, last, ROWS).await?;
            // Where the rows end at the limit, the last one's task may have more.
            let cut = rows.last().filter(|_| rows.len() == ROWS);
            let cut = cut.map(|row| (row.task_id, row.upto_at));
            let mut here: Vec<(Timestamp, Audited)> = more.take().into_iter().collect();
            while let Some(task) = left.next_if(|task| cut.is_none_or(|(cut, _)| task.id <= cut)) {
                here.push((task.created_at, task));
            }
            let schedules = self.schedules_of(&here, &rows).await?;
            for (from, task) in here {
                let begin = rows.partition_point(|row| row.task_id < task.id);
                let end = rows.partition_point(|row| row.task_id <= task.id);
                // What ends before the task was made is none of its.
                let of_it = &rows[begin..end];
                let of_it = &of_it[of_it.partition_point(|row| row.upto_at <= from)..];
                let is_whole = cut.is_none_or(|(cut, _)| task.id < cut);
                let seen = self.audit_rows(&task, from, of_it, &schedules, is_whole);
                match is_whole {
                    true => ends.push((seen, task)),
                    false => more = Some((seen, task)),
                }
            }
            match cut {
                None => return self.check_ends(ends).await,
                Some((task, at)) => place = SlotPlace::at(task, at),
            }
        }
    }

    /// Checks rows of a task that follow `from`; says up to where.
    fn audit_rows(
        &mut self,
        task: &Audited,
        from: Timestamp,
        rows: &[SlotRow],
        schedules: &HashMap<(TaskId, i64), Schedule>,
        is_whole: bool,
    ) -> Timestamp {
        let schedule = |revision| schedules.get(&(task.id, revision));
        let mut audit = Audit::of(rows, from, schedule, self.grace);
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
        let paused = self.paused || own.is_some_and(|pause| pause.holds_at(self.now, self.grace));
        if is_whole
            && !(paused || task.is_deleted)
            && let Some(schedule) = schedule(task.revision)
        {
            audit.look_ahead(schedule, task.cursor_at, self.now, self.grace);
        }
        let whole = &mut self.whole;
        whole.row_count += audit.rows;
        whole.slot_count += audit.slots;
        whole.uncompared.add(audit.uncompared);
        // Late is no fault of the ledger: what is late is accounted for.
        audit.findings.retain(|finding| finding.kind != LATE);
        whole.add(&task.name, audit.findings);
        audit.upto
    }

    /// The schedules of the revisions of these rows, and of the newest of each task.
    async fn schedules_of(
        &mut self,
        tasks: &[(Timestamp, Audited)],
        rows: &[SlotRow],
    ) -> Result<HashMap<(TaskId, i64), Schedule>> {
        let names: HashMap<TaskId, &TaskName> = tasks
            .iter()
            .map(|(_, task)| (task.id, &task.name))
            .collect();
        let newest = tasks.iter().map(|(_, task)| (task.id, task.revision));
        let of_rows = rows.iter().map(|row| (row.task_id, row.revision));
        let wanted: BTreeSet<(TaskId, i64)> = newest.chain(of_rows).collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        let mut schedules = HashMap::with_capacity(wanted.len());
        for (id, revision, spec) in self.store.specs(&wanted).await? {
            if let Some(name) = names.get(&id)
                && let Some(schedule) = self.schedule(&spec, name)
            {
                schedules.insert((id, revision), schedule);
            }
        }
        Ok(schedules)
    }

    /// The schedule of a specification; parsed once where it is the same for all tasks that have it.
    fn schedule(&mut self, spec: &Arc<TaskSpec>, name: &TaskName) -> Option<Schedule> {
        let place = Arc::as_ptr(spec).addr();
        if let Some((_, known)) = self.schedules.get(&place) {
            return Some(known.clone());
        }
        let schedule = Schedule::parse(&spec.schedule, name.as_str(), self.default_zone).ok()?;
        if !schedule.is_of_its_name() {
            if SCHEDULES <= self.schedules.len() {
                self.schedules.clear();
            }
            let shared = (spec.clone(), schedule.clone());
            self.schedules.insert(place, shared);
        }
        Some(schedule)
    }

    /// Whether the ledgers, looked at to their ends, end where the tasks are decided up to. A server may decide
    /// meanwhile: the end lies between where the cursor was before the rows were read and where it is now.
    async fn check_ends(&mut self, ends: Vec<(Timestamp, Audited)>) -> Result<()> {
        let elsewhere = |(upto, task): &&(Timestamp, Audited)| *upto != task.cursor_at;
        let ids: Vec<TaskId> = ends
            .iter()
            .filter(elsewhere)
            .map(|(_, task)| task.id)
            .collect();
        let cursors = self.store.cursors_of(&ids).await?;
        for (upto, task) in ends {
            // A deleted task may have been erased.
            let Some(cursor_at) = cursors.get(&task.id) else {
                continue;
            };
            if task.cursor_at <= upto && upto <= *cursor_at {
                continue;
            }
            let hole = Finding {
                kind: HOLE,
                message: format!(
                    "the ledger ends at {upto}, but the task is decided up to {cursor_at}"
                ),
                since: upto,
            };
            self.whole.add(&task.name, vec![hole]);
        }
        Ok(())
    }
}

impl WholeAudit {
    fn add(&mut self, task: &TaskName, findings: Vec<Finding>) {
        if !findings.is_empty() {
            self.tasks
                .entry(task.to_string())
                .or_default()
                .extend(findings);
        }
    }
}
