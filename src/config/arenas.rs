//! How many heaps the C library makes for the threads of this process.

use std::{os::unix::process::CommandExt as _, process::Command};

const SETTING: &str = "MALLOC_ARENA_MAX";
/// More are no quicker: nearly all that is asked for comes from a cache of the thread's own.
const ARENAS: &str = "2";

/// Starts the program anew, as the same process, with a heap or two for all threads, unless it is told how many; and
/// returns where there is nothing to do, or where that fails, which costs memory and no more.
///
/// glibc makes up to eight heaps for each processor. A thread's first request takes a fresh one, and there are threads
/// for each connection to SQLite and for whatever blocks: of 14 MiB that an idle server held, 5 were what they had
/// left free in as many heaps. It reads its setting when a program starts, and never again.
pub fn keep_heaps_few() {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) || is_told() {
        return;
    }
    // By its own path, and not by that in /proc: `ps` shows what is started by its last part.
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Commands of tasks get an environment of their own, without it.
    let _failed = again.args(arguments).env(SETTING, ARENAS).exec();
}

/// Whether whoever started this process has decided, or it has been here already.
#[expect(clippy::disallowed_methods, reason = "a setting of the C library")]
fn is_told() -> bool {
    std::env::var_os(SETTING).is_some() || std::env::var_os("GLIBC_TUNABLES").is_some()
}
