//! The repository's adapter, against its port: each test that writes ends with restic's word on what was written.

mod attributes;
mod cancelling;
mod changing;
mod checking;
mod copying;
mod errors;
mod full;
mod globs;
mod held_up;
mod killed;
mod locking;
mod nobody;
mod opening;
mod ours;
mod parents;
mod pruning;
mod rotating;
pub(crate) mod stage;
mod storing;
mod strange;
mod unseen;
