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

/// An answer to `ResumeAll`, encoded: whoever ends the pause keeps it for who asked, who may be another server's caller.
pub fn resumed(task_count: u64) -> Vec<u8> {
    let task_count = i64::try_from(task_count).unwrap_or(i64::MAX);
    prost::Message::encode_to_vec(&ResumeAllResponse { task_count })
}
