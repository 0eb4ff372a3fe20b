//! Turns crontabs into a Watchbell configuration: text in, text out.
//!
//! [`import`] walks each file line by line, as cron does: a setting changes what the entries below it
//! get, an entry becomes one command and one task under the same name. What has no counterpart here is
//! left out, and says so twice: as a comment at its place in the TOML, and in [`Import::left`].
//!
//! `form` decides whether a file has a user column; `line` tells settings from entries; `entry` takes an
//! entry apart with `field`'s help; `command` decides between a direct argv and a shell; `program` and
//! `name` find the name; `toml` escapes. The `importer` puts it together. Debian's cron (crontab(5), and
//! its source where that is silent) is the reference, with cronie's extensions where they are clear.

mod command;
mod entry;
mod field;
mod form;
mod importer;
mod line;
mod name;
mod program;
mod settings;
mod toml;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod fixtures;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

pub use self::settings::is_zone_name as is_time_zone;

/// A crontab: where it was found, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrontabFile {
    /// Its path, for comments, names and the guess at its form.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// Whether the entries of a file name a user between the time fields and the command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// By the path if that settles it, else by trial; the output says which and why.
    #[default]
    Auto,
    /// A user's own crontab: no user column.
    User,
    /// /etc/crontab or a file of /etc/cron.d: with a user column.
    System,
}

/// How to read the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// The form of every file.
    pub form: Form,
    /// The IANA time zone for the head of the configuration.
    pub time_zone: Option<String>,
    /// The user the server runs as, if known: commands of others need a server that runs as root.
    pub current_user: Option<String>,
}

/// The configuration, and what is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The configuration, always valid TOML.
    pub toml: String,
    /// How many entries became tasks.
    pub carried: usize,
    /// The lines that were left out, in order.
    pub left: Vec<Left>,
}

/// A line that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
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
