//! What a look at stored data has found, in words.

use super::{
    repository::{Checked, Progress},
    work::Job,
};
use crate::domain::backup::{Finding, Level, manifest::FileError, verdict::Names};

/// Damage that the log tells, and that evidence names.
pub(super) const LOGGED: usize = 100;
const NAMED: usize = 3;
/// Characters of one thing that is named.
const SHORT: usize = 200;

/// What a verification has found, besides its evidence.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) level: Level,
    pub(super) finding: Finding,
    pub(super) message: String,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// What of a point was found damaged.
    pub(super) names: Names,
}

impl Found {
    /// That not all of a point comes back, by an error that ended the look at it.
    pub(super) fn broken(level: Level, message: String) -> Self {
        let error = FileError::of_all(short(&message));
        Self {
            level,
            finding: Finding::Failed,
            names: Names::new([error], 0),
            message,
            files: 0,
            bytes: 0,
        }
    }

    /// Both in one: what one of them has found wrong is wrong.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            level: self.level,
            finding: match self.finding {
                Finding::Passed => other.finding,
                finding => finding,
            },
            message: format!("{}; {}", self.message, other.message),
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
            names: self.names.and(&other.names),
        }
    }
}

/// What was found out about points besides what a run is for.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) said: Vec<String>,
    /// Whether something is not as it was thought to be, or could not be read.
    pub(super) is_amiss: bool,
}

impl Told {
    pub(super) fn amiss(&mut self, line: String) {
        self.said.push(line);
        self.is_amiss = true;
    }

    pub(super) fn and(&mut self, other: Self) {
        self.said.extend(other.said);
        self.is_amiss |= other.is_amiss;
    }
}

pub(super) fn of_check(job: &Job, level: Level, checked: &Checked, what: &str) -> Found {
    for damage in checked.damage.iter().take(LOGGED) {
        job.log(format!("damaged: {damage}"));
    }
    Found {
        level,
        finding: match checked.damage.is_empty() {
            true => Finding::Passed,
            false => Finding::Failed,
        },
        message: match checked.damage.len() {
            0 => format!("{what} is whole"),
            count => format!("{what} is damaged in {count} places: {}", brief(checked)),
        },
        files: checked.packs_read,
        bytes: checked.bytes_read,
        names: Names::default(),
    }
}

/// The first that a check has found.
pub(super) fn brief(checked: &Checked) -> String {
    first_of(&checked.damage)
}

/// The first of what was found, in one line.
pub(super) fn first_of(all: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let named: Vec<String> = all.into_iter().take(NAMED).map(short).collect();
    named.join("; ")
}

pub(super) fn of_files(
    job: &Job,
    level: Level,
    differing: &[impl AsRef<str>],
    done: Progress,
    what: &str,
) -> Found {
    for one in differing.iter().take(LOGGED) {
        job.log(format!("damaged: {}", one.as_ref()));
    }
    Found {
        level,
        finding: match differing.is_empty() {
            true => Finding::Passed,
            false => Finding::Failed,
        },
        message: match differing.len() {
            0 => format!("{what}: {} files are as they were", done.files),
            count => format!("{what}: {count} differ: {}", first_of(differing)),
        },
        files: done.files,
        bytes: done.bytes,
        names: Names::default(),
    }
}

/// As [`of_files`], by names.
pub(super) fn of_names(
    job: &Job,
    level: Level,
    names: Vec<FileError>,
    done: Progress,
    what: &str,
) -> Found {
    let differing: Vec<&str> = names.iter().map(|name| name.message.as_str()).collect();
    let found = of_files(job, level, &differing, done, what);
    Found {
        names: Names::new(names, 0),
        ..found
    }
}

/// The beginning of what a library says of some damage: the log has all of it, and whoever watches one line.
pub(super) fn short(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    match text.char_indices().nth(SHORT) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_text_are_cut_where_people_read_them_first() {
        let page = "ä".repeat(5000);
        assert_eq!(short(&page).chars().count(), SHORT + 1);
        assert_eq!(short("brief"), "brief");
    }
}
