//! Names of policies and restore points.

use uuid::Uuid;

use crate::{
    domain::backup::PolicyId,
    error::{Error, Result},
};

/// A restore point by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PointName {
    /// The newest good one.
    Latest,
    Id(Uuid),
}

/// `backupPolicies/{policy}`.
pub(super) fn policy(field: &str, name: &str) -> Result<PolicyId> {
    let Some(id) = name.strip_prefix("backupPolicies/") else {
        let what = format!(
            "{name:?} given; expected backupPolicies/ID, such as backupPolicies/daily-full"
        );
        return Err(Error::invalid(field, what));
    };
    policy_id(field, id)
}

/// `{policy}` alone.
pub(super) fn policy_id(field: &str, id: &str) -> Result<PolicyId> {
    id.parse().map_err(|error: Error| error.of_field(field))
}

/// `restorePoints/{uuid}` or `restorePoints/latest`.
pub(super) fn point(field: &str, name: &str) -> Result<PointName> {
    let wrong = || {
        let what = format!("{name:?} given; expected restorePoints/UUID, or restorePoints/latest");
        Error::invalid(field, what)
    };
    match name.strip_prefix("restorePoints/").ok_or_else(wrong)? {
        "latest" => Ok(PointName::Latest),
        id => Ok(PointName::Id(id.parse().map_err(|_| wrong())?)),
    }
}

/// `restorePoints/{uuid}`.
pub(super) fn point_id(field: &str, name: &str) -> Result<Uuid> {
    match point(field, name)? {
        PointName::Id(id) => Ok(id),
        PointName::Latest => {
            let what = "restorePoints/latest is not one by name here; expected restorePoints/UUID";
            Err(Error::invalid(field, what))
        }
    }
}
