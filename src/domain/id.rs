//! Identifiers that cannot be mistaken for one another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id. Ids made by one process sort in the order in which they were made.
            #[expect(clippy::new_without_default, reason = "each call differs")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                text.parse().map(Self).map_err(|_| {
                    Error::invalid($field, format!("expected a UUID, not {text:?}"))
                })
            }
        }
    };
}

id!(
    /// A task, for ever: a task of the same name made later has another.
    TaskId,
    "uid"
);
id!(
    /// A run.
    RunId,
    "name"
);
id!(
    /// A server process.
    ReplicaId,
    "replica"
);

/// Longest name of a task.
const NAME_MAX: usize = 63;

/// A task's name: 1 to 63 of `a-z`, `0-9` and `-`, a letter or digit first and last (AIP-122).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskName(String);

impl TaskName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TaskName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends_plain =
            bytes.first().copied().is_some_and(plain) && bytes.last().copied().is_some_and(plain);
        if ends_plain
            && bytes.len() <= NAME_MAX
            && bytes.iter().all(|&byte| plain(byte) || byte == b'-')
        {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(
            "name",
            format!(
                "{text:?} is no task name: expected 1 to {NAME_MAX} of a-z, 0-9 and -, with a letter or \
                 digit first and last, such as backup-daily-full"
            ),
        ))
    }
}

impl TryFrom<String> for TaskName {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<TaskName> for String {
    fn from(name: TaskName) -> Self {
        name.0
    }
}
