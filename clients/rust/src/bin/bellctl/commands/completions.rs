//! `bellctl completions`: needs no server.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{args::Cli, exit::Exit, failure::Failure, stdout::Data};

/// Prints the script. It goes through a buffer: `generate` panics where it cannot write.
pub(super) fn print(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bellctl", &mut script);
    Data.write_all(&script)?;
    // Half a script would be sourced all the same.
    Data.flush()?;
    Ok(Exit::Good)
}
