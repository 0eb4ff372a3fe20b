//! That a task is still the one that its caller has read.

use crate::{
    domain::Task,
    error::{Error, Reason, Result},
};

/// # Errors
/// [`Error::Aborted`] `ETAG_MISMATCH`
pub(super) fn check_etag(task: &Task, etag: Option<&str>) -> Result<()> {
    match etag {
        Some(etag) if etag != task.etag() => Err(Error::Aborted {
            reason: Reason::EtagMismatch,
            message: format!(
                "{} has changed since it was read: its etag is now {}; read it again, then decide again",
                task.resource_name(),
                task.etag()
            ),
        }),
        _ => Ok(()),
    }
}
