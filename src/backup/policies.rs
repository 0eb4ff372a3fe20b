//! Policies: each owns a task, which is made, changed and ended in the same write.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::Backups;
use crate::{
    domain::{
        Caller, TaskName,
        backup::{
            PolicyId, PolicyKind,
            policy::{OWN_SOURCES, Policy, SHIPPED},
        },
        schedule::ScheduleSpec,
        task::Owner,
    },
    error::{Error, Faults, Reason, Result, Thing, all},
    store::{Remember, Tx},
};

/// What makes, changes and ends the tasks of policies.
pub trait PolicyTasks: std::fmt::Debug + Send + Sync {
    /// Checks when a task of this name is to run, and changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field.
    fn check(&self, name: &TaskName, schedule: &ScheduleSpec) -> Result<()>;

    /// Gives a task what its owner says of it, and makes it where there is none.
    fn place<'a>(
        &'a self,
        tx: &'a mut Tx,
        principal: &'a str,
        name: &'a TaskName,
        owner: Owner,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<()>>;

    fn end<'a>(
        &'a self,
        tx: &'a mut Tx,
        name: &'a TaskName,
        why: &'a str,
    ) -> BoxFuture<'a, Result<()>>;
}

/// A policy, and whether its task runs.
#[derive(Clone, Debug)]
pub struct Standing {
    pub policy: Policy,
    pub state: PolicyState,
}

/// Whether a policy's task runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyState {
    Active,
    Disabled,
    /// What it needs and does not have.
    Unavailable(String),
}

/// What an update changes; nothing else is touched.
pub type PolicyChange<'a> = dyn Fn(&mut Policy) -> Result<()> + Send + Sync + 'a;

impl Backups {
    /// Names of everything that policies may back up.
    pub fn source_names(&self) -> Vec<String> {
        let own = OWN_SOURCES.iter().map(|name| (*name).to_owned());
        own.chain(self.settings().config.sources.keys().cloned())
            .collect()
    }

    /// How a policy stands.
    pub fn standing(&self, policy: Policy) -> Standing {
        let state = if policy.enabled {
            self.want(&policy)
                .map_or(PolicyState::Active, PolicyState::Unavailable)
        } else {
            PolicyState::Disabled
        };
        Standing { policy, state }
    }

    /// What it needs and does not have, where it lacks something.
    fn want(&self, policy: &Policy) -> Option<String> {
        if policy.kind == PolicyKind::Archive && self.settings().config.archive.is_none() {
            return Some(
                "the configuration has no second location, [backups.archive]; an archive on the same disk would \
                 protect nothing"
                    .to_owned(),
            );
        }
        let known = self.source_names();
        let missing = policy
            .sources
            .iter()
            .find(|source| !known.contains(source))?;
        Some(format!(
            "its source {missing:?} is not in the configuration any more, below [backups.sources]"
        ))
    }

    /// Makes the policies that ship where they are missing, and says what each policy says of its task. At each start.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn owners(&self) -> Result<BTreeMap<TaskName, Owner>> {
        for shipped in SHIPPED {
            let mut tx = self.store().begin().await?;
            let policy = shipped.policy(tx.now())?;
            if tx.policy_insert(&policy).await? {
                tx.commit().await?;
            }
        }
        let policies = self.store().policies().await?;
        let owner = |policy: Policy| {
            let runs = self.standing(policy.clone()).state == PolicyState::Active;
            Ok((policy.task()?, policy.owner(runs)))
        };
        policies.into_iter().map(owner).collect()
    }

    /// Gives every policy's task what the policy says now: what the configuration offers may have changed. At each
    /// start, once the tasks are there.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn align(&self, tasks: &dyn PolicyTasks) -> Result<()> {
        for policy in self.store().policies().await? {
            let mut tx = self.store().begin().await?;
            let policy = match tx.policy_locked(&policy.id).await {
                Err(Error::NotFound { .. }) => continue,
                policy => policy?,
            };
            self.place(&mut tx, tasks, &policy, "watchbell", "at start")
                .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn place(
        &self,
        tx: &mut Tx,
        tasks: &dyn PolicyTasks,
        policy: &Policy,
        principal: &str,
        reason: &str,
    ) -> Result<()> {
        let runs = self.standing(policy.clone()).state == PolicyState::Active;
        let name = policy.task()?;
        let placed = tasks
            .place(tx, principal, &name, policy.owner(runs), reason)
            .await;
        placed.map_err(|error| error.below("policy"))
    }

    /// Creates a policy and its task.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming the field; [`Error::AlreadyExists`].
    pub async fn create_policy(
        &self,
        tasks: &dyn PolicyTasks,
        who: &Caller,
        make: impl FnOnce(Timestamp) -> Result<Policy>,
        reason: &str,
        validate_only: bool,
        remember: Option<Remember<'_, Standing>>,
    ) -> Result<Standing> {
        let mut tx = self.store().begin().await?;
        let mut policy = make(tx.now())?;
        policy.principal.clone_from(&who.principal);
        self.check(tasks, &policy, None)?;
        if !tx.policy_insert(&policy).await? {
            return Err(Error::AlreadyExists {
                what: Thing::BackupPolicy,
                id: policy.id.to_string(),
            });
        }
        // Checked as if it ran: a schedule that is wrong is told now, not when it is enabled.
        let name = policy.task()?;
        let checked = tasks.place(&mut tx, &who.principal, &name, policy.owner(true), reason);
        checked.await.map_err(|error| error.below("policy"))?;
        self.place(&mut tx, tasks, &policy, &who.principal, reason)
            .await?;
        let standing = self.standing(policy);
        if validate_only {
            return Ok(standing);
        }
        tx.keep(who, remember, &standing).await?;
        tx.commit().await?;
        Ok(standing)
    }

    /// Changes a policy, and its task with it.
    ///
    /// # Errors
    /// [`Error::Aborted`] `ETAG_MISMATCH`; [`Error::Invalid`] naming the field; [`Error::NotFound`].
    #[expect(clippy::too_many_arguments, reason = "they are the request's fields")]
    pub async fn update_policy(
        &self,
        tasks: &dyn PolicyTasks,
        who: &Caller,
        id: &PolicyId,
        change: &PolicyChange<'_>,
        etag: &str,
        reason: &str,
        validate_only: bool,
        remember: Option<Remember<'_, Standing>>,
    ) -> Result<Standing> {
        let mut tx = self.store().begin().await?;
        let mut policy = self.locked(&mut tx, id, etag).await?;
        let before = policy.clone();
        let mut faults = Faults::default();
        faults.take(change(&mut policy))?;
        if policy != before {
            faults.take(self.check(tasks, &policy, Some(&before)))?;
        }
        faults.done()?;
        if policy != before {
            policy.version += 1;
            policy.updated_at = tx.now();
            policy.principal.clone_from(&who.principal);
            tx.policy_update(&policy).await?;
            self.place(&mut tx, tasks, &policy, &who.principal, reason)
                .await?;
        }
        let standing = self.standing(policy);
        if validate_only {
            return Ok(standing);
        }
        tx.keep(who, remember, &standing).await?;
        tx.commit().await?;
        Ok(standing)
    }

    /// Checks all of a policy at once, a schedule that it did not have before as if it ran: what is wrong is told now, not
    /// when it is enabled.
    fn check(
        &self,
        tasks: &dyn PolicyTasks,
        policy: &Policy,
        before: Option<&Policy>,
    ) -> Result<()> {
        let is_new = before.is_none_or(|before| before.schedule != policy.schedule);
        let scheduled = match is_new {
            true => tasks.check(&policy.task()?, &policy.schedule),
            false => Ok(()),
        };
        let scheduled = scheduled.map_err(|error| error.below("policy"));
        all((policy.check(&self.source_names()), scheduled)).map(drop)
    }

    /// Deletes a policy that does not ship, and its task. Its restore points stay.
    ///
    /// # Errors
    /// [`Error::Conflict`] `NOT_DELETABLE`; [`Error::Aborted`]; [`Error::NotFound`].
    pub async fn delete_policy(
        &self,
        tasks: &dyn PolicyTasks,
        who: &Caller,
        id: &PolicyId,
        etag: &str,
        remember: Option<Remember<'_, ()>>,
    ) -> Result<()> {
        let mut tx = self.store().begin().await?;
        let policy = self.locked(&mut tx, id, etag).await?;
        if policy.shipped {
            let message = format!(
                "{} ships with the server and cannot be deleted; disable it instead",
                policy.resource_name()
            );
            return Err(Error::conflict(
                Reason::NotDeletable,
                policy.resource_name(),
                message,
            ));
        }
        tx.policy_delete(id).await?;
        // One of its name that is made later has problems of its own.
        tx.problems_clear_of(&policy.resource_name()).await?;
        let why = format!("its policy was deleted by {}", who.principal);
        tasks.end(&mut tx, &policy.task()?, &why).await?;
        tx.keep(who, remember, &()).await?;
        tx.commit().await
    }

    async fn locked(&self, tx: &mut Tx, id: &PolicyId, etag: &str) -> Result<Policy> {
        let policy = match tx.policy_locked(id).await {
            // Read again for the names that are near.
            Err(Error::NotFound { .. }) => self.store().policy(id).await?,
            policy => policy?,
        };
        if etag.is_empty() || etag == policy.etag() {
            return Ok(policy);
        }
        Err(Error::Aborted {
            reason: Reason::EtagMismatch,
            message: format!(
                "{} has changed since it was read: its etag is now {}; read it again, then decide again",
                policy.resource_name(),
                policy.etag()
            ),
        })
    }
}
