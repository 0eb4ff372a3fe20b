//! Turns crontabs into a Watchbell configuration: text in, text out.
//!
//! [`import`] walks each file line by line, as cron does: a setting changes what the entries below it
//! get, an entry becomes one command and one task under the same name. What is not carried over unchanged
//! is told at its line; what has no counterpart here, or could be meant in two ways, is left out, and says
//! so twice: as a comment at its place in the TOML, and in [`Import::left`].
//!
//! `decode` reads bytes; `strange` knows files that are no crontabs; `form` decides by what `reading` finds
//! whether a file has a user column; `line` tells settings from entries; `entry` takes an entry apart with
//! `field`'s help; `command` decides between a direct argv and a shell; `surroundings` says as whom and
//! where it starts, with what `relying` finds in it; `ready` is an entry that passed all of that, `notes`
//! what to know of it; `program` and `name` find the name, `comments` the description. The `importer` puts
//! it together; `head` has the first comments, `written` a task, `closing` the last lines, `explain` each
//! line beside what will run, `disable` the original without what was carried over; `toml` escapes. Debian's
//! cron (crontab(5), and its source where that is silent) is the reference, with cronie's extensions where
//! they are clear.

mod closing;
mod command;
mod comments;
mod decode;
mod disable;
mod entry;
mod explain;
mod field;
mod form;
mod head;
mod importer;
mod line;
mod name;
mod notes;
mod program;
mod reading;
mod ready;
mod relying;
mod settings;
mod strange;
mod surroundings;
mod toml;
mod written;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod cases;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod fixtures;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use self::{
    disable::disabled, entry::is_user_name, explain::explain, form::users_named,
    settings::is_zone_name as is_time_zone,
};

/// A crontab: where it was found, and what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrontabFile {
    /// Its path, for comments, names and the guess at its form.
    pub path: String,
    /// Its content.
    pub text: String,
    /// Lines, from 1, that were not UTF-8.
    pub odd: BTreeSet<usize>,
    /// As what those were read.
    pub encoding: Encoding,
}

/// As what lines are read that are not UTF-8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As nothing: they are left out.
    #[default]
    Utf8,
    /// Western Windows.
    Windows1252,
    /// ISO 8859-1.
    Latin1,
}

/// Whether the entries of a file name a user between the time fields and the command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// By the lines, and by the path where they leave it open; the output says which and why.
    #[default]
    Auto,
    /// A user's own crontab: no user column.
    User,
    /// /etc/crontab or a file of /etc/cron.d: with a user column.
    System,
}

/// What this host knows of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Where cron starts its commands.
    pub home: String,
    /// Whether that is a directory.
    pub is_there: bool,
}

/// A time zone, and how it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineZone {
    /// The IANA name.
    pub name: String,
    /// Such as "/etc/localtime".
    pub from: String,
}

/// How to read the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The form of every file.
    pub form: Form,
    /// The IANA time zone for the head of the configuration, over the machine's.
    pub time_zone: Option<String>,
    /// The machine's, in which cron runs what names none.
    pub machine_zone: Option<MachineZone>,
    /// The user who imports, if known: commands of others need a server that runs as root.
    pub current_user: Option<String>,
    /// Whose the lines are that name no user and whose file's path names none; else they are the current user's.
    pub user: Option<String>,
    /// The users of [`users_named`] that this host knows.
    pub accounts: BTreeMap<String, Account>,
}

/// The configuration, and what is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The configuration, always valid TOML.
    pub toml: String,
    /// How many entries became tasks.
    pub carried: usize,
    /// How many of those say at their line what to know of them.
    pub noted: usize,
    /// The lines that were left out, in order.
    pub left: Vec<Left>,
    /// What became a task, in order.
    pub tasks: Vec<Carried>,
    /// How many entries to look at again, and which flag settles what was left out. Lines of text.
    pub closing: Vec<String>,
    /// What to take out of cron now. Lines of text.
    pub take_out: Vec<String>,
}

/// A line that became a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Which of the files that were given, from 0.
    pub file: usize,
    /// The file's path.
    pub path: String,
    /// The line's number, from 1.
    pub line: usize,
    /// The line as it stands in the file, control characters included.
    pub text: String,
    /// The task's name, which is its command's as well.
    pub name: String,
    /// Who runs it, where that is known.
    pub user: Option<String>,
    /// Where it starts, where that is known.
    pub directory: Option<String>,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// What the program reads.
    pub stdin: Option<String>,
    /// When it runs.
    pub cron: String,
    /// Its own time zone.
    pub time_zone: Option<String>,
    /// What to know of it.
    pub notes: Vec<String>,
}

/// A line that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Which of the files that were given, from 0.
    pub file: usize,
    /// The file's path.
    pub path: String,
    /// The line's number, from 1.
    pub line: usize,
    /// The line as it stands in the file, control characters included.
    pub text: String,
    /// Why; one line, safe to print.
    pub reason: String,
}

/// Why a line is left out.
type Reason = String;

/// Turns `files` into one configuration. Names are unique across all of them.
pub fn import(files: &[CrontabFile], options: &Options) -> Import {
    let mut importer = importer::Importer::new(files, options);
    for file in files {
        importer.file(file);
    }
    importer.finish()
}
