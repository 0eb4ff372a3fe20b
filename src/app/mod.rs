//! Puts the rooms together, and runs them until told to stop.
//!
//! What comes from outside comes by [`Ports`], so that a test is the real server with another clock
//! and further kinds.

mod candidates;
mod check;
mod crowds;
mod data;
mod house;
mod loops;
mod readiness;
mod restore;
mod restore_contents;
mod restore_disks;
mod restore_paths;
mod restore_settle;
mod rooms;
mod serve;
mod standing;
mod waiting;

pub use self::{
    check::{check, misfits},
    data::DataDir,
    restore::{Account, Wish, open_offline, restore},
    restore_paths::restore_paths,
    serve::{Ports, location, serve},
};
