//! How many heaps the C library makes for the threads of this process.

use std::{ffi::OsStr, os::unix::process::CommandExt as _, process::Command};

use super::variables::STARTED_ANEW;

const SETTING: &str = "MALLOC_ARENA_MAX";
/// With two, threads wait for one another: a run took 40 % more of a processor than with as many as there are threads.
/// Four are nearly as quick, and cost a MiB more than two.
const ARENAS: &str = "4";

/// Starts the program anew, as the same process, with a few heaps for all threads, unless it is told how many; and
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
    let _failed = anew(program.as_os_str()).exec();
}

/// This program with its own arguments, told how many heaps to have, and that it is not to do this again.
fn anew(program: &OsStr) -> Command {
    let mut arguments = std::env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // Commands of tasks get an environment of their own, without these.
    again
        .args(arguments)
        .env(SETTING, ARENAS)
        .env(STARTED_ANEW, "1");
    again
}

/// Whether whoever started this process has decided, or it has been here already. That is not seen by the setting alone:
/// glibc removes it, as all of its own, where a program has file capabilities or is set-uid.
#[expect(clippy::disallowed_methods, reason = "a setting of the C library")]
fn is_told() -> bool {
    said_by(|name| std::env::var_os(name).is_some())
}

fn said_by(is_set: impl Fn(&str) -> bool) -> bool {
    [SETTING, "GLIBC_TUNABLES", STARTED_ANEW]
        .into_iter()
        .any(is_set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_started_anew_once_also_where_the_c_library_removes_its_own_settings() {
        assert!(!said_by(|_| false));
        let again = anew(OsStr::new("/usr/local/bin/watchbell"));
        let handed_over: Vec<&str> = again
            .get_envs()
            .filter_map(|(name, value)| value.and(name.to_str()))
            .collect();
        assert!(handed_over.contains(&SETTING), "{handed_over:?}");
        let removed = |name: &str| name.starts_with("MALLOC_") || name == "GLIBC_TUNABLES";
        assert!(said_by(|name| handed_over.contains(&name) && !removed(name)));
    }
}
