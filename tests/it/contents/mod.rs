//! What is in documents, through the real server: uploads, downloads, what goes wrong with either, and the sweep.

pub(crate) mod desk;
mod downloads;
mod resumed;
mod sweeps;
mod uploads;
mod wrong;
