//! What was measured, beside what should be.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;
use serde::Serialize;

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
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    workload: String,
    database: String,
    metric: String,
    unit: &'static str,
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
}

/// All figures so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    printed: usize,
}

impl Report {
    /// Notes the values of a figure, one of each repeat.
    pub(crate) fn add(
        &mut self,
        workload: impl ToString,
        database: impl ToString,
        (metric, unit): (&str, &'static str),
        values: &[f64],
        goal: Goal,
    ) {
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
            unit,
            median: rounded(median),
            spread: [figures::least(values), figures::most(values)].map(rounded),
            target,
            met,
            repeats: values.len(),
            load: machine::load_now(),
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
        self.add(workload, kind, (metric, "count"), values, Goal::AtMost(0.0));
        if let Some(row) = self.rows.last_mut() {
            row.met = Some(figures::most(values) == 0.0);
        }
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
        let mut text = format!(
            "\n{}; load average at the end {}. \"load\" is the load average of one minute when the figure \
             was noted, with what the measurement itself takes.\n\n",
            machine::describe(),
            machine::load()
        );
        text.push_str(
            "| workload | database | metric | median | spread | target | met | repeats | load |\n",
        );
        text.push_str("|---|---|---|---:|---:|---:|---|---:|---:|\n");
        for row in &self.rows {
            let _ = writeln!(text, "{}", line(row));
        }
        text
    }

    /// Which targets were missed.
    pub(crate) fn missed(&self) -> String {
        let missed: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| row.met == Some(false))
            .collect();
        if missed.is_empty() {
            return "Every target is met.".to_owned();
        }
        let mut text = match missed.len() {
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
        "| {} | {} | {} | {} {} | {} – {} | {} | {met} | {} | {:.1} |",
        row.workload,
        row.database,
        row.metric,
        number(row.median),
        row.unit,
        number(row.spread[0]),
        number(row.spread[1]),
        row.target.as_deref().unwrap_or_default(),
        row.repeats,
        row.load
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
