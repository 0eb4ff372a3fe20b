//! Runs that follow a task which is made anew.

use super::{Tx, convert::micros};
use crate::{domain::TaskId, error::Result};

impl Tx {
    /// Gives the newest runs of a task to another; says how many. Those of slots to come are of none any more, so that
    /// the slots may have others.
    pub async fn runs_follow(&mut self, from: TaskId, to: TaskId, limit: u64) -> Result<u64> {
        let update = self
            .sql("UPDATE runs SET task_id = ")
            .bind(to.0)
            .push(", slot_at = CASE WHEN slot_at > ")
            .bind(micros(self.now))
            .push(" THEN NULL ELSE slot_at END WHERE id IN (SELECT id FROM runs WHERE task_id = ")
            .bind(from.0)
            .push(" ORDER BY id DESC LIMIT ")
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .push(")")
            .done();
        self.run(update).await
    }
}
