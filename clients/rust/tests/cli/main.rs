//! bellctl against a scripted server: what it sends, what it prints, and how it exits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail loudly"
)]

mod contents;
mod documents;
mod fake;
mod fake_documents;
mod harness;
mod lists;
mod readers;
mod registers;
mod sheets;
mod streams;
mod verbs;
