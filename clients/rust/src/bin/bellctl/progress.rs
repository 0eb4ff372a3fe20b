//! Bars on standard error that show how far something is, if that is a terminal.

use std::{
    future::Future,
    io::{self, IsTerminal as _},
};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use watchbell_client::{
    pb::{BackupProgress, RunState},
    transfer::Meter,
};

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

    /// One for what goes to standard output. It is not shown where that is a terminal: a bar would wipe out the last line.
    pub(crate) fn beside_output(text: &str, size: u64) -> Self {
        match io::stdout().is_terminal() {
            true => Self(ProgressBar::hidden()),
            false => Self::new(text, size),
        }
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

/// How far the steps of a backup are: a bar on a terminal, and elsewhere a line for each step.
#[derive(Clone, Debug)]
pub(crate) struct StepBar {
    bar: ProgressBar,
    name: String,
    told: std::cell::RefCell<String>,
}

impl StepBar {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            bar: bar(name, 0, steps_template(0)),
            name: name.to_owned(),
            told: std::cell::RefCell::default(),
        }
    }

    pub(crate) fn show(&self, progress: &BackupProgress) {
        let state = progress
            .run
            .as_ref()
            .map_or(RunState::Unspecified, |run| run.state());
        let step = match (progress.phase.as_str(), state) {
            (_, RunState::RetryWait) => "waits to be tried again",
            ("", _) => "waits",
            (phase, _) => phase,
        };
        let unsigned = |count: i64| u64::try_from(count).unwrap_or_default();
        let total = unsigned(progress.total_bytes);
        if let Ok(style) = ProgressStyle::with_template(steps_template(total)) {
            self.bar.set_style(style);
        }
        self.bar
            .set_length(total.max(unsigned(progress.done_bytes)));
        self.bar.set_position(unsigned(progress.done_bytes));
        let files = match progress.done_files {
            0 => String::new(),
            files => format!(", {files} files"),
        };
        let left = match &progress.remaining_duration {
            Some(left) => format!(", {} left", crate::time::show_length(Some(left))),
            None => String::new(),
        };
        self.bar
            .set_message(plain(&format!("{}: {step}{files}{left}", self.name)));
        let mut told = self.told.borrow_mut();
        if self.bar.is_hidden() && *told != step {
            // Whoever reads a log wants to know where it was.
            crate::output::remark(&format!("{}: {step}", self.name));
            step.clone_into(&mut told);
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Of a step whose end is not known no bar is drawn: one of 0 bytes would be full before it has begun.
fn steps_template(total: u64) -> &'static str {
    match total {
        0 => "{msg} {bytes}, {elapsed}",
        _ => "{msg} [{bar:30}] {bytes} of {total_bytes}, {elapsed}",
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
    // A bar of nothing would be full before anything is known.
    if length == 0 {
        bar.unset_length();
    }
    bar.set_message(plain(text));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_drawn_only_where_the_end_is_known() {
        assert!(!steps_template(0).contains("{bar"));
        assert!(!steps_template(0).contains("{total_bytes}"));
        assert!(steps_template(1).contains("{bar"));
    }
}
