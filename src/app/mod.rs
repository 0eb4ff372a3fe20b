//! Puts the rooms together, and runs them until told to stop.
//!
//! What comes from outside comes by [`Ports`], so that a test is the real server with another clock
//! and further kinds.

mod data;
mod house;
mod loops;
mod restore;
mod rooms;
mod serve;

pub use self::{
    data::DataDir,
    restore::{Account, Wish, open_offline, restore},
    serve::{Ports, check, location, serve},
};
