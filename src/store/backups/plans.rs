//! Plans of restores, by the hash of their token: the token itself is the caller's alone.

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use super::Body;
use crate::{
    error::{Error, Result},
    store::{Store, Tx, convert},
};

/// Plans there may be at once.
const PLANS_MAX: usize = 1000;
/// Keys of plans that were noted for runs.
pub(super) const OF_RUNS: &str = "run:%";
/// One that is under way is noted for a week.
const LONGEST: SignedDuration = SignedDuration::from_hours(8 * 24);

impl Store {
    /// A plan that has not ended at `now`.
    pub async fn restore_plan<T: DeserializeOwned>(
        &self,
        token_hash: &str,
        now: Timestamp,
    ) -> Result<Option<T>> {
        let select = self
            .sql("SELECT body FROM restore_plans WHERE token_hash = ")
            .bind(token_hash)
            .push(" AND expires_at >= ")
            .bind(convert::micros(now))
            .push(" AND expires_at <= ")
            .bind(longest(now))
            .done();
        let row: Option<Body> = self.one(select).await?;
        row.map(|row| convert::read(&row.body)).transpose()
    }
}

impl Store {
    /// Plans that were noted for runs, by `run:{uuid}`, and whether each has ended at `now`; also of runs that have
    /// ended.
    pub async fn restore_plans_of_runs<T: DeserializeOwned>(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(String, bool, T)>> {
        let select = self
            .sql("SELECT token_hash, expires_at, body FROM restore_plans WHERE token_hash LIKE ")
            .bind(OF_RUNS)
            .done();
        let rows: Vec<Noted> = self.all(select).await?;
        let good = convert::micros(now)..=longest(now);
        rows.into_iter()
            .map(|row| {
                let is_over = !good.contains(&row.expires_at);
                Ok((row.token_hash, is_over, convert::read(&row.body)?))
            })
            .collect()
    }
}

/// A plan with its key.
#[derive(Debug, sea_orm::FromQueryResult)]
struct Noted {
    token_hash: String,
    expires_at: i64,
    body: String,
}

impl Tx {
    /// Keeps a plan, and forgets those that are over; those of runs stay until what they have left was looked for.
    ///
    /// # Errors
    /// [`Error::Exhausted`] where there are 1,000 that no run has taken.
    pub async fn restore_plan_keep(
        &mut self,
        token_hash: &str,
        expires_at: Timestamp,
        plan: &impl Serialize,
    ) -> Result<()> {
        let delete = self
            .sql("DELETE FROM restore_plans WHERE (expires_at < ")
            .bind(convert::micros(self.now()))
            .push(" OR expires_at > ")
            .bind(longest(self.now()))
            .push(") AND token_hash NOT LIKE ")
            .bind(OF_RUNS)
            .done();
        self.run(delete).await?;
        let insert = self
            .sql("INSERT INTO restore_plans (token_hash, expires_at, body) VALUES (")
            .bind(token_hash)
            .push(", ")
            .bind(convert::micros(expires_at))
            .push(", ")
            .bind(convert::json(plan)?)
            .push(")")
            .done();
        self.run(insert).await?;
        // Those of runs go once what they may have left was looked for, and are in nobody's way until then.
        let count = self
            .sql("SELECT '' AS body FROM restore_plans WHERE token_hash NOT LIKE ")
            .bind(OF_RUNS)
            .done();
        let kept: Vec<Body> = self.all(count).await?;
        if PLANS_MAX < kept.len() {
            return Err(Error::Exhausted(format!(
                "{PLANS_MAX} restores are planned, which is the most at once: wait until some have ended"
            )));
        }
        Ok(())
    }

    /// Notes more in a plan that is kept, for as long as it is.
    pub async fn restore_plan_note(
        &mut self,
        token_hash: &str,
        plan: &impl Serialize,
    ) -> Result<()> {
        let update = self
            .sql("UPDATE restore_plans SET body = ")
            .bind(convert::json(plan)?)
            .push(" WHERE token_hash = ")
            .bind(token_hash)
            .done();
        self.run(update).await?;
        Ok(())
    }

    /// Forgets a plan that was noted for a run.
    pub async fn restore_plan_forget(&mut self, key: &str) -> Result<()> {
        let delete = self
            .sql("DELETE FROM restore_plans WHERE token_hash = ")
            .bind(key)
            .done();
        self.run(delete).await?;
        Ok(())
    }

    /// Takes a plan that has not ended: it is good for one restore.
    pub async fn restore_plan_take<T: DeserializeOwned>(
        &mut self,
        token_hash: &str,
    ) -> Result<Option<T>> {
        let delete = self
            .sql("DELETE FROM restore_plans WHERE token_hash = ")
            .bind(token_hash)
            .push(" AND expires_at >= ")
            .bind(convert::micros(self.now()))
            .push(" AND expires_at <= ")
            .bind(longest(self.now()))
            .push(" RETURNING body")
            .done();
        let row: Option<Body> = self.one(delete).await?;
        row.map(|row| convert::read(&row.body)).transpose()
    }
}

/// No plan is good for longer, but one that was made by a clock that was ahead.
fn longest(now: Timestamp) -> i64 {
    convert::micros(now.saturating_add(LONGEST).unwrap_or(now))
}
