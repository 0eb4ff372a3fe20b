//! Writes TOML's strings, keys and comments so that no text can leave its place.

use std::fmt::Write;

/// How much of a word a message quotes.
const QUOTED_MAX: usize = 60;

/// `text` as a basic string, quotes included.
pub(super) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unseen(c) => push_escape(&mut out, c),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// An array of basic strings.
pub(super) fn array(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| string(item)).collect();
    format!("[{}]", items.join(", "))
}

/// A key: bare where TOML lets it be.
pub(super) fn key(text: &str) -> String {
    let bare = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { text.to_owned() } else { string(text) }
}

/// `text` on one line, with everything that moves the cursor or the eye escaped; tabs stay.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => out.push('\t'),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c if is_unseen(c) => push_escape(&mut out, c),
            c => out.push(c),
        }
    }
    out
}

/// A word of a crontab within a message: in backquotes, visible, cut to a bearable length.
pub(super) fn quoted(word: &str) -> String {
    let mut shown: String = word.chars().take(QUOTED_MAX).collect();
    if shown.len() < word.len() {
        shown.push('…');
    }
    format!("`{}`", visible(&shown).replace('\t', "\\t"))
}

/// A whole comment line, line end included.
pub(super) fn comment(text: &str) -> String {
    let line = format!("# {}", visible(text));
    format!("{}\n", line.trim_end())
}

/// Control characters, line separators, and the marks that reorder text on the screen.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Every character that [`is_unseen`] names fits in four digits.
fn push_escape(out: &mut String, c: char) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\u{:04X}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_escapes_what_toml_forbids() {
        assert_eq!(
            string("a\"b\\c\n\t\u{1}\u{7f}"),
            r#""a\"b\\c\n\t\u0001\u007F""#
        );
    }

    #[test]
    fn a_comment_stays_on_its_line() {
        assert_eq!(
            comment("x\ny = 1\r\u{85}\u{202e}"),
            "# x\\ny = 1\\r\\u0085\\u202E\n"
        );
    }

    #[test]
    fn a_key_is_bare_only_where_it_may_be() {
        assert_eq!(key("PATH_2"), "PATH_2");
        assert_eq!(key("a.b"), "\"a.b\"");
        assert_eq!(key(""), "\"\"");
    }

    #[test]
    fn a_long_word_is_cut_in_a_message() {
        assert_eq!(
            quoted(&"é".repeat(70)),
            format!("`{}…`", "é".repeat(QUOTED_MAX))
        );
    }
}
