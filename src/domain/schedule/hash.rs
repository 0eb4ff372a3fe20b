//! The stable hash behind `H` and the spread: the same on every replica, in every release.

use sha2::{Digest, Sha256};

/// A number drawn from a task's name and what it is for.
///
/// The name is closed by a zero byte, which no name contains, so two pairs never share a digest.
pub(super) fn draw(task_name: &str, purpose: &[u8]) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(task_name.as_bytes());
    hasher.update([0]);
    hasher.update(purpose);
    let digest = hasher.finalize();
    let mut number = 0_u64;
    for byte in digest.iter().take(8) {
        number = number << 8 | u64::from(*byte);
    }
    number
}
