//! Tasks that belong to a policy: made, changed and ended in the write that does so to the policy.

use super::{Engine, edits::add};
use crate::{
    domain::{
        Task, TaskName,
        task::{Layers, Owner},
    },
    error::{Error, Reason, Result, Thing},
    store::Tx,
};

impl Engine {
    /// Gives a task what its owner says of it, and makes the task where there is none. Part of the write that changes
    /// the owner, so that the two never differ.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field; [`Error::AlreadyExists`] where another's task has this name.
    pub async fn place_owned(
        &self,
        tx: &mut Tx,
        principal: &str,
        name: &TaskName,
        owner: Owner,
        reason: &str,
    ) -> Result<()> {
        let mut task = match self.settled(tx, name).await {
            Err(Error::NotFound { .. }) => {
                let layers = Layers {
                    owner: Some(owner),
                    ..Layers::default()
                };
                let task = self.new_task(tx, name.clone(), layers)?;
                return add(tx, &task, principal, reason).await;
            }
            task => task?,
        };
        let others = match &task.layers.owner {
            Some(before) => before.name != owner.name,
            // One that ships is made for its policy, or is none of a policy's.
            None => !self
                .registry()
                .built_ins()
                .iter()
                .any(|built_in| built_in.owned && built_in.name == name.as_str()),
        };
        if others {
            return Err(Error::AlreadyExists {
                what: Thing::Task,
                id: name.to_string(),
            });
        }
        let layers = Layers {
            owner: Some(owner),
            ..task.layers.clone()
        };
        self.apply(tx, &mut task, layers, principal, reason).await
    }

    /// Ends the task of an owner that is deleted.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn end_owned(&self, tx: &mut Tx, name: &TaskName, why: &str) -> Result<()> {
        match self.settled(tx, name).await {
            Err(Error::NotFound { .. }) => Ok(()),
            task => self.end_task(tx, &mut task?, why).await,
        }
    }
}

/// That a field is the owner's.
pub(super) fn refused(task: &Task, path: &str, owner: &str) -> Error {
    let message = format!(
        "{path} of {} belongs to {owner}: change it there; pause, trigger, priority, retries and deadlines stay here",
        task.resource_name()
    );
    Error::conflict(Reason::OwnedByPolicy, task.resource_name(), message)
}
