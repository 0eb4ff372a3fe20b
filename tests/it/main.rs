//! All integration tests, in one binary: one link, and they run side by side.

mod attempts;
mod catching_up;
mod edits_and_pauses;
mod firing;
mod overlapping;
mod support;
mod tidy;
