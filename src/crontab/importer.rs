//! Walks the files and writes the configuration.

use super::closing::{self, FileDone};
use super::comments::Comments;
use super::form::{self, Guess};
use super::head;
use super::line::{Line, classify};
use super::name::Names;
use super::notes::{self, How};
use super::ready::{self, Ready};
use super::settings::{Effect, Settings, Zone};
use super::written::Job;
use super::{
    Carried, CrontabFile, Encoding, Import, Left, Options, Reason, program, strange, toml,
};

/// The configuration while it grows.
#[derive(Debug)]
pub(super) struct Importer<'a> {
    options: &'a Options,
    names: Names,
    toml: String,
    tasks: Vec<Carried>,
    noted: usize,
    left: Vec<Left>,
    in_doubt: usize,
    /// Entries that run in a zone that nobody knows.
    without_zone: usize,
    files: Vec<FileDone>,
    has_told_of_no_mail: bool,
}

/// One line and where it stands.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    file: usize,
    path: &'a str,
    line: usize,
    text: &'a str,
    has_cr: bool,
    is_odd: bool,
}

/// What is known at a line of a file.
struct Sheet<'a> {
    settings: Settings,
    guess: Guess,
    encoding: Encoding,
    /// Whose the lines are that name no user.
    owner: Option<&'a str>,
    comments: Comments<'a>,
}

impl<'a> Importer<'a> {
    pub(super) fn new(files: &[CrontabFile], options: &'a Options) -> Self {
        let mut importer = Self {
            options,
            names: Names::default(),
            toml: String::new(),
            tasks: Vec::new(),
            noted: 0,
            left: Vec::new(),
            in_doubt: 0,
            without_zone: 0,
            files: Vec::new(),
            has_told_of_no_mail: false,
        };
        for line in head::of_import(files, options) {
            importer.comment(&line);
        }
        if let Some(zone) = head::zone(options) {
            importer.toml += &format!("time_zone = {}\n", toml::string(zone));
        }
        importer
    }

    pub(super) fn file(&mut self, file: &CrontabFile) {
        let options = self.options;
        let number = self.files.len();
        let strange = strange::kind(&file.text);
        let path_owner = form::owner(&file.path);
        let own = options.user.as_deref();
        let own = own.or(options.current_user.as_deref());
        let mut sheet = Sheet {
            settings: Settings::default(),
            guess: form::decide(file, options),
            encoding: file.encoding,
            owner: path_owner.or(own),
            comments: Comments::default(),
        };
        self.files.push(FileDone {
            path: file.path.clone(),
            has_user: sheet.guess.has_user,
            owner: sheet.owner.map(str::to_owned),
            carried: Vec::new(),
        });
        self.toml.push('\n');
        for line in head::of_file(file, &sheet.guess, sheet.owner, strange) {
            self.comment(&line);
        }
        let text = file.text.trim_start_matches('\u{feff}');
        for (index, raw) in text.split_inclusive('\n').enumerate() {
            let cr = raw.strip_suffix("\r\n");
            let place = Place {
                file: number,
                path: &file.path,
                line: index + 1,
                text: cr.or(raw.strip_suffix('\n')).unwrap_or(raw),
                has_cr: cr.is_some(),
                is_odd: file.odd.contains(&(index + 1)),
            };
            match strange {
                Some(_) if classify(place.text) == Line::Blank => {}
                Some(what) => self.leave(place, format!("the file is {what} and not a crontab")),
                None => self.line(place, &mut sheet),
            }
        }
        let last = text.rsplit('\n').next().unwrap_or_default();
        if strange.is_none() && matches!(classify(last), Line::Entry(_)) {
            self.comment(
                "The last line has no line end, which Debian's cron calls broken: check whether it ran.",
            );
        }
    }

    pub(super) fn finish(mut self) -> Import {
        let (carried, left) = (self.tasks.len(), self.left.len());
        let entries = if carried == 1 { "entry" } else { "entries" };
        let lines = if left == 1 { "line" } else { "lines" };
        self.toml.push('\n');
        self.comment(&format!(
            "{carried} {entries} carried over, {left} {lines} left out."
        ));
        let mut closing = Vec::new();
        for (count, before, after) in [
            (
                self.noted,
                "Entries carried over with something to know, at their line",
                "Read it",
            ),
            (
                self.without_zone,
                "Entries that run in the organisation's zone, as the machine's is not known",
                "Give --time-zone",
            ),
            (
                self.in_doubt,
                "Lines left out that may name a user or not",
                "Import them with --form system or --form user",
            ),
        ] {
            if 0 < count {
                closing.push(format!("{before}: {count}."));
                closing.push(format!("  {after}."));
            }
        }
        closing.extend(closing::unlike_cron(carried));
        let take_out = closing::take_out(&self.files);
        for line in closing.iter().chain(&take_out) {
            self.comment(line);
        }
        Import {
            toml: self.toml,
            carried,
            noted: self.noted,
            left: self.left,
            tasks: self.tasks,
            closing,
            take_out,
        }
    }

    fn line<'f>(&mut self, place: Place<'f>, sheet: &mut Sheet<'f>) {
        let line = classify(place.text);
        let is_readable = !place.is_odd || sheet.encoding != Encoding::Utf8;
        if line == Line::Blank {
            return sheet.comments.pass(place.text, is_readable);
        }
        let comments = std::mem::take(&mut sheet.comments);
        if !is_readable {
            return self.leave(
                place,
                "it is not UTF-8: give --encoding windows-1252 or latin-1, or write it anew in UTF-8".into(),
            );
        }
        match line {
            Line::Blank => {}
            Line::WrongSetting(reason) => self.leave(place, reason),
            Line::Setting { name, value } => {
                let effect = sheet.settings.set(place.line, name, value);
                self.effect(place, effect);
            }
            Line::Entry(text) => {
                if let Some(doubt) = sheet.guess.doubt(text, self.options) {
                    self.in_doubt += 1;
                    return self.leave(place, doubt);
                }
                let (has_user, owner) = (sheet.guess.has_user, sheet.owner);
                let settings = &sheet.settings;
                let ready = ready::checked(place.path, text, settings, has_user)
                    .and_then(|entry| Ready::of(entry, owner, settings, self.options));
                match ready {
                    Ok(ready) => self.entry(place, sheet, ready, comments),
                    Err(reason) => self.leave(place, reason),
                }
            }
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
            file: place.file,
            path: place.path.to_owned(),
            line: place.line,
            text: place.text.to_owned(),
            reason,
        });
    }

    fn entry(
        &mut self,
        place: Place<'_>,
        sheet: &Sheet<'_>,
        ready: Ready<'_>,
        mut comments: Comments<'_>,
    ) {
        let program = program::of_line(&ready.command.line);
        let name = self
            .names
            .give(form::cron_d_name(place.path), program.as_deref());
        let how = How {
            has_cr: place.has_cr,
            encoding: place.is_odd.then_some(sheet.encoding),
        };
        let notes = notes::of(&ready, &sheet.settings, how, self.options);
        self.noted += usize::from(!notes.is_empty());
        let Ready {
            entry,
            command,
            around,
        } = ready;
        let zone = &sheet.settings.zone;
        let is_known = head::zone(self.options).is_some();
        self.without_zone += usize::from(*zone == Zone::Unset && !is_known);

        let Place {
            path, line, text, ..
        } = place;
        self.toml.push('\n');
        self.comment(&format!("{path}:{line}: {}", text.trim()));
        if command.by_shell {
            self.comment("Started by a shell, named here because Watchbell itself uses none.");
        }
        for note in &notes {
            self.comment(note);
        }
        let description = comments.take();
        let description = description.unwrap_or_else(|| format!("from {path}:{line}"));
        let job = Job {
            name: &name,
            command: &command,
            around: &around,
            description: &description,
            owner: sheet.settings.owner.as_deref(),
            cron: &entry.cron,
            zone,
        };
        self.toml += &job.written();
        let time_zone = match zone {
            Zone::Named(zone) => Some(zone.clone()),
            Zone::Unset | Zone::Unknown { .. } => None,
        };
        if let Some(file) = self.files.get_mut(place.file) {
            file.carried.push(line);
        }
        self.tasks.push(Carried {
            file: place.file,
            path: path.to_owned(),
            line,
            text: text.to_owned(),
            name,
            user: around.user,
            directory: around.directory,
            argv: command.argv,
            stdin: command.stdin,
            cron: entry.cron,
            time_zone,
            notes,
        });
    }

    fn comment(&mut self, text: &str) {
        self.toml += &toml::comment(text);
    }
}
