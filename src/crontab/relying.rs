//! Finds in a command what depends on the home of whoever runs it, or on where it starts.
//!
//! This reads shell roughly. What it takes for a path by mistake costs a line that is left out where nobody knows that
//! home; where it is known, nothing is asked of it.

use super::program::simple_commands;
use super::toml::quoted;

/// What a command depends on, to be named in a message.
pub(super) fn on_home(line: &str) -> Option<String> {
    if line.contains("$HOME") || line.contains("${HOME") {
        return Some("`$HOME`".to_owned());
    }
    let mut before = ' ';
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let starts = matches!(
            before,
            ' ' | '\t' | '=' | ':' | '>' | '<' | '(' | ';' | '&' | '|'
        );
        let next = chars.peek().copied().unwrap_or(' ');
        if c == '~' && starts && matches!(next, '/' | ' ' | '\t' | ';' | '&' | '|' | ')') {
            return Some("`~`".to_owned());
        }
        before = c;
    }
    None
}

/// The first relative path before the command goes somewhere by itself.
pub(super) fn on_directory(line: &str) -> Option<String> {
    for words in simple_commands(line) {
        if words.first().is_some_and(|first| first == "cd") {
            match words.get(1) {
                Some(to) if to.starts_with(['/', '$', '~']) => return None,
                Some(to) if !to.starts_with('-') => return Some(quoted(to)),
                _ => {}
            }
            continue;
        }
        let mut words = words.iter().map(String::as_str);
        while let Some(word) = words.next() {
            let found = match redirected(word) {
                Some("") => words.next().filter(|to| is_relative_file(to)),
                Some(to) => Some(to).filter(|to| is_relative_file(to)),
                None => Some(word).filter(|word| is_relative_path(word)),
            };
            if let Some(path) = found {
                return Some(quoted(path));
            }
        }
    }
    None
}

/// Where a redirection goes; empty where the next word says it.
fn redirected(word: &str) -> Option<&str> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&');
    let to = rest.trim_start_matches(['>', '<', '|']);
    (to.len() < rest.len()).then_some(to)
}

fn is_relative_file(to: &str) -> bool {
    !to.is_empty() && !to.starts_with(['/', '$', '~', '&', '(', '`'])
}

fn is_relative_path(word: &str) -> bool {
    let value = match word.split_once('=') {
        Some((_, value)) => value,
        None => word,
    };
    if value == "." || value == ".." || value.starts_with("./") || value.starts_with("../") {
        return true;
    }
    let is_expression =
        value.starts_with("s/") || value.starts_with("y/") || value.starts_with('+');
    let is_type = value.starts_with("application/") || value.starts_with("text/");
    value.contains('/')
        && !value.starts_with(['/', '$', '~', '-', '!', '^', '@', '*', '{', '(', '<'])
        && !value.contains([':', ' ', '|', '$'])
        && !is_expression
        && !is_type
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_home_is_found() {
        for line in [
            "find $HOME/tmp -delete",
            "a ${HOME}/x",
            "~/bin/a",
            "a >~/log",
            "cd ~ && a",
            "A=~/x b",
        ] {
            assert!(on_home(line).is_some(), "{line}");
        }
        for line in ["/bin/a", "a ~bob/x", "a b~", "a $HOSTNAME"] {
            assert_eq!(on_home(line), None, "{line}");
        }
    }

    #[test]
    fn what_needs_a_directory_is_found() {
        for (line, path) in [
            ("make -f ./archive/Makefile", "`./archive/Makefile`"),
            ("php -f app/bin/expired.php", "`app/bin/expired.php`"),
            ("bin/run", "`bin/run`"),
            ("/a > out.log", "`out.log`"),
            ("/a 2>>err", "`err`"),
            ("/a --config=conf/x", "`--config=conf/x`"),
            ("cd data && ./a", "`data`"),
            ("/a ..", "`..`"),
        ] {
            assert_eq!(on_directory(line).as_deref(), Some(path), "{line}");
        }
        for line in [
            "cd /srv && ./roll > out",
            "cd $APP && ./roll",
            "/a > /dev/null 2>&1",
            "push.sh >> $LOG/push.log",
            "curl https://example.org/a",
            "rsync host:a/b /c",
            "sed s/a/b/ /c",
            "find /a -name '*/b'",
            "date +\\%d/\\%m",
        ] {
            assert_eq!(on_directory(line), None, "{line}");
        }
    }
}
