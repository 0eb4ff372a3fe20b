//! Bars on standard error that show how far something is, if that is a terminal.

use std::{
    future::Future,
    io::{self, IsTerminal as _},
};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use watchbell_client::transfer::Meter;

use crate::{failure::Failure, text::plain};

/// How far a transfer of bytes is.
#[derive(Clone, Debug)]
pub(crate) struct BytesBar(ProgressBar);

impl BytesBar {
    pub(crate) fn new(text: &str, size: u64) -> Self {
        Self(bar(
            text,
            size,
            "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ))
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl Meter for BytesBar {
    fn reached(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

/// How many rows are done of those that were sent.
pub(crate) fn rows_bar(text: &str) -> ProgressBar {
    bar(text, 0, "{msg} [{bar:30}] {pos} of {len} rows, {per_sec}")
}

/// Does the work, unless it is interrupted: then it is dropped, with what it has half written.
pub(crate) async fn unless_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        done = work => done,
        Ok(()) = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}

fn bar(text: &str, length: u64, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    // Also where the work ends by an error.
    let bar = ProgressBar::new(length).with_finish(ProgressFinish::AndClear);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(plain(text));
    bar
}
