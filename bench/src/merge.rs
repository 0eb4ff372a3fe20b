//! `watchbell-bench merge`: figures of single workloads among those of all, and in the tables of BENCHMARKS.md.
//!
//! What was measured anew takes the place of what had its workload, database and metric; each row keeps its own load and
//! commit. All that people wrote around the tables stays.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};

use crate::report::{COLUMNS, Row, missed, table, write_array, write_text};

/// The files whose figures stand in BENCHMARKS.md, and below which heading.
const SECTIONS: [(&str, &str); 3] = [
    ("results", "## The server"),
    ("documents", "## Documents"),
    ("backups", "## Backups"),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What was measured, as --out has it.
    #[arg(required_unless_present = "dropped", value_name = "FILE")]
    parts: Vec<PathBuf>,
    /// All figures: bench/results.json, bench/documents.json or bench/backups.json; the table beside it goes along.
    #[arg(long, value_name = "FILE", default_value = "bench/results.json")]
    into: PathBuf,
    #[arg(long, value_name = "FILE", default_value = "BENCHMARKS.md")]
    page: PathBuf,
    /// Leaves the rows of a workload out, by its name in the table: it is measured in another way now.
    #[arg(long = "drop", value_name = "WORKLOAD")]
    dropped: Vec<String>,
}

pub(crate) fn merge(args: &Args) -> anyhow::Result<()> {
    let into = args.into.display();
    let stem = args.into.file_stem().unwrap_or_default();
    let section = SECTIONS.iter().find(|(of, _)| stem == *of);
    let (_, heading) = section.with_context(|| {
        format!(
            "{}: there is no table for {into} in it",
            args.page.display()
        )
    })?;
    let mut rows = read(&args.into)?;
    for dropped in &args.dropped {
        let before = rows.len();
        rows.retain(|row| row.workload != *dropped);
        if rows.len() == before {
            bail!("{into}: no row is of the workload {dropped:?}");
        }
    }
    for part in &args.parts {
        let newer = read(part)?;
        for old in left(&rows, &newer) {
            eprintln!(
                "{into}: as it was: {} on {}: {}, which {} does not have",
                old.workload,
                old.database,
                old.metric,
                part.display()
            );
        }
        put_all(&mut rows, newer);
    }
    ensure!(!rows.is_empty(), "{into}: no row would be left");
    // All is made before anything is written.
    let beside = args.into.with_extension("md");
    let pages = [(beside, None), (args.page.clone(), Some(*heading))];
    let mut written = Vec::new();
    for (path, heading) in pages {
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("could not read {}", path.display()))?;
        let text = with_rows(&text, heading, &rows);
        written.push((text.with_context(|| path.display().to_string())?, path));
    }
    write_array(&args.into, &rows)?;
    for (text, path) in written {
        write_text(&path, &text)?;
    }
    Ok(())
}

/// The figures of a file.
///
/// # Errors
/// Also where there are none: then nothing was measured, or it is another file than was meant.
fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let about = || format!("could not read {}", path.display());
    let text = fs::read_to_string(path).with_context(about)?;
    let rows: Vec<Row> = serde_json::from_str(&text).with_context(about)?;
    ensure!(!rows.is_empty(), "{} holds no figures", path.display());
    Ok(rows)
}

/// Rows of a workload that was measured anew on the same database, and that were not among it this time.
fn left<'a>(rows: &'a [Row], newer: &[Row]) -> Vec<&'a Row> {
    let is_left = |old: &Row| {
        let of_both = |new: &&Row| old.workload == new.workload && old.database == new.database;
        let mut anew = newer.iter().filter(of_both).peekable();
        anew.peek().is_some() && anew.all(|new| new.metric != old.metric)
    };
    rows.iter().filter(|old| is_left(old)).collect()
}

/// Puts rows where those of the same name are, or behind what is most like them.
fn put_all(rows: &mut Vec<Row>, newer: Vec<Row>) {
    for row in newer {
        let of_workload = |old: &Row| old.workload == row.workload;
        let of_both = |old: &Row| of_workload(old) && old.database == row.database;
        let same = rows
            .iter()
            .position(|old| of_both(old) && old.metric == row.metric);
        if let Some(same) = same {
            rows[same] = row;
            continue;
        }
        let behind = rows
            .iter()
            .rposition(of_both)
            .or_else(|| rows.iter().rposition(of_workload));
        let at = behind.map_or(rows.len(), |behind| behind + 1);
        rows.insert(at, row);
    }
}

/// A text with other rows in its first table of figures, below that heading, and with what they say of targets.
fn with_rows(text: &str, heading: Option<&str>, rows: &[Row]) -> anyhow::Result<String> {
    let lines: Vec<&str> = text.lines().collect();
    let section = match heading {
        Some(heading) => lines.iter().position(|line| *line == heading),
        None => Some(0),
    };
    let section = section.with_context(|| format!("there is no heading {heading:?}"))?;
    let below = &lines[section..];
    // A later section has a table of its own.
    let next = below
        .iter()
        .skip(1)
        .position(|line| line.starts_with("## "));
    let below = &below[..next.map_or(below.len(), |next| next + 1)];
    let begin = below.iter().position(|line| *line == COLUMNS);
    let begin = section + begin.context("there is no table of figures")?;
    let mut end = begin + count(&lines[begin..], |line| line.starts_with('|'));
    let verdict = lines.get(end + 1).copied().unwrap_or_default();
    match verdict {
        "Every target is met." => end += 2,
        _ if verdict.ends_with(" missed:") => {
            end += 3;
            end += count(&lines[end..], |line| line.starts_with("- "));
        }
        _ => bail!("behind the table nothing says which targets are missed"),
    }
    let mut merged = lines[..begin].join("\n");
    merged.push('\n');
    merged.push_str(&table(rows));
    merged.push('\n');
    merged.push_str(&missed(rows));
    merged.push('\n');
    for line in &lines[end..] {
        merged.push_str(line);
        merged.push('\n');
    }
    Ok(merged)
}

/// How many of the first lines are so.
fn count(lines: &[&str], are: impl Fn(&str) -> bool) -> usize {
    lines.iter().take_while(|line| are(line)).count()
}

#[cfg(test)]
mod tests;
