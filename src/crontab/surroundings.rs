//! As whom and where a command starts, with which variables: as cron has it for the user who runs the entry.

use std::collections::BTreeMap;

use super::command::Command;
use super::settings::Settings;
use super::toml::quoted;
use super::{Account, Options, Reason, relying};

/// What cron sets where a crontab does not.
const PATH: &str = "/usr/bin:/bin";

/// What surrounds a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    pub(super) user: Option<String>,
    pub(super) directory: Option<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) notes: Vec<String>,
}

/// Works out what surrounds a command of this user, if it is known who that is.
///
/// # Errors
/// Why the entry is left out: it depends on what nobody here knows.
pub(super) fn around(
    user: Option<&str>,
    command: &Command,
    settings: &Settings,
    options: &Options,
) -> Result<Surroundings, Reason> {
    let mut notes = Vec::new();
    let mut environment = settings.environment.clone();
    let account = user.and_then(|user| options.accounts.get(user));
    let directory = match (settings.environment.get("HOME"), account) {
        (Some(home), _) if home.starts_with('/') => Some(home.clone()),
        (Some(home), _) => {
            return Err(format!(
                "HOME is {}, which is not an absolute path, and cron could start nothing there",
                quoted(home)
            ));
        }
        (None, Some(account)) => {
            environment.insert("HOME".to_owned(), account.home.clone());
            Some(start(account, command, &mut notes)?)
        }
        (None, None) => {
            expect_no_home(user, command)?;
            if let Some(user) = user {
                notes.push(format!(
                    "There is no user {} here: HOME is what the server finds, and it starts in the server's \
                     directory.",
                    quoted(user)
                ));
            }
            None
        }
    };
    environment
        .entry("PATH".to_owned())
        .or_insert_with(|| PATH.to_owned());
    if let Some(shell) = &settings.shell {
        environment.insert("SHELL".to_owned(), shell.clone());
    }
    Ok(Surroundings {
        user: user.map(str::to_owned),
        directory,
        environment,
        notes,
    })
}

/// Where it starts: at home, or at the root where that is not there.
fn start(account: &Account, command: &Command, notes: &mut Vec<String>) -> Result<String, Reason> {
    let home = &account.home;
    if account.is_there && home.starts_with('/') {
        return Ok(home.clone());
    }
    if let Some(path) = relying::on_directory(&command.line) {
        return Err(format!(
            "{path} is relative, and the home in which cron starts it, {}, is not there",
            quoted(home)
        ));
    }
    notes.push(format!(
        "The home {} is not there: it starts in /.",
        quoted(home)
    ));
    Ok("/".to_owned())
}

fn expect_no_home(user: Option<&str>, command: &Command) -> Result<(), Reason> {
    let whose = match user {
        Some(user) => format!("the home of {}", quoted(user)),
        None => "the home of its user".to_owned(),
    };
    let advice = "import it on the host where that is known, or set HOME= above the line";
    if let Some(what) = relying::on_home(&command.line) {
        return Err(format!(
            "it uses {what}, and {whose} is not known here: {advice}"
        ));
    }
    match relying::on_directory(&command.line) {
        Some(path) => Err(format!(
            "{path} is relative to {whose}, which is not known here: {advice}"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::command;
    use super::*;

    fn options() -> Options {
        let account = |home: &str, is_there| Account {
            home: home.to_owned(),
            is_there,
        };
        Options {
            accounts: BTreeMap::from([
                ("amy".to_owned(), account("/home/amy", true)),
                ("list".to_owned(), account("/var/list", false)),
            ]),
            ..Options::default()
        }
    }

    fn around_with(
        user: Option<&str>,
        line: &str,
        home: Option<&str>,
    ) -> Result<Surroundings, Reason> {
        let mut settings = Settings::default();
        if let Some(home) = home {
            settings.set(1, "HOME", home);
        }
        let command = command::resolve(line, None, false);
        around(user, &command, &settings, &options())
    }

    #[test]
    fn a_command_has_the_home_of_who_runs_it() {
        let at_home = around_with(Some("amy"), "find $HOME/tmp", None).unwrap();
        assert_eq!(at_home.user.as_deref(), Some("amy"));
        assert_eq!(at_home.directory.as_deref(), Some("/home/amy"));
        assert_eq!(at_home.environment["HOME"], "/home/amy");
        assert_eq!(at_home.environment["PATH"], "/usr/bin:/bin");
        assert!(at_home.notes.is_empty());
        let set = around_with(Some("amy"), "./a", Some("/var/log")).unwrap();
        assert_eq!(set.directory.as_deref(), Some("/var/log"));
        assert_eq!(set.environment["HOME"], "/var/log");
    }

    #[test]
    fn a_home_that_is_not_there_is_no_place_to_start_in() {
        let list = around_with(Some("list"), "/a", None).unwrap();
        assert_eq!(list.directory.as_deref(), Some("/"));
        assert_eq!(list.environment["HOME"], "/var/list");
        assert_eq!(list.notes.len(), 1);
        let reason = around_with(Some("list"), "./a", None).unwrap_err();
        assert!(reason.contains("`./a` is relative"), "{reason}");
    }

    #[test]
    fn what_depends_on_a_home_that_nobody_knows_is_left_out() {
        for line in ["find $HOME/tmp", "~/a", "./a", "a > out"] {
            for user in [Some("zoe"), None] {
                let reason = around_with(user, line, None).unwrap_err();
                assert!(reason.contains("is not known here"), "{reason}");
            }
        }
        let zoe = around_with(Some("zoe"), "cd /srv && ./a", None).unwrap();
        assert_eq!((zoe.user.as_deref(), zoe.directory), (Some("zoe"), None));
        assert!(zoe.notes[0].contains("no user `zoe` here"));
        let reason = around_with(Some("amy"), "/a", Some("$X")).unwrap_err();
        assert!(reason.contains("HOME is `$X`"), "{reason}");
    }
}
