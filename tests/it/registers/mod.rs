//! Registers, through the real server: what an import keeps, what it refuses, and that an export of it changes nothing.

mod again;
pub(crate) mod desk;
mod endings;
mod references;
mod rows;
