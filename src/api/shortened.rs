//! Shortens what a caller sent where an error repeats it: enough to know it again. All of a long name would make an
//! answer whose headers no client takes, and the call would end as a broken stream, without a word.

use std::borrow::Cow;

/// Characters of one thing that was given.
const GIVEN_MAX: usize = 200;
/// Bytes of a whole message. It travels as text, escaped, and twice more in the details; clients take some 16 KiB.
const MESSAGE_MAX: usize = 2_000;
/// Bytes of what stands between the beginning and the end of a text: words, and a number of any size.
const BETWEEN_MAX: usize = 48;

/// Shortens a name or a field.
pub(super) fn given(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(GIVEN_MAX) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(middle_out(text, GIVEN_MAX)),
    }
}

/// Shortens a sentence, and each thing that it quotes.
pub(super) fn sentence(text: &str) -> Cow<'_, str> {
    if text.len() <= GIVEN_MAX {
        return Cow::Borrowed(text);
    }
    let mut short = String::with_capacity(text.len().min(2 * MESSAGE_MAX));
    let mut rest = text;
    while let Some(start) = rest.find(['"', '`']) {
        let (before, quoted) = rest.split_at(start + 1);
        short.push_str(before);
        let end = end_of(quoted, before.as_bytes()[start]);
        short.push_str(&given(&quoted[..end]));
        rest = &quoted[end..];
        if let Some(mark) = rest.chars().next() {
            short.push(mark);
            rest = &rest[mark.len_utf8()..];
        }
    }
    short.push_str(rest);
    if short.len() <= MESSAGE_MAX {
        return Cow::Owned(short);
    }
    Cow::Owned(middle_out(&short, MESSAGE_MAX))
}

/// Position of the mark that closes a quotation; the text's length where nothing closes it.
fn end_of(quoted: &str, mark: u8) -> usize {
    let mut escaped = false;
    for (at, byte) in quoted.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if mark == b'"' => escaped = true,
            byte if byte == mark => return at,
            _ => {}
        }
    }
    quoted.len()
}

/// Shortens a text to so many bytes, 100 at the least: its beginning, its end, and how much is missing between them.
fn middle_out(text: &str, bytes: usize) -> String {
    let kept = bytes.saturating_sub(BETWEEN_MAX);
    let (head, tail) = (kept - kept / 3, text.len().saturating_sub(kept / 3));
    let (head, tail) = (
        text.floor_char_boundary(head),
        text.ceil_char_boundary(tail),
    );
    let left_out = text[head..tail].chars().count();
    format!(
        "{}… {left_out} characters more …{}",
        &text[..head],
        &text[tail..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_text_stays_as_it_is() {
        for text in ["", "x", "task \"böse\" not found; did you mean \"gut\"?"] {
            assert_eq!(given(text), text);
            assert_eq!(sentence(text), text);
        }
        let two = format!("{:?} and `{}`", "a".repeat(150), "b".repeat(150));
        assert_eq!(sentence(&two), two);
    }

    #[test]
    fn of_what_was_given_two_hundred_characters_are_repeated_and_what_was_expected_stays() {
        for long in [
            "a".repeat(100_000),
            "\"\\".repeat(50_000),
            "ü`".repeat(50_000),
            "→".repeat(100_000),
        ] {
            let name = given(&long);
            assert!(name.chars().count() <= GIVEN_MAX, "{name}");
            // What it says is missing is what is missing.
            let (_, rest) = name.split_once("… ").unwrap();
            let (number, tail) = rest.split_once(" characters more …").unwrap();
            let head = name.len() - rest.len() - "… ".len();
            let shown = name[..head].chars().count() + tail.chars().count();
            assert_eq!(
                shown + number.parse::<usize>().unwrap(),
                long.chars().count(),
                "{name}"
            );
            let told = format!("task {long:?} not found; expected a name such as \"nightly\"");
            let told = sentence(&told);
            assert!(told.len() <= MESSAGE_MAX, "{} bytes: {told}", told.len());
            assert!(
                told.starts_with("task \"")
                    && told.ends_with("expected a name such as \"nightly\""),
                "{told}"
            );
            assert!(told.contains("characters more"), "{told}");
        }
    }

    #[test]
    fn what_is_not_quoted_is_bounded_too() {
        for long in [
            "a".repeat(100_000),
            "→".repeat(100_000),
            "\"".repeat(99_999),
            "\"a\" ".repeat(40_000),
        ] {
            let told = sentence(&long);
            assert!(told.len() <= MESSAGE_MAX, "{}", told.len());
        }
    }
}
