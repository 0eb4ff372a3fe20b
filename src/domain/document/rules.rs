//! What must hold of a document whatever is done to it: of its people, and of what depends on what.

use super::{DEPENDS_MAX, Key, Number, same_person};
use crate::error::{Error, Result};

/// Dependants that a refusal names.
pub const NAMED_AT_MOST: usize = 5;

/// Documents that are not final and name a number among those they depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dependants {
    /// How many there are.
    pub count: i64,
    /// [`NAMED_AT_MOST`] of them.
    pub named: Vec<Key>,
}

impl Dependants {
    /// One of them no longer is.
    pub fn lose(&mut self, key: &Key) {
        self.count -= 1;
        self.named.retain(|other| other != key);
    }
}

/// Who writes a document does not review it, and who reviews it does not approve it.
///
/// # Errors
/// [`Error::Invalid`] for `reviewer` or `approver`.
pub fn separated(author: &str, reviewer: &str, approver: &str) -> Result<()> {
    if !reviewer.is_empty() && same_person(author, reviewer) {
        let what = format!("{reviewer} is the author, who may not review; expected someone else");
        return Err(Error::invalid("reviewer", what));
    }
    if approver.is_empty() {
        return Ok(());
    }
    for (role, person) in [("author", author), ("reviewer", reviewer)] {
        if same_person(approver, person) {
            let what =
                format!("{approver} is the {role}, who may not approve; expected someone else");
            return Err(Error::invalid("approver", what));
        }
    }
    Ok(())
}

/// That a number does not depend on itself, and on no other twice.
///
/// # Errors
/// [`Error::Invalid`] for `depends_on`.
pub fn depends_soundly(number: &Number, depends_on: &[Number]) -> Result<()> {
    if DEPENDS_MAX < depends_on.len() {
        let what = format!(
            "{} given; expected at most {}",
            depends_on.len(),
            DEPENDS_MAX
        );
        return Err(Error::invalid("depends_on", what));
    }
    for (index, other) in depends_on.iter().enumerate() {
        if other == number {
            let what = format!("{number} cannot depend on itself");
            return Err(Error::invalid("depends_on", what));
        }
        if depends_on[..index].contains(other) {
            let what = format!("{other} is given twice");
            return Err(Error::invalid("depends_on", what));
        }
    }
    Ok(())
}
