//! `bellctl completions`: needs no server.

use std::io::{self, Write as _};

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{args::Cli, exit::Exit, failure::Failure};

/// Prints the script. It goes through a buffer: `generate` panics where it cannot write.
pub(super) fn print(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bellctl", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Exit::Good)
}
