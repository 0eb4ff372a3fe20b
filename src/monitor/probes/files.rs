//! Whether the files of a SQLite database are in proportion to what they hold.

use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    domain::problem::{Problem, ProblemKind},
    engine::Engine,
    error::Result,
    monitor::probe::{Look, Probe, Scope},
    store::Room,
};

const PERIOD: Duration = Duration::from_secs(10);
const DATABASE: &str = "database";
const MIB: u64 = 1 << 20;
/// A log that is longer has not begun anew for long, though it was tried every ten seconds.
const LOG_BYTES: u64 = 256 * MIB;
/// What a file that cannot be made shorter may hold of nothing, where that is also more than what is in use.
const FREE_BYTES: u64 = 512 * MIB;

/// The files of this server's database.
#[derive(Debug)]
pub(in crate::monitor) struct FilesProbe(pub(in crate::monitor) Engine);

impl Probe for FilesProbe {
    fn name(&self) -> &'static str {
        "files"
    }

    fn scope(&self) -> Scope {
        Scope::Replica
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn look(&self) -> BoxFuture<'_, Result<Look>> {
        Box::pin(async {
            let room = self.0.store().room().await?;
            let now = self.0.clock().now();
            let problems = room.map(|room| judge(&room, now)).unwrap_or_default();
            Ok(Look::of(problems))
        })
    }
}

fn judge(room: &Room, now: Timestamp) -> Vec<Problem> {
    let mut problems = Vec::new();
    if LOG_BYTES < room.log_bytes {
        let message = format!(
            "the log beside the database's file has grown to {} MiB: something has read from the database ever since, \
             and keeps it from beginning anew",
            room.log_bytes / MIB
        );
        problems.push(Problem::new(
            ProblemKind::DatabaseLogLong,
            DATABASE,
            message,
            now,
        ));
    }
    let free = u64::try_from(room.free_bytes()).unwrap_or(0);
    if !room.gives_back && FREE_BYTES < free && room.pages < 2 * room.free {
        let message = format!(
            "{} MiB of the database's file hold nothing, and it was made by a version whose files cannot be made \
             shorter while the server runs",
            free / MIB
        );
        problems.push(Problem::new(
            ProblemKind::DatabaseLoose,
            DATABASE,
            message,
            now,
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_and_a_file_that_is_mostly_empty_for_good_are_told() {
        let told = |room: Room| {
            let problems = judge(&room, Timestamp::UNIX_EPOCH);
            let kinds: Vec<String> = problems.into_iter().map(|problem| problem.kind).collect();
            kinds
        };
        let room = Room {
            page_bytes: 4096,
            pages: 625_000,
            free: 624_500,
            gives_back: true,
            log_bytes: 16 << 20,
        };
        assert!(told(room).is_empty(), "it is given back");
        let before = Room {
            gives_back: false,
            ..room
        };
        assert_eq!(told(before), ["database.loose"]);
        let used = Room {
            free: 312_000,
            ..before
        };
        assert!(told(used).is_empty(), "as much is in use");
        let long = Room {
            log_bytes: 300 << 20,
            ..room
        };
        assert_eq!(told(long), ["database.log_long"]);
    }
}
