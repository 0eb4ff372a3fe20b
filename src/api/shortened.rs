//! What an error repeats of what it was given: enough to know it again. All of a long name would make an answer whose
//! headers no client takes, and the call would end as a broken stream, without a word.

use std::borrow::Cow;

/// Characters of one thing that was given.
const GIVEN_MAX: usize = 200;
/// Bytes of a whole message. It travels as text, escaped, and twice more in the details; clients take some 16 KiB.
const MESSAGE_MAX: usize = 2_000;

/// A name or a field as it was given.
pub(super) fn given(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(GIVEN_MAX) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(middle_out(text, GIVEN_MAX)),
    }
}

/// A sentence that quotes what was given.
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
    // Each character is of one byte at the least, and of four at the most.
    let mut characters = MESSAGE_MAX;
    loop {
        let cut = middle_out(&short, characters);
        if cut.len() <= MESSAGE_MAX {
            return Cow::Owned(cut);
        }
        characters -= characters / 8;
    }
}

/// Where the quotation ends whose mark is `mark`; at the text's end where nothing closes it.
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

/// The beginning and the end of a text: so many characters with what stands between them.
fn middle_out(text: &str, characters: usize) -> String {
    let count = text.chars().count();
    let left_out = count.saturating_sub(characters);
    let between = format!("… {} characters more …", left_out + 30);
    let kept = characters.saturating_sub(between.chars().count());
    let head: String = text.chars().take(kept - kept / 3).collect();
    let tail: String = text.chars().skip(count - (kept / 3).min(count)).collect();
    format!("{head}{between}{tail}")
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
            assert!(
                given(&long).chars().count() <= GIVEN_MAX,
                "{}",
                given(&long)
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
