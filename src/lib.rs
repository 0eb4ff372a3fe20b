//! A control plane that runs an organisation's scheduled work, and never shows green for something
//! that did not happen.
//!
//! The rooms below stand in reading order; each may use only those above it (`tests/it/tidy.rs`
//! checks). `ARCHITECTURE.md` walks three stories through them.

// The ground: pure values and rules, the settings, the clock.
pub mod clock;
pub mod config;
pub mod crontab;
pub mod domain;
pub mod error;
pub mod host;
pub mod pb;

// What the ground is kept in.
pub mod store;

// What the machine is asked to run.
pub mod process;

// Who may come in, and for how long.
pub mod door;

// What follows the log.
pub mod journal;

// The working rooms. `backup` and `alerts` will stand beside them.
pub mod backup;
pub mod engine;
pub mod records;

// The kinds of task.
pub mod tasks;

// What is wrong, and how the server is.
pub mod monitor;

// The edge, and the one place that knows every room.
pub mod api;
pub mod app;
