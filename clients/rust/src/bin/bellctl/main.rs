//! bellctl
fn main() {}
