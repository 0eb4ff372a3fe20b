//! Stories of backups: snapshots that count only once they have come back.

mod alone;
mod archives;
mod browsing;
mod configuration;
mod disaster;
mod dumps;
mod engine;
mod faults;
mod faulty;
mod keeping;
mod landed;
mod likeness;
mod loading;
mod losses;
mod manifests;
mod neighbours;
mod passwords;
mod policies;
pub(crate) mod restic;
mod restores;
mod running;
mod sources;
mod turns;
pub(crate) mod vault;
mod verdicts;
mod verifying;
mod watching;
