//! An entry that can be carried over: checked, and with all that its command needs.

use super::command::{self, Command};
use super::entry::{self, Entry};
use super::settings::{Settings, Zone};
use super::surroundings::{Surroundings, around};
use super::{Options, Reason, toml};
use crate::domain::schedule::{Schedule, ScheduleSpec};

/// An entry of which all is known.
#[derive(Debug)]
pub(super) struct Ready<'t> {
    pub(super) entry: Entry<'t>,
    pub(super) command: Command,
    pub(super) around: Surroundings,
}

impl<'t> Ready<'t> {
    /// The entry with its command, for its user or else for the file's.
    ///
    /// # Errors
    /// Why it is left out.
    pub(super) fn of(
        entry: Entry<'t>,
        owner: Option<&str>,
        settings: &Settings,
        options: &Options,
    ) -> Result<Self, Reason> {
        if let Some(line) = settings.broken_shell {
            return Err(format!(
                "the SHELL of line {line} has arguments, and cannot be started"
            ));
        }
        let shell = settings.shell.as_deref();
        let command = command::resolve(entry.command, shell, settings.has_startup_file());
        if let Some(shell) = command.argv.first().filter(|first| !first.starts_with('/')) {
            let shell = toml::quoted(shell);
            return Err(format!("SHELL is {shell}, which is not an absolute path"));
        }
        if command.is_cut && command.is_incomplete() {
            return Err(format!(
                "cron ends it at its first `%`, in the middle: {} never ran. Where a percent sign is meant, `\\%` \
                 says so",
                toml::quoted(command.line.trim())
            ));
        }
        let around = around(entry.user.or(owner), &command, settings, options)?;
        Ok(Self {
            entry,
            command,
            around,
        })
    }
}

/// The entry, if its time and its form can be carried over.
///
/// # Errors
/// Why it is left out.
pub(super) fn checked<'t>(
    path: &str,
    text: &'t str,
    settings: &Settings,
    has_user: bool,
) -> Result<Entry<'t>, Reason> {
    if path == "anacrontab" || path.ends_with("/anacrontab") {
        return Err("it is anacron's: a period in days and a delay, not a time".into());
    }
    if let Zone::Unknown { line } = settings.zone {
        return Err(format!(
            "the time zone of line {line} could not be carried over"
        ));
    }
    let entry = entry::parse(text, has_user)?;
    let spec = ScheduleSpec {
        cron: Some(entry.cron.clone()),
        ..ScheduleSpec::default()
    };
    match Schedule::parse(&spec, "", "UTC") {
        Ok(_) => Ok(entry),
        // Without the field's name, which stands in no crontab.
        Err(error) => match error.wrong().as_slice() {
            [] => Err(error.to_string()),
            wrong => {
                let reasons: Vec<&str> = wrong.iter().map(|wrong| wrong.reason.as_str()).collect();
                Err(reasons.join("; "))
            }
        },
    }
}
