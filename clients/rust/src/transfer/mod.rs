//! Sends and fetches contents of documents, and goes on where the connection broke off.
//!
//! Memory stays flat whatever the size: a content is read, hashed, sent and received in pieces. The
//! hash is the whole check: the server compares it with what it received, and a [`Download`] with what
//! it was promised.

mod digest;
mod download;
mod upload;

use std::{io, path::PathBuf, time::Duration};

use tonic::Status;

pub use self::{
    digest::{Digest, digest},
    download::Download,
    upload::Upload,
};
use crate::{
    backoff::Backoff,
    call::{broke_off, retry_after},
    pb::Content,
};

/// Attempts in a row that may break off without a byte more.
const RETRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Why a content was not sent or fetched.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The file cannot be read.
    #[error("cannot read the file {}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The server does not want it, or has none: waiting does not mend it.
    #[error("{}", .0.message())]
    Refused(#[source] Box<Status>),
    /// The connection broke again and again. The server keeps what it has: the same again goes on there.
    #[error("the connection broke off again and again, the last time with: {}", .0.message())]
    BrokeOff(#[source] Box<Status>),
    /// What came is not what was promised.
    #[error(
        "the content is damaged: expected {} bytes with the hash {}, and got {received} with {sha256}",
        .expected.size, .expected.sha256
    )]
    Damaged {
        /// What was promised.
        expected: Content,
        /// Bytes that came.
        received: u64,
        /// Their hash.
        sha256: String,
    },
    /// Another content came when the download went on.
    #[error("the document got another content meanwhile")]
    Changed,
}

/// Sees how far a transfer is.
pub trait Meter {
    /// So many bytes of the content are through.
    fn reached(&self, bytes: u64);
}

/// Nobody looks.
impl Meter for () {
    fn reached(&self, _: u64) {}
}

impl TransferError {
    /// Of a call that was tried again already.
    fn from_call(status: Status) -> Self {
        if broke_off(&status) {
            return Self::BrokeOff(Box::new(status));
        }
        Self::Refused(Box::new(status))
    }
}

/// Counts attempts that brought nothing.
#[derive(Debug)]
struct Retries {
    backoff: Backoff,
    left: u32,
    reached: u64,
}

impl Retries {
    fn new() -> Self {
        Self {
            backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT),
            left: RETRIES,
            reached: 0,
        }
    }

    /// Waits before the next attempt, after one that came as far as `reached`.
    async fn wait(&mut self, status: Status, reached: u64) -> Result<(), TransferError> {
        if !broke_off(&status) {
            return Err(TransferError::Refused(Box::new(status)));
        }
        if reached > self.reached {
            self.reached = reached;
            self.left = RETRIES;
            self.backoff.reset();
        }
        if self.left == 0 {
            return Err(TransferError::BrokeOff(Box::new(status)));
        }
        self.left -= 1;
        let wished = retry_after(&status).unwrap_or_default();
        let wait = self.backoff.next_wait().max(wished).min(LONGEST_WAIT);
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_anew_once_there_is_progress() {
        let mut retries = Retries::new();
        let gone = || Status::unavailable("gone");
        for _ in 0..RETRIES {
            retries.wait(gone(), 0).await.unwrap();
        }
        retries.wait(gone(), 7).await.unwrap();
        for _ in 1..RETRIES {
            retries.wait(gone(), 7).await.unwrap();
        }
        let gave_up = retries.wait(gone(), 7).await.unwrap_err();
        assert!(matches!(gave_up, TransferError::BrokeOff(_)), "{gave_up}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_tried_again() {
        let refusal = Retries::new().wait(Status::data_loss("gone"), 0).await;
        let refusal = refusal.unwrap_err();
        assert!(matches!(refusal, TransferError::Refused(_)), "{refusal}");
    }
}
