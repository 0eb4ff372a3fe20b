//! What backups, plans and restores hold in memory for each file, in the server and in the process that works on the
//! repository: the most that each had in a step, with the server started anew before it, by how many files there were.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use watchbell_client::pb;

use super::ours::Ours;
use crate::{
    database::Kind,
    figures,
    helpers::Helpers,
    machine,
    report::{Goal, Report},
    server::Site,
    workload::Scene,
};

/// Files of each set. A million of each kind take half an hour.
const SIZES: [usize; 2] = [100_000, 300_000];
const QUICK: [usize; 2] = [20_000, 60_000];
/// Files in a folder.
const IN_A_FOLDER: usize = 100;
/// Bytes that a file may add, beyond what the library's index takes.
const GOAL: f64 = 250.0;
/// MiB of the process that reads for a plan, of each of two at once.
const PLAN: f64 = 64.0;
const MIB: f64 = 1024.0 * 1024.0;

/// What is done with files that are alike, whose index stays small: what grows is ours.
const ALIKE: [Step; 3] = [Step::First, Step::Unchanged, Step::Plans];
/// What is done with files that differ, whose index grows with them.
const DIFFERENT: [Step; 6] = [
    Step::First,
    Step::Unchanged,
    Step::Index,
    Step::Plans,
    Step::Restore,
    Step::Read,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    First,
    Unchanged,
    /// One directory looked into: the process holds the whole index, and next to nothing besides.
    Index,
    /// Two plans at once.
    Plans,
    Restore,
    Read,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::First => "first backup",
            Self::Unchanged => "unchanged backup",
            Self::Index => "the index, and one directory",
            Self::Plans => "each of two plans of restores at once",
            Self::Restore => "restore",
            Self::Read => "all data read",
        }
    }
}

/// MiB of a step.
#[derive(Clone, Copy, Debug)]
struct Peak {
    /// Beyond what the server had before.
    server: f64,
    /// Of the greatest of its helpers, with its program.
    helper: f64,
}

/// Measures files that are all alike, and files that all differ.
pub(in crate::workload) async fn measure(scene: &Scene, report: &mut Report) -> anyhow::Result<()> {
    let sizes = if scene.quick { QUICK } else { SIZES };
    for (kind, steps) in [("alike", &ALIKE[..]), ("different", &DIFFERENT[..])] {
        let mut peaks = Vec::new();
        for files in sizes {
            peaks.push(of_files(scene, files, kind == "alike", steps).await?);
        }
        for (files, peaks) in sizes.iter().zip(&peaks) {
            let name = format!("{files} files, {kind}");
            for (step, peak) in steps.iter().zip(peaks) {
                let mut add = |who: &str, value, goal| {
                    let what = format!("{}, {who}", step.name());
                    report.add(&name, "files", (&what, "MiB"), &[value], goal);
                };
                add(
                    "the server beyond what it had before",
                    peak.server,
                    Goal::None,
                );
                let goal = match (*step, kind) {
                    (Step::Plans, "different") => Goal::AtMost(PLAN),
                    _ => Goal::None,
                };
                add("its helper", peak.helper, goal);
            }
        }
        slopes(report, kind, steps, sizes, &peaks);
    }
    Ok(())
}

/// What each further file adds.
fn slopes(report: &mut Report, kind: &str, steps: &[Step], sizes: [usize; 2], peaks: &[Vec<Peak>]) {
    let [fewer, more] = peaks else { return };
    let files = (sizes[1] - sizes[0]) as f64;
    let slope = |at: usize, of: fn(&Peak) -> f64| (of(&more[at]) - of(&fewer[at])) * MIB / files;
    let index = steps.iter().position(|step| *step == Step::Index);
    let index = index.map(|at| slope(at, |peak| peak.helper));
    let name = format!("{} to {} files, {kind}", sizes[0], sizes[1]);
    for (at, step) in steps.iter().enumerate() {
        let mut add = |who: &str, value, goal| {
            let what = format!("{}, {who} for each file", step.name());
            report.add(&name, "files", (&what, "B"), &[value], goal);
        };
        let helper = slope(at, |peak| peak.helper);
        add(
            "the server",
            slope(at, |peak| peak.server),
            Goal::AtMost(GOAL),
        );
        match index {
            None => add("its helper", helper, Goal::AtMost(GOAL)),
            Some(_) if *step == Step::Index => add("its helper", helper, Goal::None),
            Some(index) => {
                add("its helper", helper, Goal::None);
                add(
                    "its helper beyond the index,",
                    helper - index,
                    Goal::AtMost(GOAL),
                );
            }
        }
    }
}

/// What each step takes.
async fn of_files(
    scene: &Scene,
    files: usize,
    is_alike: bool,
    steps: &[Step],
) -> anyhow::Result<Vec<Peak>> {
    let parent = scene.program.parent().context("the program has a folder")?;
    let work = tempfile::Builder::new()
        .prefix("bench-memory-")
        .tempdir_in(parent)?;
    make(work.path(), files, is_alike)?;
    let toml = format!(
        "[backups.sources.files]\npaths = [{:?}]\n",
        work.path().display().to_string()
    );
    let site = Site::new(&scene.program, Kind::Sqlite, &toml).await?;
    let mut peaks = Vec::new();
    let mut point = String::new();
    for step in steps {
        let me = Ours::start(&site).await?;
        let process = me.server.id();
        let before = machine::resident_mib(process)?;
        let helpers = Helpers::of(process);
        match step {
            Step::First | Step::Unchanged => {
                if *step == Step::First {
                    me.policy("bench", "files").await?;
                }
                let (made, _) = me.back_up("bench").await?;
                all_in(files, made.file_count)?;
                point = made.name;
            }
            Step::Index => me.look_into(&point).await?,
            Step::Plans => {
                let both = tokio::try_join!(me.plan(&point, "one"), me.plan(&point, "other"))?;
                all_in(files, both.0.file_count.min(both.1.file_count))?;
            }
            Step::Restore => {
                me.restore(&point, "restored").await?;
            }
            Step::Read => {
                let read = pb::VerificationLevel::Read;
                let (_, found) = me.verify(&point, read).await?;
                let most = found.iter().map(|one| one.file_count).max();
                all_in(files, most.unwrap_or(0))?;
            }
        }
        let helper = figures::most(&helpers.peaks()?);
        ensure!(0.0 < helper, "{}: no helper was seen", step.name());
        let server = machine::peak_mib(process)? - before;
        let name = step.name();
        eprintln!("   {files} files: {name}: server {server:.1} MiB, helper {helper:.1} MiB");
        peaks.push(Peak { server, helper });
        me.server.stop().await?;
    }
    site.remove().await?;
    Ok(peaks)
}

/// Fails where a step was about fewer files than it is to be.
fn all_in(files: usize, of: i64) -> anyhow::Result<()> {
    ensure!(files as i64 <= of, "{of} of {files} files");
    Ok(())
}

/// Small files in folders of a hundred.
fn make(folder: &Path, files: usize, is_alike: bool) -> anyhow::Result<()> {
    for number in 0..files {
        let folder = folder.join(format!("{:05}", number / IN_A_FOLDER));
        if number % IN_A_FOLDER == 0 {
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        let content = match is_alike {
            true => "the same in each\n".to_owned(),
            false => format!("file {number}\n"),
        };
        let file = folder.join(format!("document-{number:07}.txt"));
        fs::write(&file, content).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
