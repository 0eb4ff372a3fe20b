//! Client of Watchbell: the generated stubs, a channel that carries the token, and watches that
//! reconnect.

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
