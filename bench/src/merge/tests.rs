//! Merges of copies of the committed figures.

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
    assert!(left(&all, &part).is_empty());
    assert_eq!(left(&all, &part[1..]).len(), 1);
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
    args.parts = Vec::new();
    args.dropped = vec!["trigger".to_owned()];
    merge(&args).unwrap();
    let page = fs::read_to_string(&args.page).unwrap();
    assert!(!page.contains("\n| trigger | sqlite |"));
    let again = merge(&args).unwrap_err().to_string();
    assert!(again.contains("results.json: no row"), "{again}");
}

#[test]
fn what_cannot_be_merged_is_named_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let names = copy(folder.path());
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let before: Vec<String> = names.iter().map(|name| text(name)).collect();
    fs::write(folder.path().join("none.json"), "[]").unwrap();
    fs::write(folder.path().join("other.json"), "{}").unwrap();
    for (into, part, expected) in [
        ("results.json", "none.json", "none.json holds no figures"),
        ("results.json", "other.json", "could not read "),
        ("results.json", "gone.json", "gone.json"),
        ("none.json", "results.json", "none.json in it"),
    ] {
        let error = merge(&args(folder.path(), into, part)).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(expected), "{error}");
        assert!(
            error.contains(&folder.path().display().to_string()),
            "{error}"
        );
    }
    for (name, before) in names.iter().zip(before) {
        assert!(text(name) == before, "{name} is another now");
    }
}
