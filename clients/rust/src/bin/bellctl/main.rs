//! `bellctl`: controls a Watchbell server from the command line.
//!
//! [`args`] makes names, moments and lengths of what was typed, [`commands`] asks the server, and
//! [`output`] shows the answer. Nothing from the server reaches a terminal but through [`text`].

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail loudly"))]

mod args;
mod commands;
mod exit;
mod failure;
mod label;
mod locale;
mod name;
mod output;
mod pending_file;
mod progress;
mod session;
mod stdout;
mod table;
mod text;
mod time;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::{
    args::{Cli, Format},
    exit::Exit,
    failure::Failure,
    text::plain,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(&cli)),
        Err(error) => Err(Failure::from(error)),
    };
    let done = done.and_then(|exit| {
        stdout::flush()?;
        Ok(exit)
    });
    let exit = done.unwrap_or_else(|failure| report(&failure, &cli));
    exit.into()
}

fn report(failure: &Failure, cli: &Cli) -> Exit {
    if commands::is_monitored(&cli.command) && cli.globals.output == Format::Table {
        // Monitors show the first line of standard output and nothing else.
        let unknown = format!("UNKNOWN: {}\n", plain(&failure.to_string()));
        // Where this cannot be written either, the exit code says it.
        let _ = stdout::show(&unknown);
    }
    // Nobody can be told that standard error is closed.
    let _ = writeln!(io::stderr(), "{}", failure.report(&cli.globals.endpoint()));
    commands::exit_of(failure, &cli.command)
}
