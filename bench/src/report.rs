//! What was measured, beside what should be.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::{database::Kind, figures, machine};

/// What a figure must reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Only to be known.
    None,
}

/// One figure: a line of `results.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) database: String,
    pub(crate) metric: String,
    unit: String,
    /// Of the repeats.
    median: f64,
    /// Least and most of the repeats.
    spread: [f64; 2],
    target: Option<String>,
    /// Whether the median reaches the target.
    met: Option<bool>,
    repeats: usize,
    /// Load average of one minute when the figure was noted.
    load: f64,
    /// What was measured; none where nobody has noted it.
    commit: Option<String>,
}

#[cfg(test)]
impl Row {
    /// Whether it reaches its target, where it has one.
    pub(crate) fn is_met(&self) -> bool {
        self.met != Some(false)
    }
}

/// All figures so far.
#[derive(Debug)]
pub(crate) struct Report {
    rows: Vec<Row>,
    printed: usize,
    commit: Option<String>,
    /// Names of figures that were to be noted, and rest on nothing.
    empty: Vec<String>,
}

impl Report {
    /// Begins a report on the code of a commit.
    pub(crate) fn on(commit: Option<String>) -> Self {
        Self {
            rows: Vec::new(),
            printed: 0,
            commit,
            empty: Vec::new(),
        }
    }

    /// Notes the values of a figure, one of each repeat. Where there are none, or one is of nothing, it is no row, and
    /// [`Report::check`] fails.
    pub(crate) fn add(
        &mut self,
        workload: impl ToString,
        database: impl ToString,
        (metric, unit): (&str, &'static str),
        values: &[f64],
        goal: Goal,
    ) {
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            self.empty.push(format!(
                "{} on {}: {metric}: {values:?} {unit}",
                workload.to_string(),
                database.to_string()
            ));
            return;
        }
        let median = figures::median(values);
        let (target, met) = match goal {
            Goal::AtMost(most) => (Some(format!("≤ {}", number(most))), Some(median <= most)),
            Goal::AtLeast(least) => (Some(format!("≥ {}", number(least))), Some(least <= median)),
            Goal::None => (None, None),
        };
        self.rows.push(Row {
            workload: workload.to_string(),
            database: database.to_string(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            median: rounded(median),
            spread: [figures::least(values), figures::most(values)].map(rounded),
            target,
            met,
            repeats: values.len(),
            load: machine::load_now(),
            commit: self.commit.clone(),
        });
    }

    /// Notes something that must not happen at all, in any repeat.
    pub(crate) fn never(
        &mut self,
        workload: impl ToString,
        kind: Kind,
        metric: &str,
        values: &[f64],
    ) {
        let known = self.rows.len();
        self.add(workload, kind, (metric, "count"), values, Goal::AtMost(0.0));
        if let Some(row) = self.rows.get_mut(known) {
            row.met = Some(figures::most(values) == 0.0);
        }
    }

    /// Fails where a figure was to be noted of which nothing was measured.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if !self.empty.is_empty() {
            bail!("nothing was measured of: {}", self.empty.join("; "));
        }
        Ok(())
    }

    /// Replaces the file by what is known now, and beside it the same as a table, in Markdown.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        write_array(path, &self.rows)?;
        write_text(&path.with_extension("md"), &self.page())
    }

    /// The table, with what it says and where it comes from.
    fn page(&self) -> String {
        format!("# Figures\n{}\n{}\n", self.table(), self.missed())
    }

    /// Prints what was added since the last time.
    pub(crate) fn print_newest(&mut self) {
        for row in &self.rows[self.printed..] {
            println!("{}", line(row));
        }
        self.printed = self.rows.len();
    }

    /// A table for people, in Markdown: the median of the repeats, and the least and the most of them.
    pub(crate) fn table(&self) -> String {
        format!(
            "\n{}; load average at the end {}. \"load\" is the load average of one minute when the figure \
             was noted, with what the measurement itself takes.\n\n{}",
            machine::describe(),
            machine::load(),
            table(&self.rows)
        )
    }

    /// Which targets were missed.
    pub(crate) fn missed(&self) -> String {
        missed(&self.rows)
    }
}

/// What a table of figures begins with.
pub(crate) const COLUMNS: &str =
    "| workload | database | metric | median | spread | target | met | repeats | load | commit |";

/// The lines of a table, each with its end.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!("{COLUMNS}\n|---|---|---|---:|---:|---:|---|---:|---:|---|\n");
    for row in rows {
        let _ = writeln!(text, "{}", line(row));
    }
    text
}

/// Which targets are missed.
pub(crate) fn missed(rows: &[Row]) -> String {
    let missed: Vec<&Row> = rows.iter().filter(|row| row.met == Some(false)).collect();
    let mut text = match missed.len() {
        0 => return "Every target is met.".to_owned(),
        1 => "One target is missed:\n".to_owned(),
        more => format!("{more} targets are missed:\n"),
    };
    for row in missed {
        let _ = write!(
            text,
            "\n- {} on {}: {} is {} {}, not {}",
            row.workload,
            row.database,
            row.metric,
            number(row.median),
            row.unit,
            row.target.as_deref().unwrap_or_default()
        );
    }
    text
}

/// Writes an array of objects, one a line.
pub(crate) fn write_array<T: Serialize>(path: &Path, objects: &[T]) -> anyhow::Result<()> {
    let lines: Vec<String> = objects
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<_, _>>()?;
    write_text(path, &format!("[\n  {}\n]\n", lines.join(",\n  ")))
}

pub(crate) fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}

fn line(row: &Row) -> String {
    let met = match row.met {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "",
    };
    format!(
        "| {} | {} | {} | {} {} | {} – {} | {} | {met} | {} | {:.1} | {} |",
        row.workload,
        row.database,
        row.metric,
        number(row.median),
        row.unit,
        number(row.spread[0]),
        number(row.spread[1]),
        row.target.as_deref().unwrap_or_default(),
        row.repeats,
        row.load,
        row.commit.as_deref().unwrap_or_default()
    )
}

/// Three figures that count, and no more digits than that takes.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if 100.0 <= large => format!("{value:.0}"),
        middle if 10.0 <= middle => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_no_row_and_an_error() {
        let mut report = Report::on(None);
        report.add("one", "sqlite", ("known", "ms"), &[1.0, 3.0], Goal::None);
        report.check().unwrap();
        let nothing = [figures::most(&[])];
        report.add("one", "sqlite", ("late", "ms"), &nothing, Goal::AtMost(5.0));
        report.never("one", Kind::Sqlite, "lost", &[]);
        assert_eq!(report.rows.len(), 1);
        assert!(report.rows[0].is_met(), "of another figure");
        let error = report.check().unwrap_err().to_string();
        assert!(error.contains("one on sqlite: late: [NaN] ms"), "{error}");
        assert!(error.contains("one on sqlite: lost: [] count"), "{error}");
    }
}
