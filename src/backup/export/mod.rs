//! Exports: one file that stock tools restore, without Watchbell and without its repository.
//!
//! `watchbell-YYYYMMDDTHHMMSSZ.tar.zst` holds RESTORE.md, manifest.json, SHA256SUMS, `database/` and `files/`; beside it
//! lies its own checksum. It is written under another name, synced, read again whole, and only then gets its own.

mod content;
mod guide;
mod holes;
mod left_out;
mod members;
mod read;
mod records;
mod sparse;
mod wanted;
mod write;

pub use self::{
    left_out::LeftOut,
    read::{Verified, verify},
    write::{Exported, write},
};
use crate::domain::backup::manifest::SnapshotPath;

const MANIFEST: &str = "manifest.json";
const SUMS: &str = "SHA256SUMS";
const GUIDE: &str = "RESTORE.md";
const ENDING: &str = ".tar.zst";

/// Whether a file is named like an export: nothing else is ever removed.
pub fn is_export_name(name: &str) -> bool {
    let stamp = name
        .strip_prefix("watchbell-")
        .and_then(|rest| rest.strip_suffix(ENDING));
    let Some(stamp) = stamp else { return false };
    let (stamp, count) = stamp.split_once('-').unwrap_or((stamp, "2"));
    let shape = stamp.len() == 16
        && stamp.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    shape && !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where a path of a snapshot lies in an export: dumps in `database`, all else in `files`.
fn member(path: &SnapshotPath) -> Vec<u8> {
    let relative = path
        .as_bytes()
        .strip_prefix(b"/")
        .unwrap_or(path.as_bytes());
    match relative == b"database" || relative.starts_with(b"database/") {
        true => relative.to_vec(),
        false => [b"files/", relative].concat(),
    }
}

/// The path in a snapshot of what lies there in an export: what [`member`] makes of it.
fn path_of(member: &[u8]) -> SnapshotPath {
    let relative = member.strip_prefix(b"files/").unwrap_or(member);
    SnapshotPath([b"/", relative].concat())
}

/// A line of `SHA256SUMS`, as sha256sum reads it: a name with a backslash or line end is escaped, and the line says so.
fn sum_line(sha256: &str, name: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(name.len() + 70);
    let escaped = name.iter().any(|byte| b"\\\n\r".contains(byte));
    if escaped {
        line.push(b'\\');
    }
    line.extend_from_slice(sha256.as_bytes());
    line.extend_from_slice(b"  ");
    for byte in name {
        match byte {
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            byte => line.push(*byte),
        }
    }
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_like_an_export_is_one() {
        assert!(is_export_name("watchbell-20260302T120000Z.tar.zst"));
        assert!(is_export_name("watchbell-20260302T120000Z-2.tar.zst"));
        for wrong in [
            "watchbell-20260302T120000Z.tar.zst.partial",
            "../watchbell-20260302T120000Z.tar.zst",
            "watchbell-20260302T120000Z-.tar.zst",
            "watchbell-latest.tar.zst",
            "passwd",
            "",
        ] {
            assert!(!is_export_name(wrong), "{wrong}");
        }
    }

    #[test]
    fn where_a_path_lies_says_which_one_it_is() {
        for path in [
            "/database",
            "/database/a",
            "/databases",
            "/files/database",
            "/files/files/a",
        ] {
            let path = SnapshotPath::from(path);
            assert_eq!(path_of(&member(&path)), path);
        }
    }

    #[test]
    fn names_are_escaped_as_sha256sum_does() {
        assert_eq!(sum_line("ab", b"files/a"), b"ab  files/a\n");
        assert_eq!(sum_line("ab", b"files/a\nb\\"), b"\\ab  files/a\\nb\\\\\n");
    }
}
