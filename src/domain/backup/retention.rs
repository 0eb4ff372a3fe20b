//! Which restore points are kept.

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Stub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    pub last: u32,
}

impl Retention {
    /// Keeps the newest so many.
    pub fn last(count: u32) -> Self {
        Self { last: count }
    }

    pub fn check(&self) -> Result<()> {
        Ok(())
    }
}
