//! What a database is told after it was restored: a new log epoch, and that nobody else is at it.

use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::plans::OF_RUNS;
use crate::{
    domain::Run,
    error::Result,
    store::{Store, Tx, entity::run},
};

/// What holds only while the servers live that wrote it.
const LIVING: [&str; 2] = ["repository_leases", "replicas"];

impl Store {
    /// Runs that have not ended, oldest first.
    pub async fn runs_unfinished(&self, limit: usize) -> Result<Vec<Run>> {
        let rows = run::Entity::find()
            .filter(run::Column::FinishedAt.is_null())
            .order_by_asc(run::Column::Id)
            .limit(limit as u64)
            .all(&self.inner.read)
            .await?;
        rows.into_iter().map(Run::try_from).collect()
    }
}

impl Tx {
    /// Raises the log's epoch, so that resume tokens of the original are refused, and forgets who was at work.
    pub async fn forget_original(&mut self) -> Result<()> {
        let epoch = Uuid::now_v7().simple().to_string();
        self.set_value("log_epoch", &epoch).await?;
        for table in LIVING {
            let delete = self.sql("DELETE FROM ").push(table).done();
            self.run(delete).await?;
        }
        // What restores have left, decrypted, may lie on this very disk.
        let delete = self
            .sql("DELETE FROM restore_plans WHERE token_hash NOT LIKE ")
            .bind(OF_RUNS)
            .done();
        self.run(delete).await?;
        Ok(())
    }
}
