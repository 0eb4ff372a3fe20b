//! What a look of the auditor knows beforehand, and what it changes.

use std::{
    collections::{BTreeSet, HashMap},
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
    /// Open problems, and since when: as they were when the tick began, and what it has changed.
    pub(super) open: HashMap<(String, String), Timestamp>,
}

impl Look {
    /// Since when such a problem of a subject is open.
    pub(super) fn open_since(&self, kind: ProblemKind, subject: &str) -> Option<Timestamp> {
        let key = (kind.as_str().to_owned(), subject.to_owned());
        self.open.get(&key).copied()
    }

    /// Notes what a change has told.
    pub(super) fn note(&mut self, change: &Change) {
        let key = |kind: ProblemKind| (kind.as_str().to_owned(), change.subject.clone());
        for kind in &change.over {
            self.open.remove(&key(*kind));
        }
        for finding in &change.findings {
            // The onset stays while it lasts.
            self.open.entry(key(finding.kind)).or_insert(finding.since);
        }
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
    pub(super) task: TaskId,
    pub(super) upto: Option<(TaskId, Timestamp)>,
    pub(super) subject: String,
    pub(super) findings: Vec<Finding>,
    /// Kinds of problems that are over, before what is found begins.
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
        let open_since = |kind: ProblemKind| look.open_since(kind, &subject);
        let mut findings = audit.findings.clone();
        // What was late and is done since is caught up.
        let caught_up = |since: Timestamp| mark.fresh_at.is_some_and(|at| since <= at);
        findings.retain(|finding| finding.kind != LATE || !caught_up(finding.since));
        let found = |kind| findings.iter().any(|finding| finding.kind == kind);
        let mut over = Vec::new();
        if is_whole && open_since(UNDECIDED).is_some() && !found(UNDECIDED) {
            over.push(UNDECIDED);
        }
        // What is late since is told anew, with its own onset.
        if let Some(since) = open_since(LATE)
            && (caught_up(since) || audit.on_time && !found(LATE))
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
            task: mark.id,
            upto: (mark.audited_at < audit.upto).then_some((mark.id, audit.upto)),
            subject,
            findings,
            over,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TaskId;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_is_late_since_the_work_was_done_is_told_with_its_own_onset() {
        let mark = Mark {
            id: TaskId::new(),
            name: "task".parse().unwrap(),
            revision: 1,
            cursor_at: at(40),
            audited_at: at(40),
            pause: None,
            fresh_at: Some(at(20)),
        };
        let mut look = Look {
            suspected: BTreeSet::new(),
            now: at(50),
            paused: false,
            open: HashMap::from([((LATE.as_str().to_owned(), "tasks/task".to_owned()), at(10))]),
        };
        let mut audit = Audit::of(&[], at(40), |_| None, Duration::ZERO);
        audit.findings.push(Finding {
            kind: LATE,
            message: String::new(),
            since: at(30),
        });
        let change = Change::of(&mark, &audit, &look, true, None);
        assert_eq!(change.over, [LATE]);
        assert_eq!(change.findings[0].since, at(30));

        look.note(&change);
        assert_eq!(look.open_since(LATE, "tasks/task"), Some(at(30)));
        audit.findings.clear();
        let again = Change::of(&mark, &audit, &look, true, None);
        assert!(again.is_nothing(), "{again:?}");
    }
}
