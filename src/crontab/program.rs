//! Finds the program a shell line is really about, past its guards and wrappers, to name a task after.
//!
//! A wrong guess costs a worse name and nothing else, so this reads shell only roughly.

/// What one simple command tells about the name.
enum Clue {
    Sure(String),
    /// Good enough if nothing better comes.
    Weak(String),
    Nothing,
}

/// Words that may stand before a command.
const KEYWORDS: [&str; 9] = [
    "if", "then", "elif", "else", "while", "until", "do", "!", "time",
];
/// Commands that only guard or prepare.
const GUARDS: [&str; 25] = [
    "test", "[", "[[", "cd", "true", "false", ":", "exit", "return", "sleep", "export", "set",
    "unset", "umask", "ulimit", "which", "type", "hash", "fi", "done", "esac", "for", "case",
    "source", ".",
];
/// Commands that are seldom the point.
const FILLERS: [&str; 5] = ["echo", "printf", "cat", "date", "trap"];
/// Commands that start the one named in their arguments.
const WRAPPERS: [&str; 14] = [
    "nice",
    "ionice",
    "nohup",
    "env",
    "sudo",
    "timeout",
    "chronic",
    "exec",
    "eval",
    "setsid",
    "flock",
    "command",
    "chrt",
    "systemd-cat",
];
/// Programs whose first argument is the program.
const INTERPRETERS: [&str; 10] = [
    "sh", "bash", "dash", "php", "perl", "python", "python2", "python3", "ruby", "node",
];

/// The program of a command line, without its directory.
pub(super) fn of_line(line: &str) -> Option<String> {
    let mut weak = None;
    for words in simple_commands(line) {
        match clue(&words) {
            Clue::Sure(program) => return Some(program),
            Clue::Weak(program) => weak = weak.or(Some(program)),
            Clue::Nothing => {}
        }
    }
    weak
}

fn clue(words: &[String]) -> Clue {
    let mut words = words
        .iter()
        .map(String::as_str)
        .skip_while(|word| KEYWORDS.contains(word) || is_assignment(word))
        .peekable();
    while let Some(first) = words.next() {
        let program = base(first);
        if program == "command" && words.peek().is_some_and(|next| next.starts_with("-")) {
            return Clue::Nothing;
        }
        if GUARDS.contains(&program) || program.is_empty() || first.starts_with(['<', '>']) {
            return Clue::Nothing;
        }
        if FILLERS.contains(&program) {
            return Clue::Weak(program.to_owned());
        }
        if INTERPRETERS.contains(&program) {
            return script(program, words);
        }
        if program == "run-parts" {
            let directory = words.filter(|word| word.contains('/')).last();
            return Clue::Sure(match directory {
                Some(directory) => format!("run-parts-{}", base(directory)),
                None => program.to_owned(),
            });
        }
        if !WRAPPERS.contains(&program) {
            return Clue::Sure(program.to_owned());
        }
        let is_lock = program == "flock";
        while words.next_if(|word| is_wrappers_own(word)).is_some() {}
        if is_lock {
            words.next();
        }
    }
    Clue::Nothing
}

/// What an interpreter runs: its first argument that looks like a file, or the module after -m.
fn script<'a>(interpreter: &str, words: impl Iterator<Item = &'a str>) -> Clue {
    let mut words = words;
    while let Some(word) = words.next() {
        match word {
            "-m" => {
                let module = words.next().unwrap_or(interpreter);
                return Clue::Sure(module.to_owned());
            }
            "-c" | "-e" | "-r" => break,
            word if word.starts_with('-') => {}
            word => return Clue::Sure(base(word).to_owned()),
        }
    }
    Clue::Weak(interpreter.to_owned())
}

/// An option, a number or an assignment between a wrapper and its command.
fn is_wrappers_own(word: &str) -> bool {
    word.starts_with('-') || word.starts_with(|c: char| c.is_ascii_digit()) || is_assignment(word)
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

fn base(word: &str) -> &str {
    let word = word.trim_end_matches('/');
    word.rsplit('/').next().unwrap_or(word)
}

/// Splits a line at the shell's separators into commands, and those into words, quotes dropped.
pub(super) fn simple_commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word = String::new();
    let mut quote: Option<char> = None;
    // How deep within `$( )`: all of it belongs to the word it stands in.
    let mut depth = 0_usize;
    let mut before = ' ';
    for c in line.chars() {
        let is_redirection = matches!(before, '>' | '<') && c == '&';
        match c {
            c if quote == Some(c) => quote = None,
            c if quote.is_some() => word.push(c),
            '\'' | '"' | '`' => quote = Some(c),
            '(' if depth > 0 || before == '$' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            c if depth > 0 || is_redirection => word.push(c),
            ' ' | '\t' => end_word(&mut commands, &mut word),
            ';' | '&' | '|' | '(' | ')' | '\n' => {
                end_word(&mut commands, &mut word);
                commands.push(Vec::new());
            }
            '{' | '}' if word.is_empty() => {}
            c => word.push(c),
        }
        before = c;
    }
    end_word(&mut commands, &mut word);
    commands
}

fn end_word(commands: &mut [Vec<String>], word: &mut String) {
    if let (false, Some(command)) = (word.is_empty(), commands.last_mut()) {
        command.push(std::mem::take(word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_past_guards_wrappers_and_interpreters() {
        for (line, program) in [
            ("/usr/bin/certbot -q renew", "certbot"),
            (
                "[ -x /a ] && if [ ! -d /run ]; then /usr/lib/php/sessionclean; fi",
                "sessionclean",
            ),
            (
                "test -e /run || SERVICE_MODE=1 /sbin/e2scrub_all -A -r",
                "e2scrub_all",
            ),
            (
                "command -v debian-sa1 > /dev/null && debian-sa1 1 1",
                "debian-sa1",
            ),
            (
                "if [ -x /a ]; then nice -n10 /usr/sbin/logcheck -R; fi",
                "logcheck",
            ),
            (
                "test -x /a && perl -e 'sleep int(rand(9))' && certbot -q renew",
                "certbot",
            ),
            (
                "php /usr/share/cacti/site/poller.php 2>&1 >/dev/null | tee",
                "poller.php",
            ),
            (
                "cd / && run-parts --report /etc/cron.hourly",
                "run-parts-cron.hourly",
            ),
            (
                "test -x /a || { cd / && run-parts /etc/cron.daily; }",
                "run-parts-cron.daily",
            ),
            (
                "d=$({ cat /a || true; } | sed 's/x/y/'); find \"$d\" -delete",
                "find",
            ),
            ("flock -n /tmp/lock /opt/a b", "a"),
            ("timeout 10 ionice -c 3 /opt/a", "a"),
            ("/usr/bin/python3 -m http.server", "http.server"),
            ("echo hello | mail joe", "mail"),
            ("echo hello", "echo"),
            ("(/opt/a)", "a"),
        ] {
            assert_eq!(of_line(line).as_deref(), Some(program), "{line}");
        }
    }

    #[test]
    fn a_line_without_a_program_has_none() {
        for line in ["", "cd /", "A=b", "'", "((((", "> x"] {
            assert_eq!(of_line(line), None, "{line}");
        }
    }
}
