//! The comments at the top of an import, and of each file in it.

use super::form::{self, Guess};
use super::{CrontabFile, Options, toml};

/// The time zone of what names none, where it is known.
pub(super) fn zone(options: &Options) -> Option<&str> {
    let machine = options.machine_zone.as_ref().map(|zone| zone.name.as_str());
    options.time_zone.as_deref().or(machine)
}

/// What holds for all of it.
pub(super) fn of_import(files: &[CrontabFile], options: &Options) -> Vec<String> {
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let mut lines = vec![
        format!("Made by `watchbell import-crontab` from {}", paths.join(", ")),
        "cron gives a command HOME, LOGNAME, SHELL and PATH=/usr/bin:/bin, and starts it in its user's home:"
            .to_owned(),
        "so do these, where that is known here. Each line says what is otherwise.".to_owned(),
    ];
    match (&options.time_zone, &options.machine_zone) {
        (Some(_), _) => {}
        (None, Some(zone)) => lines.push(format!(
            "The machine's time zone, by {}: cron ran all lines in it that name none. --time-zone gives another.",
            zone.from
        )),
        (None, None) => lines.push(
            "No time zone is set here, so the organisation's applies; cron used the machine's, which is not known: \
             --time-zone gives it."
                .to_owned(),
        ),
    }
    lines
}

/// What holds for one file; `owner` is whose the lines are that name no user.
pub(super) fn of_file(
    file: &CrontabFile,
    guess: &Guess,
    owner: Option<&str>,
    strange: Option<&str>,
) -> Vec<String> {
    let path = file.path.as_str();
    let mut lines = vec![format!("==== {path}")];
    if let Some(what) = strange {
        lines.push(format!("It is {what} and not a crontab."));
        return lines;
    }
    if let Some(because) = &guess.because {
        let form = match guess.has_user {
            true => "with a user column",
            false => "without a user column",
        };
        lines.push(format!("Read {form}, because {because}."));
    }
    let is_passed_over = |name: &str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        !name.bytes().all(is_plain)
    };
    let mut say = |text: &str| lines.push(text.to_owned());
    if form::cron_d_name(path).is_some_and(is_passed_over) {
        say(
            "Debian's cron passes over files of cron.d with such a name: check whether this one ran.",
        );
    }
    match (form::owner(path), owner) {
        _ if guess.has_user => {}
        (Some(owner), _) => say(&format!(
            "cron ran these as {owner}, as the file's name says, and so they run here."
        )),
        (None, Some(owner)) => say(&format!(
            "No line names a user: they run as {}. --user gives another.",
            toml::quoted(owner)
        )),
        (None, None) => say(
            "No line names a user, and nobody knows whose they are: they run as the server's user. --user gives one.",
        ),
    }
    if file.text.starts_with('\u{feff}') {
        say(
            "It begins with a byte order mark, which cron takes for a part of the first line; it is taken off.",
        );
    }
    if file.text.contains("\r\n") {
        say("Lines ended in CR LF; the CR, which cron passes on, is taken off.");
    }
    lines
}
