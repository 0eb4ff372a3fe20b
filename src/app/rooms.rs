//! What rooms that do not know each other ask of one another.

use futures_util::future::BoxFuture;

use crate::{
    backup::PolicyTasks,
    domain::{TaskName, schedule::ScheduleSpec, task::Owner},
    engine::Engine,
    error::Result,
    store::Tx,
};

/// Makes, changes and ends the tasks of policies.
#[derive(Debug)]
pub(super) struct OfPolicies {
    pub(super) engine: Engine,
    /// Whether it does so also on a server whose configuration is not the one in force.
    pub(super) always: bool,
}

impl PolicyTasks for OfPolicies {
    fn check(&self, name: &TaskName, schedule: &ScheduleSpec) -> Result<()> {
        self.engine.check_schedule(name, schedule)
    }

    fn place<'a>(
        &'a self,
        tx: &'a mut Tx,
        principal: &'a str,
        name: &'a TaskName,
        owner: Owner,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if !self.always {
                self.engine.refuse_older()?;
            }
            let placed = self.engine.place_owned(tx, principal, name, owner, reason);
            placed.await
        })
    }

    fn end<'a>(
        &'a self,
        tx: &'a mut Tx,
        name: &'a TaskName,
        why: &'a str,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.engine.end_owned(tx, name, why))
    }
}
