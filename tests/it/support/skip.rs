//! What cannot be tested on this machine is said, past the test's captured output: it must not look passed.

use std::io::Write as _;

/// In CI, where nothing may be skipped for want of a tool.
const STRICT: &str = "WATCHBELL_TEST_STRICT";

/// Says what is not tested here and why; in CI that is a failure.
#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
pub(crate) fn skip(what: &str, why: &str) {
    tell(&format!("SKIPPED, {what}: {why}"));
    assert!(std::env::var_os(STRICT).is_none(), "{STRICT} is set");
}

/// Says something that is seen even where the test passes.
pub(crate) fn tell(text: &str) {
    // Where nobody listens, nobody misses it.
    let _ = writeln!(std::io::stderr(), "{text}");
}
