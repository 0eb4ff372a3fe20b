//! Tells a crontab's settings from its entries, by the rules of Vixie cron's `load_env`.

use super::Reason;

/// What one line of a crontab is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Empty, or a comment.
    Blank,
    /// `NAME = value`, quotes taken off.
    Setting { name: &'a str, value: &'a str },
    /// Meant as a setting, and wrong.
    WrongSetting(Reason),
    /// Anything else: five fields or a macro, and a command.
    Entry(&'a str),
}

/// cron's blanks: nothing else separates.
pub(super) const BLANK: [char; 2] = [' ', '\t'];

/// Classifies one line, without its line end.
pub(super) fn classify(line: &str) -> Line<'_> {
    let text = line.trim_start_matches(BLANK);
    if text.trim_end_matches(BLANK).is_empty() || text.starts_with('#') {
        return Line::Blank;
    }
    let Some((name, rest)) = name_of(text) else {
        return Line::Entry(text);
    };
    let Some(value) = rest.trim_start_matches(BLANK).strip_prefix('=') else {
        return Line::Entry(text);
    };
    if !is_variable_name(name) {
        return Line::WrongSetting("what stands before `=` is not a variable's name".into());
    }
    match value_of(value.trim_matches(BLANK)) {
        Ok(value) => Line::Setting { name, value },
        Err(reason) => Line::WrongSetting(reason),
    }
}

/// The first word and the rest, by blanks.
pub(super) fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches(BLANK);
    let end = text.find(BLANK).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim_start_matches(BLANK))
}

/// The name, which may be quoted, and what follows it.
fn name_of(text: &str) -> Option<(&str, &str)> {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            return inner.split_once(quote);
        }
    }
    let end = text.find([' ', '\t', '='])?;
    Some(text.split_at(end))
}

fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The value with its quotes taken off. There are no escapes and no expansion.
fn value_of(value: &str) -> Result<&str, Reason> {
    if value.contains('\0') {
        return Err("the value contains a NUL character".into());
    }
    for quote in ['"', '\''] {
        let Some(inner) = value.strip_prefix(quote) else {
            continue;
        };
        let Some((value, after)) = inner.split_once(quote) else {
            return Err("the value's quote is not closed".into());
        };
        if !after.is_empty() {
            return Err("there is text after the value's closing quote".into());
        }
        return Ok(value);
    }
    if value.is_empty() {
        return Err("the value is missing; cron takes an empty one only in quotes".into());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting<'a>(name: &'a str, value: &'a str) -> Line<'a> {
        Line::Setting { name, value }
    }

    #[test]
    fn comments_and_blank_lines_are_blank() {
        for line in ["", " \t", "# x", "  # PATH=/bin"] {
            assert_eq!(classify(line), Line::Blank, "{line:?}");
        }
    }

    #[test]
    fn a_setting_may_have_blanks_around_its_sign_and_quotes_around_either_side() {
        assert_eq!(classify("A=b"), setting("A", "b"));
        assert_eq!(classify("  A =  b c \t"), setting("A", "b c"));
        assert_eq!(classify("A=\" b \""), setting("A", " b "));
        assert_eq!(classify("A=' \"b\" '"), setting("A", " \"b\" "));
        assert_eq!(classify("\"A\" = ''"), setting("A", ""));
        assert_eq!(classify("A=b=\"c\" # d"), setting("A", "b=\"c\" # d"));
        assert_eq!(classify("P=$HOME/bin"), setting("P", "$HOME/bin"));
    }

    #[test]
    fn a_wrong_setting_says_what_is_wrong() {
        for (line, part) in [
            ("A=", "only in quotes"),
            ("A=\"b", "not closed"),
            ("A='b' c", "after the value"),
            ("2A=b", "not a variable"),
            ("A=b\0", "NUL"),
        ] {
            let Line::WrongSetting(reason) = classify(line) else {
                panic!("{line:?} is not a wrong setting");
            };
            assert!(reason.contains(part), "{line:?}: {reason}");
        }
    }

    #[test]
    fn anything_else_is_an_entry() {
        assert_eq!(classify(" * * * * * A=b c"), Line::Entry("* * * * * A=b c"));
        assert_eq!(classify("@daily x"), Line::Entry("@daily x"));
        assert_eq!(classify("nonsense"), Line::Entry("nonsense"));
    }
}
