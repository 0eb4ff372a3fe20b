//! Aligned columns without lines, which people can read and `awk` can cut.

use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, presets};
use watchbell_client::pb::{RunOutcome, RunState, Severity};

use crate::{label::Labelled as _, output::Tint, text::plain};

/// A table, or a list of labels and values.
#[derive(Debug)]
pub(crate) struct Table {
    inner: comfy_table::Table,
    /// Columns that are never broken: what people copy.
    whole: Vec<usize>,
    last: Last,
}

/// What the last column does where the terminal is narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// All columns share what there is.
    Shares,
    /// It wraps, and the others are left whole.
    Wraps,
    /// It is cut: the whole of it is to be seen elsewhere.
    IsCut,
}

/// Below this, a last column is not worth its place.
const LAST_AT_LEAST: u16 = 16;

/// Titles of columns that hold names and instants.
const WHOLE: [&str; 11] = [
    "POINT",
    "POLICY",
    "RUN",
    "TASK",
    "SUBJECT",
    "KIND",
    "REPLICA",
    "LOCAL TIME",
    "UTC",
    "ROUND",
    "DOCUMENT",
];

/// A cell: safe text in a tint.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    text: String,
    tint: Tint,
}

impl Table {
    /// A table under a header.
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut table = Self::list();
        table.inner.set_header(
            header
                .iter()
                .map(|title| Cell::new(title).add_attribute(Attribute::Bold)),
        );
        let whole = header
            .iter()
            .enumerate()
            .filter(|(_, title)| WHOLE.contains(title));
        table.whole = whole.map(|(index, _)| index).collect();
        table.last = match header.last() {
            Some(&("MESSAGE" | "DESCRIPTION" | "TITLE")) => Last::IsCut,
            Some(&("NOTES" | "WHY" | "COMMENT")) => Last::Wraps,
            _ => Last::Shares,
        };
        table
    }

    /// Labels and values.
    pub(crate) fn list() -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(presets::NOTHING);
        Self {
            inner,
            whole: Vec::new(),
            last: Last::Shares,
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, fields: [Field; N]) {
        self.inner.add_row(fields.map(Field::into_cell));
    }

    /// A label and its value; left out where there is none.
    pub(crate) fn entry(&mut self, label: &str, value: impl Into<Field>) {
        let value = value.into();
        if value.text.is_empty() || value.text == "-" {
            return;
        }
        let label = Field::tinted(&format!("{label}:"), Tint::Faint);
        self.row([label, value]);
    }

    /// The text: as wide as the terminal if it goes there, and unbroken elsewhere.
    pub(crate) fn render(mut self, terminal: bool, colored: bool) -> String {
        self.inner
            .set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = self.inner.width().filter(|_| terminal) {
            self.fit(width);
        }
        self.inner.force_no_tty();
        if colored {
            self.inner.enforce_styling();
        }
        for (index, column) in self.inner.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            if self.whole.contains(&index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        self.inner.trim_fmt()
    }
}

impl Table {
    /// Makes the table as wide as the terminal, where that leaves it readable.
    fn fit(&mut self, width: u16) {
        let widths = self.inner.column_max_content_widths();
        let others = widths.len().saturating_sub(1);
        let taken: u16 = widths.iter().take(others).map(|width| width + 2).sum();
        let left = width.saturating_sub(taken);
        match self.last {
            Last::Shares => {}
            // The terminal wraps whole lines: better than a column of single letters.
            Last::Wraps if left < LAST_AT_LEAST => return,
            Last::Wraps => self.whole = (0..others).collect(),
            Last::IsCut => {
                self.whole = (0..others).collect();
                if left < LAST_AT_LEAST
                    && let Some(column) = self.inner.column_mut(others)
                {
                    column.set_constraint(ColumnConstraint::Hidden);
                }
                self.inner.set_truncation_indicator("…");
                for row in self.inner.row_iter_mut() {
                    row.max_height(1);
                }
            }
        }
        self.inner.set_width(width.max(taken));
        self.inner
            .set_content_arrangement(ContentArrangement::Dynamic);
    }
}

impl Field {
    pub(crate) fn tinted(text: &str, tint: Tint) -> Self {
        Self {
            text: plain(text),
            tint,
        }
    }

    /// Where a run stands, and what it did.
    pub(crate) fn state(state: RunState, outcome: RunOutcome) -> Self {
        let text = match outcome {
            RunOutcome::Unspecified | RunOutcome::Worked => state.label().to_owned(),
            RunOutcome::NothingToDo | RunOutcome::Partial => {
                format!("{} ({})", state.label(), outcome.label())
            }
        };
        let tint = match state {
            RunState::Succeeded if outcome == RunOutcome::Partial => Tint::Warning,
            RunState::Succeeded => Tint::Good,
            RunState::Failed | RunState::TimedOut | RunState::Expired | RunState::Abandoned => {
                Tint::Bad
            }
            RunState::RetryWait | RunState::Cancelled => Tint::Warning,
            RunState::Unspecified | RunState::Queued | RunState::Running => Tint::Plain,
        };
        Self::tinted(&text, tint)
    }

    pub(crate) fn severity(severity: Severity) -> Self {
        Self::tinted(severity.label(), tint_of(severity))
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn tint(&self) -> Tint {
        self.tint
    }

    fn into_cell(self) -> Cell {
        let cell = Cell::new(self.text);
        match self.tint {
            Tint::Plain => cell,
            Tint::Good => cell.fg(comfy_table::Color::DarkGreen),
            Tint::Warning => cell.fg(comfy_table::Color::DarkYellow),
            Tint::Bad => cell.fg(comfy_table::Color::DarkRed),
            Tint::Faint => cell.add_attribute(Attribute::Dim),
        }
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::tinted(text, Tint::Plain)
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for Field {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

/// UNSPECIFIED is not good.
pub(crate) fn tint_of(severity: Severity) -> Tint {
    match severity {
        Severity::Ok => Tint::Good,
        Severity::Warning | Severity::Unspecified => Tint::Warning,
        Severity::Critical => Tint::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["TASK", "STATE"]);
        let state = Field::state(RunState::Succeeded, RunOutcome::Partial);
        table.row(["backup-daily".into(), state]);
        table.row(["x\u{1b}[31m\ny".into(), "-".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_text_is_escaped() {
        assert_eq!(
            table().render(false, false),
            "TASK            STATE\n\
             backup-daily    succeeded (partial)\n\
             x\\u{1b}[31m\\ny  -"
        );
    }

    #[test]
    fn colors_come_only_when_asked_for() {
        assert!(!table().render(false, false).contains('\u{1b}'));
        assert!(table().render(false, true).contains('\u{1b}'));
    }

    #[test]
    fn entries_without_a_value_are_left_out() {
        let mut list = Table::list();
        list.entry("name", "a");
        list.entry("reason", "");
        list.entry("finished", "-");
        assert_eq!(list.render(false, false), "name:  a");
    }
}
