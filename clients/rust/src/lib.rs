//! Client of Watchbell: the generated stubs, a channel that carries the token, and watches that
//! reconnect.
//!
//! [`client::Client`] opens the channel and hands out typed stubs. [`watch`] follows runs and logs
//! across lost connections. [`transfer`] sends and fetches contents, and goes on where it broke off.
//! [`register`] reads and writes registers of documents. [`json`] speaks canonical proto JSON.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail loudly"))]

pub mod backoff;
pub mod call;
pub mod client;
pub mod json;
pub mod register;
pub mod transfer;
pub mod watch;

pub mod pb {
    //! The generated messages and clients of `proto/watchbell/v1`.
    #![allow(
        clippy::all,
        clippy::pedantic,
        unreachable_pub,
        unused_qualifications,
        missing_debug_implementations,
        reason = "generated"
    )]

    tonic::include_proto!("watchbell.v1");

    /// The descriptors, for canonical JSON.
    pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("watchbell.v1");
}
