//! What was found of a restore point after its manifest was written.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::manifest::FileError;
use crate::domain::text::text_enum;

text_enum! {
    /// What a restore point comes to, by all that is known of it.
    Sound {
        /// It was read back, and all is in it.
        Verified = "verified",
        /// It was read back, and what is missing in it is named.
        Partial = "partial",
        /// Not all of it comes back as it was.
        Damaged = "damaged",
    }
}

/// A verdict, as it stands in the repository beside the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    pub sound: Sound,
    pub at: Timestamp,
    /// `tasks/{task}/runs/{run}`.
    pub run: String,
    /// A line for people.
    pub message: String,
    /// Everything that was found missing or damaged after the manifest was written.
    pub names: Vec<FileError>,
}
