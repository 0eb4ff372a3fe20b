//! How many files this process may have open: as many as the system lets it, while what it starts has what it was given.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What this process was given before it took more.
static GIVEN: OnceLock<u64> = OnceLock::new();

/// Raises the soft limit to the hard one; says what it is now, and none where there is none.
pub fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let given = limit.current?;
    GIVEN.get_or_init(|| given);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "could not raise the limit of open files above {given}");
            Some(given)
        }
    }
}

/// What programs are to have that this process starts; none where it took no more than it was given.
pub(super) fn given_open_files() -> Option<u64> {
    GIVEN.get().copied()
}

/// Lowers the soft limit of this process again: programs are written that use as many as they may, or know no more than
/// 1,024.
pub(super) fn lower_open_files(to: u64) -> rustix::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let lowered = Rlimit {
        current: Some(to),
        ..limit
    };
    setrlimit(Resource::Nofile, lowered)
}
