//! How much the door takes.

use std::time::Duration;

/// Files besides those of connections and runs: the log, the databases' connections, backups.
const OTHER_FILES: u64 = 160;
/// Files that a run of a command takes here: its launcher's socket, and two pipes.
const FILES_OF_RUN: u64 = 4;

/// What the door takes, and for how long.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// A connection says something that is HTTP within this time.
    pub begins_within: Duration,
    /// Age at which a connection is asked to go, give or take a tenth.
    pub age: Duration,
    /// Calls at once of one connection that are answered soon.
    pub calls: usize,
    /// Watches, waits and transfers at once of one connection.
    pub lasting: usize,
    /// Between two looks whether a connection that has to go may be closed; one that is idle has so long to hear of it.
    pub notice: Duration,
    /// How long it is told that callers were turned away.
    pub told_for: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 4096,
            begins_within: Duration::from_secs(5),
            age: Duration::from_secs(30 * 60),
            calls: 256,
            lasting: 1024,
            notice: Duration::from_millis(500),
            told_for: Duration::from_secs(60),
        }
    }
}

/// Connections that a process may take which may have so many files open, and so many runs at once: what the rest needs is
/// kept in reserve, but never more than half.
pub fn room_for(open_files: Option<u64>, max_running: usize) -> usize {
    let Some(open_files) = open_files else {
        return usize::MAX;
    };
    let runs = FILES_OF_RUN.saturating_mul(max_running as u64);
    let reserve = OTHER_FILES.saturating_add(runs).min(open_files / 2);
    usize::try_from(open_files - reserve).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_files_at_least_are_for_connections() {
        assert_eq!(room_for(None, 256), usize::MAX);
        assert_eq!(room_for(Some(20_000), 256), 20_000 - 160 - 1024);
        assert_eq!(room_for(Some(1024), 10_000), 512);
        assert_eq!(room_for(Some(400), 1), 236);
    }
}
