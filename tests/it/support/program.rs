//! Programs that a story writes and the product executes.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// A file that can be executed, at once.
///
/// Another process writes it. What a thread of this one has open for writing the child of another thread has open,
/// too, until it begins its own program; and what anybody may write to is not executed ("Text file busy").
#[track_caller]
pub(crate) fn program(path: &Path, text: &str) {
    let mut shell = Command::new("/bin/sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut into = shell.stdin.take().unwrap();
    into.write_all(text.as_bytes()).unwrap();
    drop(into);
    assert!(shell.wait().unwrap().success(), "{}", path.display());
}
