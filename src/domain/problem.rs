//! Something that someone should look at, until alerts exist.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::text::text_enum;

text_enum! {
    /// How grave something is. Later is graver.
    Severity {
        Ok = "ok",
        Warning = "warning",
        Critical = "critical",
    }
}

/// Something that someone should look at. (`kind`, `subject`) is its identity: it is open once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    pub severity: Severity,
    /// Lower-case words with dots, such as `slot.late`.
    pub kind: String,
    /// What has it: `tasks/{task}`, `database`, `disk`, …
    pub subject: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub action: String,
    pub since: Timestamp,
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
