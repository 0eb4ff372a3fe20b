//! Stories of backups: snapshots that count only once they have come back.

mod configuration;
mod disaster;
mod dumps;
mod engine;
mod faults;
mod faulty;
mod keeping;
mod losses;
mod policies;
pub(crate) mod restic;
mod running;
mod sources;
pub(crate) mod vault;
mod verifying;
mod watching;
