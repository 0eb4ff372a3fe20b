//! Contents of documents: stored once by their hash.

/// Bounds of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentLimits {
    /// Largest content, in bytes.
    pub max_bytes: u64,
    /// How long what no document holds is kept: longer than a backup takes.
    pub keep_unused_for: std::time::Duration,
}
