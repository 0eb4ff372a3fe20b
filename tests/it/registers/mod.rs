//! Registers, through the real server: what an import keeps, what it refuses, and that an export of it changes nothing.

mod again;
mod bends;
pub(crate) mod desk;
mod endings;
mod numbers;
mod references;
mod rows;
mod sheets;
