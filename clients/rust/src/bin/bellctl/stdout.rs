//! Standard output, and what becomes of a command whose reader has gone.
//!
//! A reader such as `head` or `grep -q` goes once it has seen enough, and says nothing by that of what the command was
//! told to do. So a command that shows something ([`show`]) goes on in silence, waits for what it was to wait for, and
//! exits with the code that it would have had. One that does nothing but follow ends there ([`gone`]), since nobody is
//! left to follow for. One whose output is data, such as an export, fails ([`Data`]): what was read is not the whole.

use std::{
    future::pending,
    io::{self, Write},
    os::fd::AsFd as _,
    sync::LazyLock,
};

use tokio::{io::Interest, net::unix::pipe, sync::watch};

/// Whether standard output is a pipe that nobody reads any more.
static GONE: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// Writes what is shown, unless its reader has gone.
///
/// # Errors
/// Where it cannot be written for another reason, such as a full disk.
pub(crate) fn show(text: &str) -> io::Result<()> {
    if is_gone() {
        return Ok(());
    }
    unless_gone(io::stdout().lock().write_all(text.as_bytes()))
}

/// Writes what is still in the buffer.
///
/// # Errors
/// As [`show`].
pub(crate) fn flush() -> io::Result<()> {
    if is_gone() {
        return Ok(());
    }
    unless_gone(io::stdout().lock().flush())
}

fn unless_gone(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            GONE.send_replace(true);
            Ok(())
        }
        other => other,
    }
}

/// Whether the reader is known to have gone.
pub(crate) fn is_gone() -> bool {
    *GONE.borrow()
}

/// Resolves once nobody reads standard output any more, also where nothing is written; of a file, never.
pub(crate) async fn gone() {
    let mut written = GONE.subscribe();
    tokio::select! {
        _ = written.wait_for(|gone| *gone) => {}
        () = hung_up() => {}
    }
}

async fn hung_up() {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    let watched = stdout.and_then(pipe::Sender::from_owned_fd_unchecked);
    let Ok(watched) = watched else {
        // A file, or /dev/null: they have no reader that could go.
        return pending().await;
    };
    // Of a pipe, that it has no reader is an error, which is told whether or not anything is written.
    if watched.ready(Interest::ERROR).await.is_err() {
        return pending().await;
    }
    GONE.send_replace(true);
}

/// Standard output for data, which is whole or a failure: also where its reader has gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data;

impl Write for Data {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
