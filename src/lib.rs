//! A control plane that runs an organisation's scheduled work, and never shows green for something
//! that did not happen.

pub mod error;
pub mod pb;
