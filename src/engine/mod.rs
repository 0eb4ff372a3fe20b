//! Decides what is due, and runs it.

mod context;
mod kind;

pub use self::{
    context::{LOG_BYTES_MAX, RunContext, Stream},
    kind::{Again, BuiltIn, Done, Failure, Kind, Registry, SharedRegistry},
};
