//! What backups, plans and restores hold in memory for each file: the most that a server had in each of them, started anew
//! before it, by how many files there were.

use std::{fs, path::Path};

use anyhow::Context as _;
use watchbell_client::pb;

use super::Ours;
use crate::{
    database::Kind,
    machine,
    report::{Goal, Report},
    server::Site,
    workload::Scene,
};

/// Files of each set.
const SIZES: [usize; 3] = [100_000, 300_000, 1_000_000];
const QUICK: [usize; 2] = [20_000, 60_000];
/// Files in a folder.
const IN_A_FOLDER: usize = 100;
/// Bytes that a file may add.
const GOAL: f64 = 250.0;
const MIB: f64 = 1024.0 * 1024.0;

/// What is done with the files.
const STEPS: [Step; 5] = [
    Step::First,
    Step::Unchanged,
    Step::Plan,
    Step::Restore,
    Step::Read,
];

#[derive(Clone, Copy)]
enum Step {
    First,
    Unchanged,
    Plan,
    Restore,
    Read,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::First => "first backup",
            Self::Unchanged => "unchanged backup",
            Self::Plan => "plan of a restore",
            Self::Restore => "restore",
            Self::Read => "all data read",
        }
    }
}

/// Measures files that are all alike, so that the library's index stays small and what grows is ours; and files that all
/// differ, where it grows as well.
pub(in crate::workload) async fn measure(scene: &Scene, report: &mut Report) -> anyhow::Result<()> {
    let sizes: &[usize] = if scene.quick { &QUICK } else { &SIZES };
    for is_alike in [true, false] {
        let mut peaks: Vec<[f64; STEPS.len()]> = Vec::new();
        for files in sizes {
            peaks.push(of_files(scene, *files, is_alike).await?);
        }
        let kind = if is_alike { "alike" } else { "different" };
        for (at, step) in STEPS.iter().enumerate() {
            for (files, peaks) in sizes.iter().zip(&peaks) {
                let name = format!("{files} files, {kind}");
                let what = format!("{}, memory beyond what it had before", step.name());
                report.add(&name, "files", (&what, "MiB"), &[peaks[at]], Goal::None);
            }
            for (two, sizes) in peaks.windows(2).zip(sizes.windows(2)) {
                let grown = (two[1][at] - two[0][at]) * MIB;
                let slope = grown / (sizes[1] - sizes[0]) as f64;
                let name = format!("{} to {} files, {kind}", sizes[0], sizes[1]);
                let what = format!("{}, memory for each file", step.name());
                let goal = match is_alike {
                    true => Goal::AtMost(GOAL),
                    false => Goal::None,
                };
                report.add(&name, "files", (&what, "B"), &[slope], goal);
            }
        }
    }
    Ok(())
}

/// MiB that each step takes.
async fn of_files(
    scene: &Scene,
    files: usize,
    is_alike: bool,
) -> anyhow::Result<[f64; STEPS.len()]> {
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
    let mut took = [0.0; STEPS.len()];
    let mut point = String::new();
    for (took, step) in took.iter_mut().zip(STEPS) {
        let me = Ours::start(&site).await?;
        let process = me.server.id();
        let before = machine::resident_mib(process)?;
        match step {
            Step::First | Step::Unchanged => {
                if matches!(step, Step::First) {
                    me.policy("bench", "files").await?;
                }
                point = me.back_up("bench").await?.0.name;
            }
            Step::Plan => {
                me.plan(&point, "planned").await?;
            }
            Step::Restore => {
                me.restore(&point, "restored").await?;
            }
            Step::Read => {
                me.verify(&point, pb::VerificationLevel::Read).await?;
            }
        }
        *took = machine::peak_mib(process)? - before;
        eprintln!("   {files} files: {}: {took:.1} MiB", step.name());
        me.server.stop().await?;
    }
    site.remove().await?;
    Ok(took)
}

/// Small files in folders of a hundred.
fn make(folder: &Path, files: usize, is_alike: bool) -> anyhow::Result<()> {
    for number in 0..files {
        let folder = folder.join(format!("{:05}", number / IN_A_FOLDER));
        if number % IN_A_FOLDER == 0 {
            fs::create_dir_all(&folder)?;
        }
        let content = match is_alike {
            true => "the same in each\n".to_owned(),
            false => format!("file {number}\n"),
        };
        fs::write(folder.join(format!("document-{number:07}.txt")), content)?;
    }
    Ok(())
}
