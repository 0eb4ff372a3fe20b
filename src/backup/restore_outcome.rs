//! What a restore came to, as it is noted before it is put in place: an attempt that comes after a process was killed in
//! between looks at what lies there, and tells of it what the first would have told.

use serde::{Deserialize, Serialize};

use super::{
    restore_files::{Compared, Restored},
    restore_put::Placing,
};

/// Note on a restore before it is put in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    pub(super) placing: Placing,
    pub(super) outcome: Outcome,
}

/// Result of a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) damaged: u64,
    pub(super) refused: u64,
    pub(super) unset: u64,
    pub(super) left_out: u64,
    /// Differences from what was stored, in words.
    pub(super) shortfalls: Vec<String>,
}

impl Outcome {
    pub(super) fn of(restored: &Restored) -> Self {
        Self {
            files: restored.files,
            bytes: restored.bytes,
            damaged: restored.damaged.count,
            refused: restored.refused.count,
            unset: restored.unset.count,
            left_out: restored.left_out.count,
            shortfalls: restored.shortfall().into_iter().collect(),
        }
    }

    /// The result once what lies there was looked at anew.
    pub(super) fn looked_at(mut self, compared: &Compared) -> Self {
        let lost = self.files.saturating_sub(compared.same);
        if 0 < lost {
            self.files = compared.same;
            self.refused += lost;
            self.shortfalls.push(format!(
                "{lost} files are not what was restored any more: {}",
                compared.differing.named()
            ));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_any_more_is_no_success() {
        let outcome = Outcome {
            files: 5,
            ..Outcome::default()
        };
        let mut compared = Compared {
            same: 5,
            ..Compared::default()
        };
        assert_eq!(outcome.clone().looked_at(&compared), outcome);
        compared.same = 3;
        let after = outcome.looked_at(&compared);
        assert_eq!((after.files, after.refused), (3, 2));
        assert!(after.shortfalls[0].contains("2 files"), "{after:?}");
    }
}
