//! Text as a configuration file.

use std::path::PathBuf;

use watchbell::config::Flags;

/// The text in a file, and the flags that name it. The file goes with what holds its place.
pub(crate) fn written(bytes: &[u8]) -> (tempfile::TempDir, Flags) {
    let place = tempfile::tempdir().unwrap();
    let file: PathBuf = place.path().join("watchbell.toml");
    std::fs::write(&file, bytes).unwrap();
    let flags = Flags {
        config: Some(file),
        ..Flags::default()
    };
    (place, flags)
}
