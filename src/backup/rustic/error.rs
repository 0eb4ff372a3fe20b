//! How errors of the library become those of the port.

use std::{
    any::Any,
    error::Error,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use rustic_core::RusticError;
use rustix::io::Errno;

use crate::backup::repository::{RepositoryError, Result};

/// Longest message that is passed on.
const MESSAGE_CHARS: usize = 600;

/// An error that is not about data which is there: what the port has a variant for, or the library's words.
pub(super) fn translate(place: &Path, error: &RusticError) -> RepositoryError {
    if disk_is_full(error) {
        return full(place);
    }
    other(words(error))
}

fn full(place: &Path) -> RepositoryError {
    RepositoryError::Full {
        place: place.display().to_string(),
    }
}

pub(super) fn other(what: impl Into<String>) -> RepositoryError {
    RepositoryError::Other {
        what: what.into(),
        source: None,
    }
}

/// With what could not be done, and to which path.
pub(super) fn other_io(what: &str, path: &Path, error: io::Error) -> RepositoryError {
    if is_full(&error) {
        return full(path);
    }
    RepositoryError::Other {
        what: format!("could not {what} {}", path.display()),
        source: Some(Box::new(error)),
    }
}

/// What the library says in one line, with its causes: its own display is a page.
pub(super) fn words(error: &RusticError) -> String {
    let mut said = first_words(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error
            .downcast_ref::<Box<RusticError>>()
            .map_or_else(|| error.to_string(), |inner| first_words(inner));
        if !said.contains(&next) {
            said = format!("{said}: {next}");
        }
        cause = error.source();
    }
    let one_line = said.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line.chars().take(MESSAGE_CHARS).collect()
}

fn first_words(error: &RusticError) -> String {
    let log = error.display_log();
    let said = log.strip_prefix("Error: ").unwrap_or(&log);
    said.split(" (kind: related to")
        .next()
        .unwrap_or(said)
        .to_owned()
}

/// The operating system's error at the root of one of the library's.
pub(super) fn disk_error(error: &RusticError) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// An error with what was stored once: damage, unless it is the disk that does not answer.
pub(super) fn damaged(place: &Path, what: &str, error: &RusticError) -> RepositoryError {
    if !is_damage(error) {
        return translate(place, error);
    }
    // Where all of it is gone, its disk is away, and nothing is known of what it holds.
    if !place.join("config").is_file() {
        return RepositoryError::Missing {
            place: place.display().to_string(),
        };
    }
    RepositoryError::Damaged {
        what: format!("{what}: {}", words(error)),
    }
}

/// Whether something is missing, cut off, not what was written, or lies where the disk cannot be read any more: one bad
/// sector is damage of what lies on it. Whether all of the disk is away, `damaged` asks besides.
pub(super) fn is_damage(error: &RusticError) -> bool {
    disk_error(error).is_none_or(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
        ) || match error.raw_os_error() {
            Some(code) => code == Errno::IO.raw_os_error(),
            // No disk has said that: what is unpacked is not what was packed.
            None => matches!(
                error.kind(),
                io::ErrorKind::Other | io::ErrorKind::InvalidData
            ),
        }
    })
}

/// The text of a panic, where it has one.
pub(super) fn text_of(panic: &(dyn Any + Send)) -> Option<&str> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
}

/// What a panic of the library says.
pub(super) fn broke_down(panic: &(dyn Any + Send)) -> String {
    let said: String = text_of(panic)
        .unwrap_or("without a word")
        .chars()
        .take(MESSAGE_CHARS)
        .collect();
    format!("the engine broke down: {said}")
}

/// Calls the library with one thing that is stored: where it breaks down over that, it is damage of that one.
pub(super) fn guarded<T>(what: &dyn fmt::Display, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        Err(RepositoryError::Damaged {
            what: format!("{what}: {}", broke_down(&*panic)),
        })
    })
}

fn disk_is_full(error: &RusticError) -> bool {
    disk_error(error).is_some_and(is_full)
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// That nothing may be written there, whatever can be read.
pub(super) fn is_read_only(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}
