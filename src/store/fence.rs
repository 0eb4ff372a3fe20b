//! The fence: a handler's writes hold only while its attempt does.

use sea_orm::FromQueryResult;

use super::{Store, Tx};
use crate::{
    domain::{RunId, RunState},
    error::{Error, Reason, Result},
};

#[derive(FromQueryResult)]
struct Held {
    state: String,
    attempt: i64,
}

impl Store {
    /// A write of a handler: it commits only while the run is still in this attempt.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub async fn begin_fenced(&self, run: RunId, token: i64) -> Result<Tx> {
        let mut tx = self.begin().await?;
        tx.fence = Some((run, token));
        Ok(tx)
    }
}

impl Tx {
    /// Under a lock of the run's row, so that nothing can take the attempt away before the commit.
    pub(super) async fn check_fence(&mut self) -> Result<()> {
        let Some((run, token)) = self.fence else {
            return Ok(());
        };
        let held = self
            .sql("SELECT state, attempt FROM runs WHERE id = ")
            .bind(run.0)
            .postgres(" FOR UPDATE")
            .done();
        let held: Option<Held> = self.one(held).await?;
        let valid = held
            .is_some_and(|held| held.attempt == token && held.state == RunState::Running.as_str());
        if valid {
            return Ok(());
        }
        Err(Error::Aborted {
            reason: Reason::LeaseLost,
            message: format!(
                "attempt {token} of run {run} no longer holds its lease: nothing was written"
            ),
        })
    }
}
