//! Walks the files and writes the configuration.

use super::command::{self, Command};
use super::entry::{self, Entry};
use super::form;
use super::line::{Line, classify};
use super::name::Names;
use super::settings::{Effect, Settings, Zone};
use super::{CrontabFile, Import, Left, Options, Reason, program, toml};
use crate::domain::schedule::{Schedule, ScheduleSpec};

/// The configuration while it grows.
#[derive(Debug)]
pub(super) struct Importer<'a> {
    options: &'a Options,
    names: Names,
    toml: String,
    carried: usize,
    left: Vec<Left>,
    has_told_of_no_mail: bool,
}

/// One line and where it stands.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    path: &'a str,
    line: usize,
    text: &'a str,
}

impl<'a> Importer<'a> {
    pub(super) fn new(files: &[CrontabFile], options: &'a Options) -> Self {
        let mut importer = Self {
            options,
            names: Names::default(),
            toml: String::new(),
            carried: 0,
            left: Vec::new(),
            has_told_of_no_mail: false,
        };
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        importer.comment(&format!(
            "Made by `watchbell import-crontab` from {}",
            paths.join(", ")
        ));
        importer.comment(
            "cron gives a command HOME, LOGNAME, SHELL and PATH=/usr/bin:/bin, and starts it in its \
             user's home.",
        );
        importer.comment(
            "Watchbell starts it in the server's directory: write here what a command relies on.",
        );
        match &options.time_zone {
            Some(zone) => {
                importer.toml += &format!("time_zone = {}\n", toml::string(zone));
            }
            None => importer.comment(
                "No time zone is set here, so the organisation's applies; cron used the machine's.",
            ),
        }
        importer
    }

    pub(super) fn file(&mut self, file: &CrontabFile) {
        let guess = form::decide(
            file,
            self.options.form,
            self.options.current_user.as_deref(),
        );
        self.file_head(file, &guess);
        let mut settings = Settings::default();
        let text = file.text.trim_start_matches('\u{feff}');
        for (index, line) in text.lines().enumerate() {
            let place = Place {
                path: &file.path,
                line: index + 1,
                text: line,
            };
            self.line(place, &mut settings, guess.has_user);
        }
        let last = text.rsplit('\n').next().unwrap_or_default();
        if matches!(classify(last), Line::Entry(_)) {
            self.comment(
                "The last line has no line end, which Debian's cron calls broken: check whether it ran.",
            );
        }
    }

    pub(super) fn finish(mut self) -> Import {
        let (carried, left) = (self.carried, self.left.len());
        let entries = if carried == 1 { "entry" } else { "entries" };
        let lines = if left == 1 { "line" } else { "lines" };
        self.toml.push('\n');
        self.comment(&format!(
            "{carried} {entries} carried over, {left} {lines} left out."
        ));
        Import {
            toml: self.toml,
            carried,
            left: self.left,
        }
    }

    fn file_head(&mut self, file: &CrontabFile, guess: &form::Guess) {
        let path = file.path.as_str();
        self.toml.push('\n');
        self.comment(&format!("==== {path}"));
        if let Some(because) = &guess.because {
            let form = if guess.has_user {
                "with a user column"
            } else {
                "without a user column"
            };
            self.comment(&format!("Read {form}, because {because}."));
        }
        let is_passed_over = |name: &str| {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
            !name.bytes().all(is_plain)
        };
        if form::cron_d_name(path).is_some_and(is_passed_over) {
            self.comment(
                "Debian's cron passes over files of cron.d with such a name: check whether this one ran.",
            );
        }
        if let Some(owner) = form::owner(path)
            && self.options.current_user.as_deref() != Some(owner)
        {
            self.comment(&format!(
                "cron ran these as {owner}; here they run as the server's user, unless `user` says \
                 otherwise."
            ));
        }
        if file.text.contains("\r\n") {
            self.comment("Lines ended in CR LF; the CR, which cron passes on, is taken off.");
        }
    }

    fn line(&mut self, place: Place<'_>, settings: &mut Settings, has_user: bool) {
        match classify(place.text) {
            Line::Blank => {}
            Line::WrongSetting(reason) => self.leave(place, reason),
            Line::Setting { name, value } => {
                let effect = settings.set(place.line, name, value);
                self.effect(place, effect);
            }
            Line::Entry(text) => match checked(place.path, text, settings, has_user) {
                Ok(entry) => self.entry(place, settings, entry),
                Err(reason) => self.leave(place, reason),
            },
        }
    }

    fn effect(&mut self, place: Place<'_>, effect: Effect) {
        let note = match effect {
            Effect::Carried => return,
            Effect::Left(reason) => return self.leave(place, reason),
            Effect::NoMail if self.has_told_of_no_mail => return,
            Effect::NoMail => {
                self.has_told_of_no_mail = true;
                "no mail was wanted and none is sent: output goes to the run log".into()
            }
            Effect::Noted(note) => note,
        };
        self.toml.push('\n');
        self.comment(&format!("line {}: {}", place.line, place.text.trim()));
        self.comment(&format!("  {note}"));
    }

    fn leave(&mut self, place: Place<'_>, reason: Reason) {
        self.toml.push('\n');
        let text = place.text.trim();
        self.comment(&format!("left out, line {}: {text}", place.line));
        self.comment(&format!("  because {reason}"));
        self.left.push(Left {
            path: place.path.to_owned(),
            line: place.line,
            text: place.text.to_owned(),
            reason,
        });
    }

    fn entry(&mut self, place: Place<'_>, settings: &Settings, entry: Entry<'_>) {
        let shell = settings.shell.as_deref();
        let command = command::resolve(entry.command, shell, settings.has_startup_file());
        if let Some(shell) = command.argv.first().filter(|first| !first.starts_with('/')) {
            let shell = toml::quoted(shell);
            return self.leave(
                place,
                format!("SHELL is {shell}, which is not an absolute path"),
            );
        }
        let program = program::of_line(&command.line);
        let file = form::cron_d_name(place.path);
        let name = self.names.give(file, program.as_deref());
        self.carried += 1;

        let Place { path, line, text } = place;
        self.toml.push('\n');
        self.comment(&format!("{path}:{line}: {}", text.trim()));
        for note in self.notes(&entry, &command) {
            self.comment(&note);
        }
        self.toml += &command_table(&name, &command, entry.user, settings);
        self.toml.push('\n');
        let from = format!("from {path}:{line}");
        self.toml += &task_table(&name, &from, &entry.cron, &settings.zone);
    }

    fn notes(&self, entry: &Entry<'_>, command: &Command) -> Vec<String> {
        let mut notes = entry.notes.clone();
        if command.by_shell {
            notes.push("Started by a shell, named here because Watchbell itself uses none.".into());
        }
        if entry.command.contains("\\\\") {
            notes.push(
                "Two backslashes are one, as in Debian's cron; cronie keeps both: check the command."
                    .into(),
            );
        }
        let line = command.line.trim_end();
        if line.ends_with('&') && !line.ends_with("&&") {
            notes.push(
                "It goes on in the background, as below cron: the run ends with the shell and shows nothing of the rest. \
                 leftovers = \"wait\" waits for it."
                    .into(),
            );
        }
        let server = self.options.current_user.as_deref();
        if let Some(user) = entry.user
            && server != Some(user)
            && server != Some("root")
        {
            notes.push(format!(
                "To run this as {user} the server must run as root."
            ));
        }
        notes
    }

    fn comment(&mut self, text: &str) {
        self.toml += &toml::comment(text);
    }
}

/// The entry, if it can be carried over.
fn checked<'t>(
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

fn command_table(name: &str, command: &Command, user: Option<&str>, settings: &Settings) -> String {
    let mut table = format!("[commands.{name}]\nargv = {}\n", toml::array(&command.argv));
    if let Some(user) = user {
        table += &format!("user = {}\n", toml::string(user));
    }
    if !settings.environment.is_empty() {
        let variables: Vec<String> = settings
            .environment
            .iter()
            .map(|(name, value)| format!("{} = {}", toml::key(name), toml::string(value)))
            .collect();
        table += &format!("environment = {{ {} }}\n", variables.join(", "));
    }
    if let Some(stdin) = &command.stdin {
        table += &format!("stdin = {}\n", toml::string(stdin));
    }
    // As cron does. Commands that leave nothing never notice.
    table += "leftovers = \"leave\"\n";
    table
}

fn task_table(name: &str, from: &str, cron: &str, zone: &Zone) -> String {
    let zone = match zone {
        Zone::Named(zone) => format!(", time_zone = {}", toml::string(zone)),
        Zone::Unset | Zone::Unknown { .. } => String::new(),
    };
    format!(
        "[tasks.{name}]\nkind = \"command\"\ndescription = {}\nparameters = {{ command = {} }}\n\
         schedule = {{ cron = {}{zone} }}\n",
        toml::string(from),
        toml::string(name),
        toml::string(cron),
    )
}
