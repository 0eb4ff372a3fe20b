//! Which tz database there is: the system's where it has one, else the one that is built in.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

static VERSION: LazyLock<Mutex<Arc<str>>> = LazyLock::new(|| Mutex::new(read().into()));

/// The first line of a file is read so far; one that is longer tells no version.
const LINE_AT_MOST: u64 = 200;

/// The version of the tz database in use, as it was at the last look: the system's if it tells, else `bundled`.
pub fn version() -> Arc<str> {
    VERSION
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// Looks anew.
pub(super) fn reread() -> Arc<str> {
    let now = read();
    let mut version = VERSION.lock().unwrap_or_else(PoisonError::into_inner);
    if **version != *now {
        *version = now.into();
    }
    version.clone()
}

/// The version that the database tells now.
#[expect(
    clippy::disallowed_methods,
    reason = "jiff looks for the database in TZDIR too, and does not tell"
)]
fn read() -> String {
    let system = std::env::var_os("TZDIR");
    let folders = system.iter().map(Path::new).chain([
        Path::new("/usr/share/zoneinfo"),
        Path::new("/usr/share/lib/zoneinfo"),
        Path::new("/etc/zoneinfo"),
    ]);
    for folder in folders {
        let source = first_line(&folder.join("tzdata.zi"));
        if let Some(version) = source
            .as_deref()
            .and_then(|line| line.strip_prefix("# version "))
        {
            return version.trim().to_owned();
        }
        if let Some(version) = first_line(&folder.join("+VERSION")) {
            return version.trim().to_owned();
        }
        // jiff takes the first folder there is, whether or not it tells its version.
        if folder.is_dir() {
            return "unknown (system)".to_owned();
        }
    }
    "bundled".to_owned()
}

fn first_line(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    BufReader::new(file.take(LINE_AT_MOST)).lines().next()?.ok()
}
