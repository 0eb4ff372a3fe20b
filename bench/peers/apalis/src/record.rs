//! What a handler writes down: that it was entered, and when.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// One entry in `measure/records.py`.
pub const LINE_BYTES: u64 = "00000000 1700000000000000000\n".len() as u64;

static FILE: OnceLock<File> = OnceLock::new();

/// Opens the record of this process's handlers.
///
/// # Errors
///
/// Fails where `PEER_RECORD` is not set, or cannot be written.
pub fn open() -> anyhow::Result<()> {
    let path = crate::variable("PEER_RECORD")?;
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    FILE.get_or_init(|| file);
    Ok(())
}

pub fn write(name: &str) -> std::io::Result<()> {
    let line = format!("{name} {}\n", now_ns());
    match FILE.get() {
        Some(mut file) => file.write_all(line.as_bytes()),
        None => Err(std::io::Error::other("the record is not open")),
    }
}

/// Nanoseconds of the wall clock.
pub fn now_ns() -> i128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as i128)
}
