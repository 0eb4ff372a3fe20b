//! Backups: what policies want, what restore points are, and what is known of them.

pub mod figures;
pub mod globs;
pub mod loss;
pub mod manifest;
pub mod point;
pub mod policy;
pub mod retention;
pub mod table;
pub mod verdict;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::text::text_enum;
use crate::error::{Error, Result};

text_enum! {
    /// What a policy makes.
    PolicyKind {
        /// A snapshot of the live system.
        Full = "full",
        /// A portable file, built from the newest verified snapshot.
        Export = "export",
        /// The newest drilled snapshot, copied to a second repository.
        Archive = "archive",
    }
}

text_enum! {
    /// Whether all is in a restore point that should be.
    PointState {
        Complete = "complete",
        /// Something is missing, and named in its manifest.
        Partial = "partial",
    }
}

text_enum! {
    /// How deeply something was verified.
    Level {
        /// The repository's structure.
        Structure = "structure",
        /// Data read and compared with its checksums.
        Read = "read",
        /// Dump and sampled files restored and hashed.
        Drill = "drill",
        /// The database restored and counted.
        Database = "database",
        /// An export opened and tested.
        Export = "export",
    }
}

text_enum! {
    /// What a verification found.
    Finding {
        Passed = "passed",
        Failed = "failed",
        /// It could not be tried, such as for want of a right.
        NotPossible = "not_possible",
    }
}

/// Longest id of a policy: its task is `backup-` and it.
const ID_MAX: usize = 56;

/// A policy's id: 1 to 56 of `a-z`, `0-9` and `-`, a letter or digit first and last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyId(String);

impl PolicyId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PolicyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = text.len() <= ID_MAX && text.parse::<super::TaskName>().is_ok();
        if !fits {
            return Err(Error::invalid(
                "policy",
                format!(
                    "{text:?} is no id of a policy: expected 1 to {ID_MAX} of a-z, 0-9 and -, with a letter or \
                     digit first and last, such as daily-full"
                ),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for PolicyId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<PolicyId> for String {
    fn from(id: PolicyId) -> Self {
        id.0
    }
}
