//! Identifiers that cannot be mistaken for one another.

use std::{
    fmt,
    str::FromStr,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
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
    /// A run. Its first 48 bits are the millisecond in which it was queued, so that runs sort by that.
    RunId,
    "name"
);

/// Runs that this process has made, from somewhere on.
static RUNS: LazyLock<AtomicU64> = LazyLock::new(|| {
    // The low bits of a new id are random: another process begins elsewhere.
    AtomicU64::new(Uuid::now_v7().as_u128() as u64 & u64::from(u32::MAX))
});
/// Bits of an id that count the runs of a process.
const COUNT_BITS: u8 = 42;

impl RunId {
    /// A new id of a run that is queued at `now`. Those of one millisecond sort in the order in which this
    /// process makes them.
    pub fn at(now: Timestamp) -> Self {
        let millis = millis(now);
        let count = RUNS.fetch_add(1, Ordering::Relaxed) & ((1 << COUNT_BITS) - 1);
        let nanos = u32::try_from(millis % 1000 * 1_000_000).unwrap_or(0);
        let at = uuid::Timestamp::from_unix_time(millis / 1000, nanos, count.into(), COUNT_BITS);
        Self(Uuid::new_v7(at))
    }

    /// The least id that a run queued in this millisecond, or later, can have.
    pub fn first_from(instant: Timestamp) -> Self {
        Self(Uuid::from_u128(u128::from(millis(instant)) << 80))
    }
}

/// Since the Unix epoch, as many as an id holds; before it, none.
fn millis(instant: Timestamp) -> u64 {
    u64::try_from(instant.as_millisecond()).unwrap_or(0) & ((1 << 48) - 1)
}
id!(
    /// A version of a document.
    DocumentId,
    "uid"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_sort_by_when_they_were_queued_and_within_a_millisecond_as_they_were_made() {
        let at = |millis: i64| Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap();
        let made: Vec<RunId> = [0, 0, 0, 1, 1, 7]
            .map(|millis| RunId::at(at(millis)))
            .to_vec();
        assert!(made.is_sorted(), "{made:?}");
        assert!(made[2] < RunId::first_from(at(1)) && RunId::first_from(at(1)) <= made[3]);
        assert_eq!(made[0].0.get_version_num(), 7);
    }
}
