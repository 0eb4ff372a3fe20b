//! Decides whether a file has a user column: by its path, else by trial.

use super::entry::{after_time, is_user_name};
use super::line::{Line, classify, word};
use super::toml::quoted;
use super::{CrontabFile, Form};

/// Accounts that stand in user columns and are not also commands (as mail, mysql or backup are).
const ACCOUNTS: [&str; 6] = ["root", "www-data", "nobody", "daemon", "postgres", "munin"];

/// A file's form, and why where it was guessed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) has_user: bool,
    pub(super) because: Option<String>,
}

/// The name of a file in a cron.d directory.
pub(super) fn cron_d_name(path: &str) -> Option<&str> {
    let (directory, name) = path.rsplit_once('/')?;
    (directory == "cron.d" || directory.ends_with("/cron.d")).then_some(name)
}

/// The user whose own crontab the path names.
pub(super) fn owner(path: &str) -> Option<&str> {
    let (directory, name) = path.rsplit_once('/')?;
    let is_spool = directory.ends_with("spool/cron")
        || directory.ends_with("spool/cron/crontabs")
        || directory.ends_with("spool/cron/tabs");
    (is_spool && is_user_name(name)).then_some(name)
}

/// Decides the form of `file`.
pub(super) fn decide(file: &CrontabFile, form: Form, current_user: Option<&str>) -> Guess {
    let (has_user, because) = match form {
        Form::User => (false, None),
        Form::System => (true, None),
        Form::Auto => {
            let (has_user, because) = guess(file, current_user);
            (has_user, Some(because))
        }
    };
    Guess { has_user, because }
}

fn guess(file: &CrontabFile, current_user: Option<&str>) -> (bool, String) {
    let path = file.path.as_str();
    if path == "etc/crontab" || path.ends_with("/etc/crontab") || cron_d_name(path).is_some() {
        return (true, "the path says so".into());
    }
    if owner(path).is_some() {
        return (false, "the path says so".into());
    }
    by_trial(&file.text, current_user)
}

/// One entry whose word after the time cannot be a user settles it; so does a known account, unless such
/// an entry comes too. Without either it is a user's crontab: reading a command as a user would lose it.
fn by_trial(text: &str, current_user: Option<&str>) -> (bool, String) {
    let mut known = None;
    for (index, line) in text.lines().enumerate() {
        let Line::Entry(entry) = classify(line) else {
            continue;
        };
        let (first, command) = word(after_time(entry));
        // Too short to tell anything; the entry itself will be left out.
        if first.is_empty() {
            continue;
        }
        let line = index + 1;
        if !is_user_name(first) {
            return (
                false,
                format!("in line {line} {} is not a user's name", quoted(first)),
            );
        }
        if command.is_empty() {
            return (
                false,
                format!("in line {line} nothing follows {}", quoted(first)),
            );
        }
        if ACCOUNTS.contains(&first) || current_user == Some(first) {
            known = known.or(Some((line, first)));
        }
    }
    match known {
        Some((line, account)) => (
            true,
            format!("in line {line} {} is a user's name", quoted(account)),
        ),
        None => (
            false,
            "no line names a well-known user after the time".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_user(path: &str, text: &str) -> bool {
        let file = CrontabFile {
            path: path.into(),
            text: text.into(),
        };
        decide(&file, Form::Auto, Some("alice")).has_user
    }

    #[test]
    fn the_path_decides_where_it_can() {
        let entry = "* * * * * /bin/a";
        assert!(has_user("/etc/crontab", entry));
        assert!(has_user("/etc/cron.d/php", entry));
        assert!(has_user("/mnt/old/etc/cron.d/php", entry));
        assert!(!has_user(
            "/var/spool/cron/crontabs/bob",
            "* * * * * root a"
        ));
        assert_eq!(owner("/var/spool/cron/crontabs/bob"), Some("bob"));
        assert_eq!(cron_d_name("/etc/cron.d/php"), Some("php"));
        assert_eq!(cron_d_name("/etc/crontab"), None);
    }

    #[test]
    fn elsewhere_the_word_after_the_time_decides() {
        assert!(has_user("x", "# c\nA=b\n@daily root /bin/a\n"));
        assert!(has_user("x", "* * * * * alice run\n* * * * * bob run"));
        assert!(!has_user("x", "* * * * * root a\n* * * * * /bin/a b"));
        assert!(!has_user("x", "* * * * * php /a/b.php"));
        assert!(!has_user("x", "* * * * * root a\n* * * * * uptime"));
        assert!(!has_user("x", "* * *\n"));
        assert!(!has_user("x", ""));
    }
}
