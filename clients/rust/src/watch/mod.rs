//! Follows runs, their logs, documents and the status across lost connections, restarts and drains.
//!
//! Each message of a watch carries a `resume_token`. `resume` keeps the last one, and opens the
//! stream again with it when the stream breaks, falls silent, or is ended by the server. Since a
//! token may be older than what was shown, `runs` and `documents` drop versions that they have
//! passed on, and `log` drops lines. Only what will not mend by waiting ends a watch: see [`WatchError`].

mod backups;
mod documents;
mod log;
mod resume;
mod runs;
mod seen;
mod status;
mod wait;

use std::{fmt, sync::Arc, time::Duration};

use prost_types::Timestamp;
use tonic::Status;

pub use self::status::StatusNews;
use crate::backoff::Backoff;

/// How a watch behaves when its stream breaks.
#[derive(Clone)]
pub struct Follow {
    /// Give up after so long without a message. Default: never.
    pub give_up_after: Option<Duration>,
    /// Take the stream for dead after so long without a message; the server sends a heartbeat every
    /// 15 s. Default 45 s.
    pub silence: Duration,
    /// How long to wait between attempts. Default 250 ms, doubling up to 30 s.
    pub backoff: Backoff,
    /// Told of each interruption, for people who watch. Default: nobody.
    pub on_interruption: Option<Listener>,
    /// Told when the server's log stalls, and when it goes on. Default: nobody.
    pub on_stall: Option<StallListener>,
}

/// Hears of interruptions.
pub type Listener = Arc<dyn Fn(&Interruption) + Send + Sync>;

/// The stream broke, and will be opened again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// Why, for people.
    pub cause: String,
    /// When the next attempt is.
    pub wait: Duration,
}

/// Hears of stalls.
pub type StallListener = Arc<dyn Fn(&Stall) + Send + Sync>;

/// The server lives, and cannot tell what happens; or it can again.
#[derive(Clone, Debug, PartialEq)]
pub struct Stall {
    /// Since when; none where that is over.
    pub since: Option<Timestamp>,
    /// Whatever was committed before this instant has been told, where that is known.
    pub as_of: Option<Timestamp>,
}

/// Why a watch ended.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Waiting will not mend it: the request is wrong, the token too old, or the caller not allowed.
    #[error("{}", .0.message())]
    Refused(#[source] Box<Status>),
    /// The server was away for longer than [`Follow::give_up_after`].
    #[error("no message for {}s, gave up: {cause}", .after.as_secs())]
    GaveUp {
        /// How long it tried.
        after: Duration,
        /// What was wrong the last time.
        cause: String,
    },
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            give_up_after: None,
            silence: Duration::from_secs(45),
            backoff: Backoff::default(),
            on_interruption: None,
            on_stall: None,
        }
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("give_up_after", &self.give_up_after)
            .field("silence", &self.silence)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}
