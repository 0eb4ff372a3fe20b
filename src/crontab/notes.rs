//! What a reader should know of an entry that is carried over.

use super::ready::Ready;
use super::settings::Settings;
use super::toml::quoted;
use super::{Encoding, Options};

/// How the line was read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct How {
    /// A CR before its line end is taken off.
    pub(super) has_cr: bool,
    /// As what it was read, where it is not UTF-8.
    pub(super) encoding: Option<Encoding>,
}

/// All there is to know, in sentences.
pub(super) fn of(
    ready: &Ready<'_>,
    settings: &Settings,
    how: How,
    options: &Options,
) -> Vec<String> {
    let Ready {
        entry,
        command,
        around,
    } = ready;
    let mut notes = entry.notes.clone();
    notes.extend(around.notes.iter().cloned());
    let mut note = |text: &str| notes.push(text.to_owned());
    if how.has_cr {
        note("Its line end was CR LF: the CR, which cron hands to the command, is taken off.");
    }
    let encoding = match how.encoding {
        Some(Encoding::Windows1252) => Some("Windows-1252"),
        Some(Encoding::Latin1) => Some("Latin-1"),
        Some(Encoding::Utf8) | None => None,
    };
    if let Some(encoding) = encoding {
        note(&format!(
            "It is not UTF-8 and was read as {encoding}: the command gets UTF-8, where cron hands over the bytes."
        ));
    }
    if command.is_cut {
        note(
            "`%`: cron ends the command at its first one without a backslash and hands it the rest as input; where \
             a percent sign is meant, write it here.",
        );
    }
    if entry.command.contains("\\\\") {
        note("Two backslashes are one, as in Debian's cron; cronie keeps both: check the command.");
    }
    if let Some(shell) = settings.shell.as_deref()
        && !command.by_shell
        && !shell.starts_with('/')
    {
        note(&format!(
            "SHELL is {}, with which cron can start nothing; this needs no shell here, and runs.",
            quoted(shell)
        ));
    }
    if command.line.trim_start().starts_with("ID=") {
        note(
            "ID= is the name that dcron keeps an entry by; here it is a variable that harms nobody.",
        );
    }
    if command.is_muted() {
        note(
            "What goes to /dev/null is in no log of a run either: take that redirection off to see it.",
        );
    }
    let line = command.line.trim_end();
    if line.ends_with('&') && !line.ends_with("&&") {
        note(
            "It goes on in the background, as below cron: the run ends with the shell and shows nothing of the rest. \
             leftovers = \"wait\" waits for it.",
        );
    }
    if line.ends_with('\\') {
        note("It ends with a backslash, and cron joins no lines: the next one is read for itself.");
    }
    let server = options.current_user.as_deref();
    if let Some(user) = around.user.as_deref()
        && server != Some(user)
        && server != Some("root")
    {
        note(&format!(
            "To run this as {user} the server must run as root."
        ));
    }
    notes
}
