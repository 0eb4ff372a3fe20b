//! Removing by hand what no retention lets go: restore points of policies that are deleted.

use uuid::Uuid;

use super::{Backups, export_run, work::blocking};
use crate::{
    domain::{
        Caller,
        backup::{PolicyId, PolicyKind, point::RestorePoint},
    },
    error::{Error, Reason, Result, is_there},
    store::Remember,
};

impl Backups {
    /// Removes a point of a policy that was deleted. Its snapshots go with the next cleanup, the file of an export at once.
    ///
    /// # Errors
    /// [`Error::Conflict`] `NEEDS_CONFIRMATION`, `REMOVED`, or `NOT_DELETABLE` where its policy lives or it is pinned;
    /// [`Error::NotFound`].
    pub async fn remove_point(
        &self,
        who: &Caller,
        id: Uuid,
        confirm: bool,
        reason: &str,
        remember: Option<Remember<'_, RestorePoint>>,
    ) -> Result<RestorePoint> {
        let mut tx = self.store().begin().await?;
        let mut point = tx.point_locked(id).await?;
        point.expect_there()?;
        let name = point.resource_name();
        let refuse = |reason, message| Err(Error::conflict(reason, name.clone(), message));
        if let Ok(policy) = point.policy.parse::<PolicyId>()
            && is_there(tx.policy_locked(&policy).await)?
        {
            let message = format!(
                "{name} is of backupPolicies/{policy}, whose retention says what goes: change that, or delete the policy"
            );
            return refuse(Reason::NotDeletable, message);
        }
        if let Some(pin) = &point.pin {
            let message = format!(
                "{name} was pinned by {}: {}; let it go first, such as by `bellctl backup unpin`",
                pin.principal, pin.reason
            );
            return refuse(Reason::NotDeletable, message);
        }
        if !confirm {
            let message = format!(
                "{name} cannot be brought back once it is removed: confirm it where that is meant"
            );
            return refuse(Reason::NeedsConfirmation, message);
        }
        point.removed_at = Some(tx.now());
        point.remove_reason = format!("by {}: {reason}", who.principal);
        tx.point_put(&point).await?;
        tx.keep(who, remember, &point).await?;
        tx.commit().await?;
        if point.kind == PolicyKind::Export {
            let (root, file) = (self.settings().config.exports.clone(), point.file.clone());
            let removed = blocking("remove", move || export_run::remove(&root, &file));
            if let Ok(Err(error)) | Err(error) = removed.await {
                tracing::warn!(
                    "an export was written down as removed, and its file is there: {error:#}"
                );
            }
        }
        Ok(point)
    }
}
