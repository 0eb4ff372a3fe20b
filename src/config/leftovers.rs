//! Processes that a command leaves.

use serde::{Deserialize, Serialize};

/// What becomes of processes that live on once their command has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leftovers {
    /// They are waited for; those that live then go on, and make the run partial.
    #[default]
    Wait,
    /// They go on, and nothing is said of them.
    Leave,
    /// They are killed at once, which makes the run partial.
    Kill,
}
