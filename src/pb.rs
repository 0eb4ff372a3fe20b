//! The generated messages and servers of `proto/watchbell/v1`.
#![allow(
    clippy::all,
    clippy::pedantic,
    unreachable_pub,
    unused_qualifications,
    missing_debug_implementations,
    reason = "generated"
)]

tonic::include_proto!("watchbell.v1");

/// The descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("watchbell.v1");
