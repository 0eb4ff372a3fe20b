//! All integration tests, in one binary: one link, and they run side by side.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may fail loudly"
)]

mod api_rules;
mod attempts;
mod auditing;
pub(crate) mod backups;
mod bad_fields;
mod catalogue;
mod catching_up;
mod chaos;
mod clocks;
mod connections;
mod contents;
mod documents;
mod draining;
mod drift;
mod edits_and_pauses;
mod ending;
mod evaluator;
mod firing;
mod first_start;
mod following;
mod following_one;
mod freshness;
mod fuzzing;
mod given_anew;
mod held;
mod in_force;
mod instants;
mod kinds;
mod leases;
mod listing;
mod meeting;
mod migrating;
mod monitoring;
mod overlapping;
mod owners;
mod parameters;
mod passing;
mod places;
mod process;
mod progressing;
mod pruning;
mod registers;
mod requests;
mod resuming;
mod ringing;
mod rolled_back;
mod serving;
mod set_back;
mod silent;
mod snapshots;
mod spread;
mod stalling;
mod standing_back;
mod status_watching;
mod support;
mod tailing;
mod tidy;
mod told_before;
mod unset;
mod weighing;
mod wrong_fields;
mod wrong_policies;
