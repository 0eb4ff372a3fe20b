//! Problems that were found out and stay until they are over. Those that can be read off the tables
//! at any time are not kept here.

use jiff::Timestamp;
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::{
    Store, Tx, convert,
    convert::{micros, micros_of},
    entity::problem,
};
use crate::{
    domain::{
        EventKind, NewEvent,
        problem::{Problem, Severity},
    },
    error::Result,
};

impl Store {
    /// Problems that are open at `now`; at most 1,000.
    pub async fn problems(&self, now: Timestamp) -> Result<Vec<Problem>> {
        let rows = problem::Entity::find()
            .filter(
                Condition::any()
                    .add(problem::Column::Until.is_null())
                    .add(problem::Column::Until.gt(micros(now))),
            )
            .order_by_asc(problem::Column::Since)
            .limit(1000)
            .all(&self.inner.read)
            .await?;
        rows.into_iter().map(Problem::try_from).collect()
    }
}

impl Tx {
    /// Opens a problem, or brings an open one up to date; `since` is that of the first time. With
    /// `until`, it is over by itself at that instant.
    pub async fn problem_raise(
        &mut self,
        problem: &Problem,
        until: Option<Timestamp>,
    ) -> Result<()> {
        let upsert = self
            .sql("INSERT INTO problems (kind, subject, severity, message, action, since, until) VALUES (")
            .bind(problem.kind.clone())
            .push(", ")
            .bind(problem.subject.clone())
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
            .push(
                ") ON CONFLICT (kind, subject) DO UPDATE SET severity = excluded.severity, \
                 message = excluded.message, action = excluded.action, until = excluded.until",
            )
            .done();
        self.run(upsert).await?;
        self.tell(NewEvent::new(
            EventKind::ProblemRaised,
            None,
            problem.subject.clone(),
            problem,
        ));
        Ok(())
    }

    /// Forgets every problem of a subject that is no more.
    pub async fn problems_clear_of(&mut self, subject: &str) -> Result<()> {
        let delete = self
            .sql("DELETE FROM problems WHERE subject = ")
            .bind(subject)
            .done();
        self.run(delete).await?;
        Ok(())
    }

    /// Closes a problem; says whether it was open.
    pub async fn problem_clear(&mut self, kind: &str, subject: &str) -> Result<bool> {
        let delete = self
            .sql("DELETE FROM problems WHERE kind = ")
            .bind(kind)
            .push(" AND subject = ")
            .bind(subject)
            .push(" RETURNING *")
            .done();
        let gone: Option<problem::Model> = self.one(delete).await?;
        let Some(row) = gone else { return Ok(false) };
        let problem = Problem::try_from(row)?;
        self.tell(NewEvent::new(
            EventKind::ProblemCleared,
            None,
            subject.to_owned(),
            &problem,
        ));
        Ok(true)
    }
}

impl TryFrom<problem::Model> for Problem {
    type Error = crate::error::Error;

    fn try_from(row: problem::Model) -> Result<Self> {
        Ok(Self {
            severity: convert::word("severity", &row.severity, Severity::parse(&row.severity))?,
            kind: row.kind,
            subject: row.subject,
            message: row.message,
            action: row.action,
            since: convert::instant(row.since)?,
        })
    }
}
