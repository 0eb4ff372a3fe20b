//! What rooms that do not know each other ask of one another.

use futures_util::future::BoxFuture;

use crate::{
    backup::PolicyTasks,
    domain::{TaskName, task::Owner},
    engine::Engine,
    error::Result,
    store::Tx,
};

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
