//! Something that someone should look at, until alerts exist.

mod kind;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::kind::ProblemKind;
use super::{id::ReplicaId, text::text_enum};

text_enum! {
    /// How grave something is. Later is graver.
    Severity {
        Ok = "ok",
        Warning = "warning",
        Critical = "critical",
    }
}

/// Something that someone should look at. (`kind`, `subject`, `replica`) is its identity: it is open once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub severity: Severity,
    /// The text of a [`ProblemKind`]; a row of another version may have one that this one does not know.
    pub kind: String,
    /// What has it: `tasks/{task}`, `database`, `disk`, …
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub action: String,
    /// When it began.
    pub since: Timestamp,
    /// The server that has it; none where it is the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<ReplicaId>,
}

impl Problem {
    /// A problem of the cluster, as grave as its kind, with the kind's advice.
    pub fn new(
        kind: ProblemKind,
        subject: impl Into<String>,
        message: impl Into<String>,
        since: Timestamp,
    ) -> Self {
        Self {
            severity: kind.severity(),
            kind: kind.as_str().to_owned(),
            subject: subject.into(),
            message: message.into(),
            action: kind.advice().to_owned(),
            since,
            replica: None,
        }
    }

    /// The same, graver or less grave than its kind.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The same with advice of its own.
    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.action = action.into();
        self
    }

    pub fn is(&self, kind: ProblemKind) -> bool {
        self.kind == kind.as_str()
    }

    /// Whether someone who knew `before` has to be told: it is graver or less grave, or says something else. A number
    /// that moves is no news.
    pub fn is_news_after(&self, before: &Self) -> bool {
        self.severity != before.severity || !same_words(&self.message, &before.message)
    }
}

/// Whether two texts are the same but for their numbers and ids. A name that differs is another word.
fn same_words(a: &str, b: &str) -> bool {
    a == b || words(a) == words(b)
}

/// A text with one sign for each number and each id.
fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end.max(first.len_utf8()));
        // Such as `tasks/3rd-backup`, and not `3/5`.
        let is_name = words
            .strip_suffix('/')
            .is_some_and(|before| before.ends_with(|letter: char| letter.is_ascii_alphabetic()));
        let begins = token.trim_start_matches('-');
        if is_id(token) {
            words.push('0');
        } else if is_name || !begins.starts_with(|letter: char| letter.is_ascii_digit()) {
            words.push_str(token);
        } else {
            push_numbers(&mut words, token);
        }
        rest = after;
    }
    words
}

/// A UUID, or a hash or its beginning.
fn is_id(token: &str) -> bool {
    let is_hex = |text: &str| text.chars().all(|letter| letter.is_ascii_hexdigit());
    let parts: Vec<usize> = token.split('-').map(str::len).collect();
    let is_uuid = parts == [8, 4, 4, 4, 12] && token.split('-').all(is_hex);
    let has_digit = token.contains(|letter: char| letter.is_ascii_digit());
    is_uuid || (8 <= token.len() && is_hex(token) && has_digit)
}

/// A token with one sign for each number.
fn push_numbers(words: &mut String, token: &str) {
    for letter in token.chars() {
        if !letter.is_ascii_digit() {
            words.push(letter);
        } else if !words.ends_with('0') {
            words.push('0');
        }
    }
}

/// Gravest first, then oldest.
pub fn sort(problems: &mut [Problem]) {
    problems
        .sort_by(|a, b| (b.severity, a.since, &a.subject).cmp(&(a.severity, b.since, &b.subject)));
}

/// As grave as the gravest.
pub fn overall(problems: &[Problem]) -> Severity {
    let gravest = problems.iter().map(|problem| problem.severity).max();
    gravest.unwrap_or(Severity::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: &str) -> Problem {
        Problem::new(
            ProblemKind::TaskFailing,
            "tasks/a",
            message,
            Timestamp::UNIX_EPOCH,
        )
    }

    #[test]
    fn a_number_that_moves_is_no_news() {
        assert!(!of("9 days, as of 12:05").is_news_after(&of("10 days, as of 9:59")));
        assert!(of("10 hours").is_news_after(&of("10 days")));
        assert!(of("a").severity(Severity::Warning).is_news_after(&of("a")));
        assert!(!of("-5s of 3/5, 1.5 GiB").is_news_after(&of("-11s of 10/50, 20.25 GiB")));
    }

    #[test]
    fn an_id_that_moves_is_no_news_and_a_name_is() {
        let run = |id: &str| of(&format!("the newest run runs/{id} failed at 12:00:00Z"));
        let (one, other) = (
            run("0192f0c1-9a3b-7cde-8f01-23456789abcd"),
            run("f192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee"),
        );
        assert!(!other.is_news_after(&one));
        assert!(!of("at 3f9ab2c1").is_news_after(&of("at abcdef12")));
        assert!(of("tasks/backup-1 is failing").is_news_after(&of("tasks/backup-2 is failing")));
        assert!(of("tasks/1st is failing").is_news_after(&of("tasks/2nd is failing")));
        assert!(of("on host db1").is_news_after(&of("on host db2")));
    }

    #[test]
    fn each_kind_says_what_to_do() {
        for kind in ProblemKind::ALL {
            assert_eq!(ProblemKind::parse(kind.as_str()), Some(*kind));
            assert_ne!(kind.severity(), Severity::Ok, "{kind}");
            assert!(!kind.advice().is_empty(), "{kind}");
        }
    }
}
