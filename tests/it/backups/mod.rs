//! Stories of backups: snapshots that count only once they have come back.

mod alone;
mod browsing;
mod disaster;
mod dumps;
mod engine;
mod faults;
mod faulty;
mod keeping;
mod likeness;
mod loading;
mod policies;
pub(crate) mod restic;
mod restores;
mod running;
mod sources;
pub(crate) mod vault;
mod verifying;
mod watching;
