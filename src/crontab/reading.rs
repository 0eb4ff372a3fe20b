//! What the word behind an entry's time can be: a user, or the command.

use super::Options;
use super::entry::{is_middle, is_user_name};
use super::line::word;
use super::toml::quoted;

/// Accounts that stand in user columns and are not also commands (as mail, mysql or backup are).
const ACCOUNTS: [&str; 6] = ["root", "www-data", "nobody", "daemon", "postgres", "munin"];

/// Names of accounts that are as well those of programs.
const BOTH: [&str; 14] = [
    "at", "backup", "ftp", "git", "lp", "mail", "man", "mongodb", "mysql", "news", "nginx",
    "postfix", "redis", "sync",
];

/// Words that begin commands and are nobody's name.
const PROGRAMS: &str = "apt apt-get ash awk aws bash borg bundle cat cd certbot chmod chown composer cp curl dash date dd df \
     docker drush du echo env eval exec export find flock for grep gzip if ionice java kill killall ksh \
     ln logger logrotate ls make mkdir mv mysqldump nice node nohup npm npx perl pg_dump php pkill podman \
     printf ps python python2 python3 restic rm rsync ruby run-parts scp sed service set sh sleep ssh su \
     sudo systemctl tar test timeout touch wget while zsh";

/// Endings of scripts.
const SCRIPTS: [&str; 8] = [".sh", ".bash", ".py", ".pl", ".php", ".rb", ".js", ".exe"];

/// What the word after the time can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The command, whatever accounts there are.
    Command,
    /// The command, by its name; an account could be called so.
    Program,
    /// A user.
    User,
    /// More likely a user: the start of a command follows.
    LikeUser,
    Either,
}

/// How an entry reads behind its time; none where nothing stands there.
pub(super) fn reading(rest: &str, options: &Options) -> Option<Reading> {
    let (first, after) = word(rest);
    if first.is_empty() {
        return None;
    }
    if !is_user_name(first) || after.is_empty() || is_middle(after) {
        return Some(Reading::Command);
    }
    if ACCOUNTS.contains(&first) || options.current_user.as_deref() == Some(first) {
        return Some(Reading::User);
    }
    // No command begins with an option: the word before it is one.
    if after.starts_with('-') {
        return Some(Reading::Command);
    }
    let is_script = SCRIPTS.iter().any(|ending| first.ends_with(ending));
    if is_script || is_program(first) {
        return Some(Reading::Program);
    }
    if BOTH.contains(&first) {
        return Some(Reading::Either);
    }
    if options.accounts.contains_key(first) || after.contains(&format!("/home/{first}/")) {
        return Some(Reading::User);
    }
    let (second, _) = word(after);
    let starts_one = after.starts_with(['/', '[', '(', '~', '$']) || is_program(second);
    Some(if starts_one {
        Reading::LikeUser
    } else {
        Reading::Either
    })
}

/// Why it is the command; continues "in line 3".
pub(super) fn why_command(first: &str, after: &str) -> String {
    let first_shown = quoted(first);
    if !is_user_name(first) {
        format!("{first_shown} is no user")
    } else if after.is_empty() {
        format!("nothing follows {first_shown}")
    } else if is_middle(after) {
        format!("{first_shown} is followed by a redirection alone, so it is the command")
    } else {
        format!("{first_shown} is a program")
    }
}

fn is_program(word: &str) -> bool {
    PROGRAMS.split(' ').any(|program| program == word)
}
