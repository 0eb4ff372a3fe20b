//! Rows of a register, read ahead by a thread that may wait for the disk.

use std::io;

use prost::Message as _;
use tokio::sync::mpsc;
use watchbell_client::{
    pb::BadRow,
    register::{FileRow, LARGEST_RECORD},
};

/// Good rows and bad ones, in the order of the file.
pub(super) type Rows = Vec<Result<FileRow, BadRow>>;

/// Handed over at once: a hand-over costs more than a row.
const ROWS_AT_ONCE: usize = 128;
/// Hand-overs that wait.
const READ_AHEAD: usize = 4;

/// The rows, in portions. They end with the file, or with an error.
pub(super) fn read_ahead<R>(reader: R) -> mpsc::Receiver<io::Result<Rows>>
where
    R: Iterator<Item = io::Result<Result<FileRow, BadRow>>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut portion = Rows::new();
        let mut size = 0;
        for row in reader {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    // Whoever would hear of it has gone.
                    let _ = sender.blocking_send(Err(error));
                    return;
                }
            };
            size += row.as_ref().map_or(0, |row| row.row.encoded_len());
            portion.push(row);
            if portion.len() < ROWS_AT_ONCE && size < LARGEST_RECORD {
                continue;
            }
            size = 0;
            if sender
                .blocking_send(Ok(std::mem::take(&mut portion)))
                .is_err()
            {
                return;
            }
        }
        if !portion.is_empty() {
            let _ = sender.blocking_send(Ok(portion));
        }
    });
    receiver
}
