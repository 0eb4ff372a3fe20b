//! Decides whether a file has a user column: by its lines, and by its path where they leave it open.

use std::collections::BTreeSet;

use super::entry::{after_time, is_user_name, time_words};
use super::line::{Line, classify, word};
use super::reading::{Reading, reading, why_command};
use super::toml::quoted;
use super::{CrontabFile, Form, Options};

/// Names that are looked up at the most.
const NAMES: usize = 500;

/// A file's form, why where it was found out, and which lines it leaves in doubt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) has_user: bool,
    pub(super) because: Option<String>,
    in_doubt: &'static [Reading],
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

/// Whether cron reads a user column in a file of this path.
pub(super) fn is_system(path: &str) -> bool {
    path == "etc/crontab" || path.ends_with("/etc/crontab") || cron_d_name(path).is_some()
}

/// Names that may be those of users, for who looks them up before an import.
pub fn users_named(files: &[CrontabFile], options: &Options) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let given = [&options.user, &options.current_user].into_iter().flatten();
    names.extend(given.cloned());
    for file in files {
        names.extend(owner(&file.path).map(str::to_owned));
        for line in file.text.lines() {
            let Line::Entry(entry) = classify(line) else {
                continue;
            };
            let (first, command) = word(after_time(entry));
            let may_be = is_user_name(first) && !command.is_empty();
            if may_be && names.len() < NAMES && !names.contains(first) {
                names.insert(first.to_owned());
            }
        }
    }
    names
}

/// Decides the form of `file`.
pub(super) fn decide(file: &CrontabFile, options: &Options) -> Guess {
    let given = |has_user| Guess {
        has_user,
        because: None,
        in_doubt: &[],
    };
    match options.form {
        Form::User => given(false),
        Form::System => given(true),
        Form::Auto => Tally::of(file, options).decide(&file.path),
    }
}

impl Guess {
    /// Why the entry is left out, where its user column is what nobody can know.
    pub(super) fn doubt(&self, entry: &str, options: &Options) -> Option<String> {
        if self.in_doubt.is_empty() || 5 < time_words(entry) {
            return None;
        }
        let reading = reading(after_time(entry), options)?;
        let (first, _) = word(after_time(entry));
        self.in_doubt.contains(&reading).then(|| {
            format!(
                "{} may be the user or the command: --form system says the user, --form user the command",
                quoted(first)
            )
        })
    }
}

/// How many entries read how, and the first of each with what was found.
#[derive(Debug, Default)]
struct Tally {
    commands: usize,
    programs: usize,
    users: usize,
    like_users: usize,
    first_command: Option<String>,
    first_user: Option<String>,
}

impl Tally {
    fn of(file: &CrontabFile, options: &Options) -> Self {
        let mut tally = Self::default();
        for (index, line) in file.text.lines().enumerate() {
            let Line::Entry(entry) = classify(line) else {
                continue;
            };
            // Another program's line says nothing of cron's columns.
            if 5 < time_words(entry) {
                continue;
            }
            let rest = after_time(entry);
            let (first, after) = word(rest);
            match reading(rest, options) {
                // Too short to tell anything, so that the entry itself will be left out; or it says neither.
                None | Some(Reading::Either) => {}
                Some(found @ (Reading::Command | Reading::Program)) => {
                    match found {
                        Reading::Program => tally.programs += 1,
                        _ => tally.commands += 1,
                    }
                    let why = || format!("in line {} {}", index + 1, why_command(first, after));
                    tally.first_command.get_or_insert_with(why);
                }
                Some(Reading::User) => {
                    tally.users += 1;
                    let why =
                        || format!("in line {} {} is a user's name", index + 1, quoted(first));
                    tally.first_user.get_or_insert_with(why);
                }
                Some(Reading::LikeUser) => tally.like_users += 1,
            }
        }
        tally
    }

    fn decide(self, path: &str) -> Guess {
        use Reading::{Either, LikeUser, Program, User};
        let guess = |has_user, because: String, in_doubt: &'static [Reading]| Guess {
            has_user,
            because: Some(because),
            in_doubt,
        };
        let by_command = self.first_command.unwrap_or_default();
        let by_user = self.first_user.unwrap_or_default();
        if owner(path).is_some() {
            return guess(false, "the path says so".into(), &[User]);
        }
        if is_system(path) {
            if self.commands == 0 {
                return guess(true, "the path says so".into(), &[Program]);
            }
            if 0 < self.users {
                return guess(true, by_user, &[Program]);
            }
            // The path and the lines say two things: only what is plain is carried over.
            return guess(false, by_command, &[LikeUser, Either]);
        }
        let commands = self.commands + self.programs;
        if 0 < self.users && commands < self.users + self.like_users {
            return guess(true, by_user, &[Program]);
        }
        if 0 < commands {
            return guess(false, by_command, &[User]);
        }
        if 0 < self.like_users {
            let because = "no line settles it";
            return guess(false, because.into(), &[LikeUser, Either]);
        }
        let because = "no line names a well-known user after the time";
        guess(false, because.into(), &[])
    }
}

#[cfg(test)]
mod tests {
    use super::super::Account;
    use super::*;

    fn decided(path: &str, text: &str) -> Guess {
        let file = CrontabFile {
            path: path.into(),
            text: text.into(),
            ..CrontabFile::default()
        };
        let options = Options {
            current_user: Some("alice".into()),
            ..Options::default()
        };
        decide(&file, &options)
    }

    fn has_user(path: &str, text: &str) -> bool {
        decided(path, text).has_user
    }

    #[test]
    fn the_path_decides_where_the_lines_leave_it_open() {
        let entry = "* * * * * backup run";
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
    fn lines_without_a_user_decide_against_the_path() {
        assert!(!has_user(
            "etc/crontab",
            "0 2 * * * /etc/daily > /x\n0 3 * * 6 /etc/weekly"
        ));
        assert!(!has_user(
            "etc/crontab",
            "0 2 * * * push.sh >> $LOG/x\n0 3 * * 6 poll.sh >> y"
        ));
        assert!(!has_user(
            "/etc/crontab",
            "0 2 * * * mail /x\n0 3 * * 6 backup >> y"
        ));
        assert!(has_user("/etc/crontab", "0 2 * * * root a\n0 3 * * * /b"));
    }

    #[test]
    fn elsewhere_the_word_after_the_time_decides() {
        assert!(has_user("x", "# c\nA=b\n@daily root /bin/a\n"));
        assert!(has_user("x", "* * * * * alice run\n* * * * * bob run"));
        assert!(has_user(
            "x",
            "* * * * * ubuntu /a /home/ubuntu/b > /dev/null"
        ));
        assert!(has_user(
            "x",
            "* * * * * root a\n* * * * * root b\n* * * * * /c"
        ));
        assert!(!has_user("x", "* * * * * root a\n* * * * * /bin/a b"));
        assert!(!has_user("x", "* * * * * php /a/b.php"));
        assert!(!has_user("x", "* * * * * alice >> log"));
        assert!(!has_user("x", "* * * * * root a\n* * * * * uptime"));
        assert!(!has_user("x", "* * *\n"));
        assert!(!has_user("x", ""));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_in_doubt() {
        let doubts = |path: &str, text: &str, entry: &str| {
            let doubt = decided(path, text).doubt(entry, &Options::default());
            doubt.is_some_and(|reason| reason.contains("--form system"))
        };
        let deploy = "* * * * * deploy /srv/run";
        assert!(doubts("x", deploy, deploy));
        let beside = format!("{deploy}\n* * * * * /srv/other");
        assert!(!doubts("x", &beside, deploy), "the file has no users");
        assert!(
            doubts("etc/crontab", &beside, deploy),
            "the path says that it has"
        );
        let root = "* * * * * root /a";
        assert!(doubts("/var/spool/cron/crontabs/bob", root, root));
        let node = "* * * * * node /app/run.js";
        assert!(doubts("/etc/cron.d/app", node, node));
        assert!(!doubts("x", node, node));
        assert!(!doubts("x", "* * * * * run all", "* * * * * run all"));
        for never in ["* * * * * /srv/other", "* * * * * backup >> /log"] {
            assert!(!doubts("etc/crontab", &beside, never), "{never}");
        }
    }

    #[test]
    fn an_account_of_this_host_is_a_user() {
        let file = CrontabFile {
            path: "x".into(),
            text: "* * * * * deploy /srv/run\n* * * * * git gc".into(),
            ..CrontabFile::default()
        };
        let mut options = Options::default();
        let named: Vec<String> = users_named(std::slice::from_ref(&file), &options)
            .into_iter()
            .collect();
        assert_eq!(named, ["deploy", "git"]);
        options.accounts.insert("deploy".into(), Account::default());
        assert!(decide(&file, &options).has_user);
    }
}
