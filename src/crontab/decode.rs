//! Reads a crontab's bytes, line by line: one that is not UTF-8 spoils no other.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{CrontabFile, Encoding};

/// What Windows-1252 has at 0x80 to 0x9F; five places are nobody's.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
    '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

impl CrontabFile {
    /// The crontab of this path and content. Lines that are not UTF-8 are read as `encoding` says; where that says
    /// nothing, their bytes are shown, and they are left out.
    pub fn read(path: impl Into<String>, content: &[u8], encoding: Encoding) -> Self {
        let mut text = String::with_capacity(content.len());
        let mut odd = BTreeSet::new();
        for (index, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
            match std::str::from_utf8(line) {
                Ok(line) => text.push_str(line),
                Err(_) => {
                    odd.insert(index + 1);
                    push(&mut text, line, encoding);
                }
            }
        }
        Self {
            path: path.into(),
            text,
            odd,
            encoding,
        }
    }
}

fn push(text: &mut String, line: &[u8], encoding: Encoding) {
    match encoding {
        Encoding::Latin1 => text.extend(line.iter().map(|byte| char::from(*byte))),
        Encoding::Windows1252 => text.extend(line.iter().map(|byte| windows(*byte))),
        Encoding::Utf8 => {
            for chunk in line.utf8_chunks() {
                text.push_str(chunk.valid());
                for byte in chunk.invalid() {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "\\x{byte:02X}");
                }
            }
        }
    }
}

fn windows(byte: u8) -> char {
    let place = byte.checked_sub(0x80).map(usize::from);
    let found = place.and_then(|place| WINDOWS.get(place));
    found.copied().unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = b"# caf\xc3\xa9\n0 5 * * * /a d\xe9p\x80t\n\xffx";

    #[test]
    fn a_line_that_is_not_utf_8_spoils_no_other() {
        let file = CrontabFile::read("x", BYTES, Encoding::Utf8);
        assert_eq!(file.text, "# café\n0 5 * * * /a d\\xE9p\\x80t\n\\xFFx");
        assert_eq!(file.odd, BTreeSet::from([2, 3]));
    }

    #[test]
    fn such_lines_are_read_as_the_encoding_that_is_given() {
        let text = |encoding| CrontabFile::read("x", BYTES, encoding).text;
        assert_eq!(
            text(Encoding::Windows1252),
            "# café\n0 5 * * * /a dép€t\nÿx"
        );
        assert_eq!(
            text(Encoding::Latin1),
            "# café\n0 5 * * * /a dép\u{80}t\nÿx"
        );
    }
}
