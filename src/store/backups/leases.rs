//! Who uses a repository. A lease belongs to an attempt of a run, and holds while that attempt does: it needs no
//! renewing of its own, and a lost one is nobody's.

use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::{domain::RunId, error::Result, store::Tx};

/// How a repository is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseMode {
    /// Beside others: backup, check, restore.
    Shared,
    /// Alone: forget and prune.
    Exclusive,
}

/// Whether a lease was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    Given,
    /// This run holds one that does not go with it: `tasks/{task}/runs/{run}`.
    HeldBy(String),
}

#[derive(FromQueryResult)]
struct Holder {
    id: Uuid,
    task: String,
}

#[derive(FromQueryResult)]
struct Value {
    #[expect(dead_code, reason = "it is locked, not read")]
    value: String,
}

/// That the attempt of a lease is over.
const OVER: &str = "NOT EXISTS (SELECT 1 FROM runs WHERE runs.id = repository_leases.run_id \
                    AND runs.state = 'running' AND runs.attempt = repository_leases.attempt)";

impl Tx {
    /// Takes a lease of a repository for an attempt of a run, where those that others hold go with it.
    pub async fn repository_lease(
        &mut self,
        repository: &str,
        run: RunId,
        attempt: i64,
        mode: LeaseMode,
    ) -> Result<Leased> {
        let lock = self
            .sql("SELECT value FROM cluster WHERE key = 'repository_leases'")
            .postgres(" FOR UPDATE")
            .done();
        self.one::<Value>(lock).await?;
        let delete = self
            .sql("DELETE FROM repository_leases WHERE ")
            .push(OVER)
            .done();
        self.run(delete).await?;
        let mut select = self
            .sql(
                "SELECT runs.id, runs.task FROM repository_leases AS held JOIN runs ON runs.id = held.run_id \
                 WHERE held.repository = ",
            )
            .bind(repository)
            .push(" AND held.run_id <> ")
            .bind(run.0);
        if mode == LeaseMode::Shared {
            select = select.push(" AND held.mode = 'exclusive'");
        }
        let held: Option<Holder> = self.one(select.push(" LIMIT 1").done()).await?;
        if let Some(holder) = held {
            return Ok(Leased::HeldBy(format!(
                "tasks/{}/runs/{}",
                holder.task, holder.id
            )));
        }
        let upsert = self
            .sql("INSERT INTO repository_leases (repository, run_id, attempt, mode) VALUES (")
            .bind(repository)
            .push(", ")
            .bind(run.0)
            .push(", ")
            .bind(attempt)
            .push(", ")
            .bind(match mode {
                LeaseMode::Shared => "shared",
                LeaseMode::Exclusive => "exclusive",
            })
            .push(
                ") ON CONFLICT (repository, run_id) DO UPDATE SET attempt = excluded.attempt, mode = excluded.mode",
            )
            .done();
        self.run(upsert).await?;
        Ok(Leased::Given)
    }

    /// Gives leases of a run back before its end.
    pub async fn repository_release(&mut self, run: RunId) -> Result<()> {
        let delete = self
            .sql("DELETE FROM repository_leases WHERE run_id = ")
            .bind(run.0)
            .done();
        self.run(delete).await?;
        Ok(())
    }
}
