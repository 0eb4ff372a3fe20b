//! Who calls.

/// Whoever a call comes from, as its token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub principal: String,
}
