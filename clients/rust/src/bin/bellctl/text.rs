//! Text from the server, made safe for a terminal.
//!
//! A run's message or a log line is whatever a command printed. Printed as it is, it could move the
//! cursor, rename the window, or show a reader something else than is there.

use std::fmt::Write as _;

/// One line, with every control character spelled out.
pub(crate) fn plain(text: &str) -> String {
    escape(text, |_| false)
}

/// The text of a log: line ends and tabs stay.
pub(crate) fn log(text: &str) -> String {
    escape(text, |character| matches!(character, '\n' | '\t'))
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            kept if keep(kept) => safe.push(kept),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            other if other.is_control() || turns_around(other) => {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(other));
            }
            other => safe.push(other),
        }
    }
    safe
}

/// Characters that change the direction of the text around them, or end the line unseen.
fn turns_around(character: char) -> bool {
    matches!(
        character,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_spelled_out() {
        assert_eq!(
            plain("a\u{1b}[2Jb\u{9b}c\u{7}"),
            "a\\u{1b}[2Jb\\u{9b}c\\u{7}"
        );
        assert_eq!(plain("a\r\nb\tc"), "a\\r\\nb\\tc");
        assert_eq!(plain("ok\u{202e}gpj"), "ok\\u{202e}gpj");
    }

    #[test]
    fn letters_and_emoji_stay() {
        assert_eq!(plain("Größe 📦"), "Größe 📦");
    }

    #[test]
    fn a_log_keeps_its_lines_but_not_its_escapes() {
        assert_eq!(
            log("a\tb\nc\r\u{1b}]0;x\u{7}"),
            "a\tb\nc\\r\\u{1b}]0;x\\u{7}"
        );
    }
}
