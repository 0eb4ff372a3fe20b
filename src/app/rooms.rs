//! What rooms that do not know each other ask of one another.

use futures_util::future::BoxFuture;

use crate::{
    backup::{Backups, PolicyTasks},
    domain::{TaskName, task::Owner},
    engine::{self, Engine},
    error::Result,
    records::Documents,
    store::Tx,
};

/// What the rooms beside the engine know, for its status.
#[derive(Debug)]
pub(super) struct Reports {
    pub(super) documents: Documents,
    pub(super) backups: Backups,
}

impl engine::Reporter for Reports {
    fn report(&self) -> BoxFuture<'_, Result<engine::Report>> {
        Box::pin(async {
            let documents = self.documents.report().await?;
            let backups = self.backups.report().await?;
            let mut problems = documents.problems.clone();
            problems.extend(backups.problems.iter().cloned());
            Ok(engine::Report {
                problems,
                documents: documents.figures,
                backups: Some(backups.figures.clone()),
            })
        })
    }
}

/// Makes, changes and ends the tasks of policies.
#[derive(Debug)]
pub(super) struct OfPolicies(pub(super) Engine);

impl PolicyTasks for OfPolicies {
    fn place<'a>(
        &'a self,
        tx: &'a mut Tx,
        principal: &'a str,
        name: &'a TaskName,
        owner: Owner,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.0.place_owned(tx, principal, name, owner, reason))
    }

    fn end<'a>(
        &'a self,
        tx: &'a mut Tx,
        name: &'a TaskName,
        why: &'a str,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.0.end_owned(tx, name, why))
    }
}
