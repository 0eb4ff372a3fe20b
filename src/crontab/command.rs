//! Decides how a command is started: directly, where it is plain words, or by the shell cron used.

/// What Watchbell is to start.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) argv: Vec<String>,
    /// The text after the first `%`.
    pub(super) stdin: Option<String>,
    /// The command line itself, `%` resolved.
    pub(super) line: String,
    /// Whether `argv` names a shell.
    pub(super) by_shell: bool,
    /// Whether an unescaped `%` ends it.
    pub(super) is_cut: bool,
}

/// Shells for which plain words mean themselves. Not zsh, which always reads a startup file.
const POSIX_SHELLS: [&str; 6] = ["sh", "dash", "bash", "ksh", "mksh", "ash"];

/// The shell cron uses unless SHELL says otherwise.
const DEFAULT_SHELL: &str = "/bin/sh";

/// Resolves `%` and chooses the argv. `has_startup_file` says that the environment makes the shell read
/// a file of its own first, so that leaving the shell out would change what the command sees.
pub(super) fn resolve(raw: &str, shell: Option<&str>, has_startup_file: bool) -> Command {
    let (line, stdin, is_cut) = split_percent(raw);
    let shell = shell.unwrap_or(DEFAULT_SHELL);
    let shell_name = shell.rsplit('/').next().unwrap_or(shell);
    let may_skip_shell = POSIX_SHELLS.contains(&shell_name) && !has_startup_file;
    let words = if may_skip_shell {
        plain_words(&line)
    } else {
        None
    };
    let by_shell = words.is_none();
    let argv = words.unwrap_or_else(|| vec![shell.to_owned(), "-c".into(), line.clone()]);
    Command {
        argv,
        stdin,
        line,
        by_shell,
        is_cut,
    }
}

impl Command {
    /// Whether quotes and brackets are open at its end, so that a shell refuses it.
    pub(super) fn is_incomplete(&self) -> bool {
        let (mut quote, mut depth) = (None, 0_usize);
        let (mut is_escaped, mut before) = (false, ' ');
        for c in self.line.chars() {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' if quote != Some('\'') => is_escaped = true,
                c if quote == Some(c) => quote = None,
                '\'' | '"' | '`' if quote.is_none() => quote = Some(c),
                '(' if quote.is_none() || before == '$' && quote == Some('"') => depth += 1,
                ')' if quote != Some('\'') => depth = depth.saturating_sub(1),
                _ => {}
            }
            before = c;
        }
        quote.is_some() || 0 < depth
    }

    /// Whether the shell throws away what the program says.
    pub(super) fn is_muted(&self) -> bool {
        let packed: String = self.line.split([' ', '\t']).collect();
        self.by_shell && packed.contains(">/dev/null")
    }
}

/// Splits at the first unescaped `%`, as Debian 12's cron does when run: before the split `\%` is `%` and
/// `\\` is `\`, any other backslash stays. (cronie keeps both backslashes.)
fn split_percent(raw: &str) -> (String, Option<String>, bool) {
    let mut line = String::with_capacity(raw.len());
    let mut escaped = false;
    for (at, c) in raw.char_indices() {
        match c {
            '%' | '\\' if escaped => {
                line.pop();
                line.push(c);
                escaped = false;
            }
            '%' => return (line, input(&raw[at + 1..]), true),
            c => {
                line.push(c);
                escaped = c == '\\';
            }
        }
    }
    (line, None, false)
}

/// What follows the first `%`: further ones are line ends, and the last line always gets one.
fn input(raw: &str) -> Option<String> {
    if raw.is_empty() {
        return None;
    }
    let mut text = String::with_capacity(raw.len() + 1);
    let mut escaped = false;
    for c in raw.chars() {
        if escaped && c != '%' {
            text.push('\\');
        }
        match c {
            '\\' => {}
            '%' if !escaped => text.push('\n'),
            c => text.push(c),
        }
        escaped = c == '\\';
    }
    if escaped {
        text.push('\\');
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Some(text)
}

/// The words of a line that means the same without a shell; `None` if a shell would do anything to it.
fn plain_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' | '"' => {
                let (inner, after) = rest.split_once(c)?;
                let is_literal = c == '\'' || !inner.contains(['$', '`', '\\', '!']);
                if !is_literal || inner.contains(char::is_control) {
                    return None;
                }
                word.get_or_insert_default().push_str(inner);
                rest = after;
            }
            c if is_plain(c) => word.get_or_insert_default().push(c),
            _ => return None,
        }
    }
    words.extend(word);
    // A bare name would be looked up in PATH, or be a builtin, an alias or an assignment.
    words
        .first()
        .is_some_and(|first| first.starts_with('/'))
        .then_some(words)
}

fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "_-./:,@+=%".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(raw: &str) -> Vec<String> {
        resolve(raw, None, false).argv
    }

    #[test]
    fn plain_words_are_started_directly() {
        assert_eq!(
            argv("/bin/a  -x --y=z\tb:c/d,e@f+g "),
            ["/bin/a", "-x", "--y=z", "b:c/d,e@f+g"]
        );
        assert_eq!(
            argv("/bin/a 'b  $c' --d=\"e f\" ''"),
            ["/bin/a", "b  $c", "--d=e f", ""]
        );
    }

    #[test]
    fn anything_a_shell_would_touch_goes_to_the_shell() {
        for line in [
            "a b",
            "A=b /bin/a",
            "/bin/a > /dev/null",
            "/bin/a; b",
            "/bin/a && b",
            "/bin/a $B",
            "/bin/a `b`",
            "/bin/a *",
            "/bin/a b?",
            "/bin/a [b]",
            "/bin/a ~",
            "/bin/a {b,c}",
            "/bin/a b\\ c",
            "/bin/a # b",
            "/bin/a \"$b\"",
            "/bin/a 'b",
            "/bin/a !b",
            "/bin/a&",
            "/bin/a (b)",
            "/bin/a\u{a0}b",
            "/bin/a \r",
        ] {
            assert_eq!(argv(line), ["/bin/sh", "-c", line], "{line:?}");
        }
    }

    #[test]
    fn the_crontabs_shell_is_used_and_one_that_is_no_posix_shell_is_never_skipped() {
        let bash = resolve("a | b", Some("/bin/bash"), false);
        assert_eq!(bash.argv, ["/bin/bash", "-c", "a | b"]);
        assert!(bash.by_shell);
        let python = resolve("/bin/a", Some("/usr/bin/python3"), false);
        assert_eq!(python.argv, ["/usr/bin/python3", "-c", "/bin/a"]);
        assert_eq!(resolve("/bin/a", Some("/bin/bash"), false).argv, ["/bin/a"]);
        assert!(resolve("/bin/a", Some("/bin/bash"), true).by_shell);
    }

    #[test]
    fn the_first_percent_ends_the_command_and_the_rest_is_its_input() {
        let mail = resolve("/bin/mail joe%Joe,%%Where?%", None, false);
        assert_eq!(mail.argv, ["/bin/mail", "joe"]);
        assert_eq!(mail.stdin.as_deref(), Some("Joe,\n\nWhere?\n"));
        assert_eq!(
            resolve("/bin/a%b", None, false).stdin.as_deref(),
            Some("b\n")
        );
        assert_eq!(resolve("/bin/a%", None, false).stdin, None);
    }

    /// What Debian 12's cron 3.0pl1-162 gave when it ran these lines.
    #[test]
    fn backslashes_come_out_as_from_debians_cron() {
        let echo = "printf '\\%s|' 'a\\\\b' 'c\\\\\\\\d' 'e\\f'";
        assert_eq!(split_percent(echo).0, "printf '%s|' 'a\\b' 'c\\\\d' 'e\\f'");
        let input = |raw| split_percent(raw).1;
        assert_eq!(
            input("cat%one\\%two%th\\\\ree%%").as_deref(),
            Some("one%two\nth\\\\ree\n\n")
        );
        assert_eq!(input("cat%x\\\\%y").as_deref(), Some("x\\%y\n"));
    }

    #[test]
    fn a_command_that_is_cut_in_the_middle_is_incomplete() {
        let of = |raw| resolve(raw, None, false);
        for raw in [
            "sleep $(( ( RANDOM % 600 ) + 1 ))m",
            "a $(date +%F)",
            "a \"%b\"",
            "a '%b'",
            "a `date +%F`",
        ] {
            let command = of(raw);
            assert!(command.is_cut && command.is_incomplete(), "{raw}");
        }
        for raw in [
            "mail joe%Hello (you)%",
            "a \\(%b",
            "a '('%b",
            "a \":(\"%b",
            "a \"$(b)\"%c",
        ] {
            let command = of(raw);
            assert!(command.is_cut && !command.is_incomplete(), "{raw}");
        }
        assert!(!of("date +\\%F").is_cut);
    }

    #[test]
    fn what_is_thrown_away_is_known() {
        let of = |raw| resolve(raw, None, false).is_muted();
        for raw in [
            "a >/dev/null 2>&1",
            "a > /dev/null",
            "a &>/dev/null",
            "a 2> /dev/null",
        ] {
            assert!(of(raw), "{raw}");
        }
        assert!(!of("/a /dev/null"));
    }

    #[test]
    fn an_escaped_percent_is_a_percent() {
        assert_eq!(argv("/bin/date +\\%d"), ["/bin/date", "+%d"]);
        assert_eq!(
            split_percent("a\\\\%b"),
            ("a\\".into(), Some("b\n".into()), true)
        );
        assert_eq!(
            split_percent("a%50\\%\\n\\"),
            ("a".into(), Some("50%\\n\\\n".into()), true)
        );
    }
}
