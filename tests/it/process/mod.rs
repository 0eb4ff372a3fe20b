//! The programs as they are shipped: `watchbell` and `bellctl` as processes, with files, signals and
//! exit codes. What needs no process is tested within one, elsewhere.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail loudly"
)]
#![allow(
    clippy::print_stderr,
    reason = "what cannot be tested on this machine is said"
)]

pub(crate) mod harness;
pub(crate) mod mount;
mod server;
mod sqlite;
pub(crate) mod zoneinfo;

mod apart;
mod backups;
mod cgroups;
mod client;
mod client_errors;
mod command;
mod configuration;
mod connections;
mod crash;
mod crontab;
mod damage;
mod data_dir;
mod drain;
mod drilling;
pub(crate) mod flood;
mod full_disk;
pub(crate) mod hanging;
mod in_force;
mod lacking;
mod late_database;
mod launcher;
mod ledger;
mod leftovers;
mod locked;
mod looking;
mod mailing;
mod orphans;
mod read_only;
mod readers;
mod restoring;
mod settings;
mod stop;
mod unsynced;
mod zones;
