//! The server.

mod cli;

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    // Before all else: as many of these wait as commands run, and each is to be small.
    if watchbell::config::first_argument().is_some_and(|word| word == watchbell::process::LAUNCH) {
        return watchbell::process::launch();
    }
    cli::run(cli::Args::parse())
}
