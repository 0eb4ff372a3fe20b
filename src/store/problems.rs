//! Problems that are open, each with who looks after it.
//!
//! Whatever opens, changes or closes one tells an event, and nothing does where nothing has changed.

mod open;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    Tx, convert,
    convert::{micros, micros_of},
    entity::problem,
};
use crate::{
    domain::{
        EventKind, NewEvent, ReplicaId,
        problem::{Problem, Severity},
        retry::later,
    },
    error::Result,
};

/// None is opened that stays by itself for longer.
const UNTIL_AT_MOST: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Who looks after problems: a probe, or a part that raises its own; and on which server, where each has its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub probe: &'static str,
    pub replica: Option<ReplicaId>,
}

/// A problem as an event tells of it.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    problem: &'a Problem,
    probe: &'a str,
    /// When it was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    cleared_at: Option<Timestamp>,
}

impl Tx {
    /// Opens a problem, or brings an open one up to date; `since` stays that of the first time. With `until`, it is
    /// over by itself at that instant. What looks after it is `probe`.
    pub async fn problem_raise(
        &mut self,
        probe: &str,
        problem: &Problem,
        until: Option<Timestamp>,
    ) -> Result<()> {
        let row = match self.problem_locked(problem).await? {
            Some(row) => row,
            None if self.problem_insert(probe, problem, until).await? => {
                self.tell_problem(EventKind::ProblemRaised, problem, probe, None);
                return Ok(());
            }
            // Someone else has opened it just now.
            None => match self.problem_locked(problem).await? {
                Some(row) => row,
                None => return Ok(()),
            },
        };
        if says(&row, problem, probe, until) {
            return Ok(());
        }
        let update = self
            .sql("UPDATE problems SET severity = ")
            .bind(problem.severity.as_str())
            .push(", message = ")
            .bind(problem.message.clone())
            .push(", action = ")
            .bind(problem.action.clone())
            .push(", probe = ")
            .bind(probe)
            .push(", until = ")
            .bind(micros_of(until))
            .postgres("::bigint")
            .push(" WHERE kind = ")
            .bind(problem.kind.clone())
            .push(" AND subject = ")
            .bind(problem.subject.clone())
            .push(" AND replica = ")
            .bind(replica_text(problem.replica))
            .done();
        self.run(update).await?;
        let before = Problem::try_from(row)?;
        if problem.is_news_after(&before) {
            let now = Problem {
                since: before.since,
                ..problem.clone()
            };
            self.tell_problem(EventKind::ProblemChanged, &now, probe, None);
        }
        Ok(())
    }

    /// Makes `found` all that is open of a source.
    pub async fn problems_settle(&mut self, source: &Source, found: &[Problem]) -> Result<()> {
        let select = self
            .sql("SELECT * FROM problems WHERE probe = ")
            .bind(source.probe)
            .push(" AND replica = ")
            .bind(replica_text(source.replica))
            .push(" ORDER BY kind, subject")
            .postgres(" FOR UPDATE")
            .done();
        let open: Vec<problem::Model> = self.all(select).await?;
        let mut found: Vec<&Problem> = found.iter().collect();
        found.sort_by_key(|problem| (&problem.kind, &problem.subject));
        let wanted: BTreeSet<(&str, &str)> = found
            .iter()
            .map(|problem| (problem.kind.as_str(), problem.subject.as_str()))
            .collect();
        let mut known = BTreeMap::new();
        for row in open {
            if wanted.contains(&(row.kind.as_str(), row.subject.as_str())) {
                known.insert((row.kind.clone(), row.subject.clone()), row);
            } else {
                let problem = Problem::try_from(row)?;
                self.problem_end(&problem, self.now).await?;
            }
        }
        for problem in found {
            let row = known.get(&(problem.kind.clone(), problem.subject.clone()));
            if row.is_some_and(|row| says(row, problem, source.probe, None)) {
                continue;
            }
            let problem = Problem {
                replica: source.replica,
                ..problem.clone()
            };
            self.problem_raise(source.probe, &problem, None).await?;
        }
        Ok(())
    }

    /// Closes every problem of a subject that is no more.
    pub async fn problems_clear_of(&mut self, subject: &str) -> Result<()> {
        let delete = self
            .sql("DELETE FROM problems WHERE subject = ")
            .bind(subject)
            .push(" RETURNING *")
            .done();
        self.problems_gone(delete).await
    }

    /// Closes a problem of the cluster; says whether it was open.
    pub async fn problem_clear(&mut self, kind: &str, subject: &str) -> Result<bool> {
        self.problem_delete(kind, subject, None, self.now).await
    }

    /// Closes this very problem, which was over at `at`; says whether it was open.
    pub async fn problem_end(&mut self, problem: &Problem, at: Timestamp) -> Result<bool> {
        self.problem_delete(&problem.kind, &problem.subject, problem.replica, at)
            .await
    }

    /// Tells of a problem that began and was over while nothing could be written.
    pub fn problem_was(&mut self, probe: &str, problem: &Problem, over_at: Timestamp) {
        self.tell_problem(EventKind::ProblemRaised, problem, probe, None);
        self.tell_problem(EventKind::ProblemCleared, problem, probe, Some(over_at));
    }

    /// Closes problems that are over by themselves by now.
    pub async fn problems_expire(&mut self) -> Result<()> {
        let delete = self
            .sql("DELETE FROM problems WHERE until <= ")
            .bind(micros(self.now))
            // None is kept for so long but by a clock that was ahead.
            .push(" OR until > ")
            .bind(micros(later(self.now, UNTIL_AT_MOST)))
            .push(" RETURNING *")
            .done();
        self.problems_gone(delete).await
    }

    /// Closes what servers had that are not among these, and forgets when their probes looked.
    pub async fn problems_keep_of(&mut self, alive: &[ReplicaId]) -> Result<()> {
        let texts = || alive.iter().map(|id| replica_text(Some(*id)));
        let delete = self
            .sql("DELETE FROM problems WHERE replica <> '' AND NOT (replica")
            .one_of(super::rows::Type::Text, texts())
            .push(") RETURNING *")
            .done();
        self.problems_gone(delete).await?;
        let delete = self
            .sql("DELETE FROM probes WHERE replica <> '' AND NOT (replica")
            .one_of(super::rows::Type::Text, texts())
            .push(")")
            .done();
        self.run(delete).await?;
        Ok(())
    }

    async fn problem_locked(&mut self, problem: &Problem) -> Result<Option<problem::Model>> {
        let select = self
            .sql("SELECT * FROM problems WHERE kind = ")
            .bind(problem.kind.clone())
            .push(" AND subject = ")
            .bind(problem.subject.clone())
            .push(" AND replica = ")
            .bind(replica_text(problem.replica))
            .postgres(" FOR UPDATE")
            .done();
        self.one(select).await
    }

    /// Says whether it was not there.
    async fn problem_insert(
        &mut self,
        probe: &str,
        problem: &Problem,
        until: Option<Timestamp>,
    ) -> Result<bool> {
        let insert = self
            .sql(
                "INSERT INTO problems (kind, subject, replica, probe, severity, message, action, since, until) \
                 VALUES (",
            )
            .bind(problem.kind.clone())
            .push(", ")
            .bind(problem.subject.clone())
            .push(", ")
            .bind(replica_text(problem.replica))
            .push(", ")
            .bind(probe)
            .push(", ")
            .bind(problem.severity.as_str())
            .push(", ")
            .bind(problem.message.clone())
            .push(", ")
            .bind(problem.action.clone())
            .push(", ")
            .bind(micros(problem.since))
            .push(", ")
            .bind(micros_of(until))
            .postgres("::bigint")
            .push(") ON CONFLICT (kind, subject, replica) DO NOTHING")
            .done();
        Ok(self.run(insert).await? == 1)
    }

    async fn problem_delete(
        &mut self,
        kind: &str,
        subject: &str,
        replica: Option<ReplicaId>,
        at: Timestamp,
    ) -> Result<bool> {
        let delete = self
            .sql("DELETE FROM problems WHERE kind = ")
            .bind(kind)
            .push(" AND subject = ")
            .bind(subject)
            .push(" AND replica = ")
            .bind(replica_text(replica))
            .push(" RETURNING *")
            .done();
        let gone: Option<problem::Model> = self.one(delete).await?;
        let Some(row) = gone else { return Ok(false) };
        self.tell_gone(row, at)?;
        Ok(true)
    }

    async fn problems_gone(&mut self, delete: sea_orm::Statement) -> Result<()> {
        let gone: Vec<problem::Model> = self.all(delete).await?;
        for row in gone {
            self.tell_gone(row, self.now)?;
        }
        Ok(())
    }

    fn tell_gone(&mut self, row: problem::Model, at: Timestamp) -> Result<()> {
        let probe = row.probe.clone();
        // One that ends by itself has ended then, however late someone sees to it.
        let ended = convert::instant_of(row.until)?.filter(|until| *until <= at);
        let problem = Problem::try_from(row)?;
        let at = ended.unwrap_or(at);
        self.tell_problem(EventKind::ProblemCleared, &problem, &probe, Some(at));
        Ok(())
    }

    fn tell_problem(
        &mut self,
        kind: EventKind,
        problem: &Problem,
        probe: &str,
        cleared_at: Option<Timestamp>,
    ) {
        let told = Told {
            problem,
            probe,
            cleared_at,
        };
        self.tell(NewEvent::new(kind, None, problem.subject.clone(), &told));
    }
}

/// Whether a row says this already, since when apart.
fn says(row: &problem::Model, problem: &Problem, probe: &str, until: Option<Timestamp>) -> bool {
    row.severity == problem.severity.as_str()
        && row.message == problem.message
        && row.action == problem.action
        && row.probe == probe
        && row.until == micros_of(until)
}

/// As a row has it: the cluster's own have none.
pub(super) fn replica_text(replica: Option<ReplicaId>) -> String {
    replica.map_or_else(String::new, |id| id.to_string())
}

impl TryFrom<problem::Model> for Problem {
    type Error = crate::error::Error;

    /// A kind or a severity that this version does not know must not hide the others, nor itself.
    fn try_from(row: problem::Model) -> Result<Self> {
        Ok(Self {
            severity: Severity::parse(&row.severity).unwrap_or(Severity::Critical),
            kind: row.kind,
            subject: row.subject,
            message: row.message,
            action: row.action,
            since: convert::instant(row.since)?,
            replica: row.replica.parse().ok(),
        })
    }
}
