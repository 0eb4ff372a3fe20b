//! All integration tests, in one binary: one link, and they run side by side.

mod process;
mod tidy;
