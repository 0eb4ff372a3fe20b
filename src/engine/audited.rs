//! What a look of the auditor knows beforehand, and what it changes.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;

use super::audit::{Audit, Finding, HOLE, LATE, UNDECIDED};
use crate::{
    domain::{TaskId, TaskName, problem::ProblemKind},
    store::Mark,
};

/// How long a late decision stays a problem, unless the work was done since it was due, or a later slot was on
/// time.
const LATE_STAYS: Duration = Duration::from_secs(24 * 60 * 60);
/// Each row is looked at once: what was torn stays so.
const HOLE_STAYS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub(super) const UNREADABLE: ProblemKind = ProblemKind::ScheduleUnreadable;

/// What one tick knows beforehand.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) suspected: BTreeSet<TaskId>,
    pub(super) now: Timestamp,
    pub(super) paused: bool,
    /// Open problems, and since when.
    pub(super) open: HashMap<(String, String), Timestamp>,
}

impl Look {
    /// Whether such a problem of a task was open when the tick began.
    pub(super) fn is_open(&self, kind: ProblemKind, task: &TaskName) -> bool {
        let key = (kind.as_str().to_owned(), format!("tasks/{task}"));
        self.open.contains_key(&key)
    }

    /// Tasks of which something is told: only a look finds that it is over.
    pub(super) fn names_at_fault(&self) -> impl Iterator<Item = TaskName> + '_ {
        let kinds = [UNDECIDED, LATE, UNREADABLE].map(ProblemKind::as_str);
        let ours = self
            .open
            .keys()
            .filter(move |(kind, _)| kinds.contains(&kind.as_str()));
        ours.filter_map(|(_, subject)| subject.strip_prefix("tasks/")?.parse().ok())
    }
}

/// What an audit of a task changes.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) upto: Option<(TaskId, Timestamp)>,
    pub(super) subject: String,
    pub(super) findings: Vec<Finding>,
    /// Kinds of problems that are over.
    pub(super) over: Vec<ProblemKind>,
}

impl Change {
    /// What an audit changes: the mark, problems that are found, and problems that are over. Where not all there
    /// is was looked at, nothing is known of what is undecided or `unreadable`.
    pub(super) fn of(
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

    /// Takes back that something is over which was raised since it was read.
    pub(super) fn retain_over(&mut self, raised: &HashSet<(ProblemKind, String)>) {
        let subject = &self.subject;
        self.over
            .retain(|kind| !raised.contains(&(*kind, subject.clone())));
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.upto.is_none() && self.findings.is_empty() && self.over.is_empty()
    }

    /// How long such a problem stays after it was found; none where a look tells that it is over.
    pub(super) fn stays(kind: ProblemKind) -> Option<Duration> {
        match kind {
            LATE => Some(LATE_STAYS),
            HOLE => Some(HOLE_STAYS),
            _ => None,
        }
    }
}
