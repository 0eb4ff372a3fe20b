//! `watchbell-bench merge`: figures of single workloads among those of all, and in the tables of BENCHMARKS.md.
//!
//! What was measured anew takes the place of what had its workload, database and metric; each row keeps its own load and
//! commit. All that people wrote around the tables stays.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

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
    #[arg(required = true, value_name = "FILE")]
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
    let stem = args.into.file_stem().unwrap_or_default();
    let section = SECTIONS.iter().find(|(of, _)| stem == *of);
    let (_, heading) = section.context("BENCHMARKS.md has no table of that file")?;
    let mut rows = read(&args.into)?;
    for dropped in &args.dropped {
        let before = rows.len();
        rows.retain(|row| row.workload != *dropped);
        if rows.len() == before {
            bail!("no row is of the workload {dropped:?}");
        }
    }
    for part in &args.parts {
        put_all(&mut rows, read(part)?);
    }
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

fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let about = || format!("could not read {}", path.display());
    let text = fs::read_to_string(path).with_context(about)?;
    serde_json::from_str(&text).with_context(about)
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
mod tests {
    use super::*;

    /// This repository.
    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// The committed figures, in a place where they can be changed.
    fn copy(into: &Path) -> Vec<&'static str> {
        let mut names = vec!["BENCHMARKS.md"];
        fs::copy(root().join("BENCHMARKS.md"), into.join("BENCHMARKS.md")).unwrap();
        for name in [
            "results.json",
            "results.md",
            "documents.json",
            "documents.md",
            "backups.json",
            "backups.md",
        ] {
            fs::copy(root().join("bench").join(name), into.join(name)).unwrap();
            names.push(name);
        }
        names
    }

    fn args(folder: &Path, into: &str, part: &str) -> Args {
        Args {
            parts: vec![folder.join(part)],
            into: folder.join(into),
            page: folder.join("BENCHMARKS.md"),
            dropped: Vec::new(),
        }
    }

    #[test]
    fn figures_merged_into_themselves_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let names = copy(folder.path());
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let before: Vec<String> = names.iter().map(|name| text(name)).collect();
        for (stem, _) in SECTIONS {
            let file = format!("{stem}.json");
            merge(&args(folder.path(), &file, &file)).unwrap();
        }
        for (name, before) in names.iter().zip(before) {
            assert!(text(name) == before, "{name} is another now");
        }
    }

    #[test]
    fn what_was_measured_anew_takes_its_place_and_the_rest_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        copy(folder.path());
        let all = read(&folder.path().join("results.json")).unwrap();
        let of_trigger = |row: &&Row| row.workload == "trigger" && row.database == "sqlite";
        let mut part: Vec<Row> = all.iter().filter(of_trigger).cloned().collect();
        let known = part.len();
        assert!(0 < known);
        let mut other = part[0].clone();
        other.metric = "of another kind".to_owned();
        part.push(other);
        let text = serde_json::to_string(&part)
            .unwrap()
            .replace("\"commit\":\"", "\"commit\":\"anew ");
        // One that is missed from now on.
        let text = text.replacen("\"met\":true", "\"met\":false", 1);
        fs::write(folder.path().join("part.json"), text).unwrap();
        merge(&args(folder.path(), "results.json", "part.json")).unwrap();

        let merged = read(&folder.path().join("results.json")).unwrap();
        assert_eq!(merged.len(), all.len() + 1);
        let page = fs::read_to_string(folder.path().join("BENCHMARKS.md")).unwrap();
        assert_eq!(page.matches("| anew ").count(), known + 1);
        let lines: Vec<&str> = page.lines().collect();
        let new = lines
            .iter()
            .position(|line| line.contains("of another kind"));
        let before = lines[new.unwrap() - 1];
        assert!(before.starts_with("| trigger | sqlite |"), "{before}");
        let missed_before = all.len() - all.iter().filter(|row| row.is_met()).count();
        let told = format!("{} targets are missed:", missed_before + 1);
        assert_eq!(page.matches(&told).count(), 1, "{told}");
        assert_eq!(page.matches("\n- trigger on sqlite: ").count(), 1);
    }

    #[test]
    fn a_workload_that_is_measured_in_another_way_goes() {
        let folder = tempfile::tempdir().unwrap();
        copy(folder.path());
        let mut args = args(folder.path(), "results.json", "results.json");
        fs::write(folder.path().join("none.json"), "[]").unwrap();
        args.parts = vec![folder.path().join("none.json")];
        args.dropped = vec!["trigger".to_owned()];
        merge(&args).unwrap();
        let page = fs::read_to_string(&args.page).unwrap();
        assert!(!page.contains("\n| trigger | sqlite |"));
        let again = merge(&args).unwrap_err();
        assert!(again.to_string().contains("no row"), "{again}");
    }
}
