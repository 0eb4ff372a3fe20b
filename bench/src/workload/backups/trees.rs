//! Backups and restores of files, beside restic and borg in the same minutes; and how soon a trigger starts while a backup
//! runs.

use std::path::Path;

use anyhow::{Context as _, ensure};
use watchbell_client::pb;

use super::{
    Taken, Times,
    disturbed::disturbed,
    files::{Files, count},
    ours::{Ours, archived},
    restores::{self, RESTORE, SYNCED},
    rivals::{Repository, Rival},
};
use crate::{
    database::Kind,
    machine,
    report::{Goal, Report},
    server::Site,
    workload::{Scene, noop_tasks},
};

const READ: &str = "all data read";
/// What ours may take of restic's.
const OF_BACKUP: f64 = 1.1;
const OF_RESTORE: f64 = 1.0;

pub(super) async fn of_files(
    scene: &Scene,
    number: usize,
    mib: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let parent = scene.program.parent().context("the program has a folder")?;
    let work = tempfile::Builder::new()
        .prefix("bench-files-")
        .tempdir_in(parent)?;
    let mut rivals = vec![Rival::Restic, Rival::Borg];
    for gone in rivals.extract_if(.., |rival| !rival.is_here()) {
        eprintln!("   {} is not here: no row has it", gone.name());
    }
    let mut taken = Taken {
        ours: Times::new(),
        whole: Times::new(),
        theirs: rivals.iter().map(|_| Times::new()).collect(),
    };
    let (mut peaks, mut waits) = (Vec::new(), Vec::new());
    for repeat in 0..scene.repeats(3) {
        let place = work.path().join(format!("{repeat}"));
        let files = Files::make(place.join("files"), number, mib)?;
        let more = Files::make(place.join("more"), number, mib)?;
        more.renew(repeat as u64 + 1_000)?;
        let toml = format!(
            "{}\n[backups.sources.files]\npaths = [{:?}]\n[backups.sources.more]\npaths = [{:?}]\n",
            noop_tasks("trigger", 1, "overlap = \"allow\""),
            files.folder.display().to_string(),
            more.folder.display().to_string(),
        );
        let site = Site::new(&scene.program, Kind::Sqlite, &toml).await?;
        let me = Ours::start(&site).await?;
        me.policy("bench", "files").await?;
        me.policy("more", "more").await?;
        let mut others = Vec::new();
        for rival in &rivals {
            others.push(rival.repository(place.join(rival.name()))?);
        }
        work_on(&me, &files, &mut others, (&place, repeat), &mut taken).await?;
        peaks.push(machine::peak_mib(me.server.id())?);
        waits.push(disturbed(&me).await?);
        me.server.stop().await?;
        site.remove().await?;
        let removed = std::fs::remove_dir_all(&place);
        removed.with_context(|| format!("could not remove {}", place.display()))?;
    }
    let name = format!("backup of {number} files and links, {mib} MiB");
    rows(report, &name, &rivals, &taken);
    let metric = ("peak memory of the server", "MiB");
    report.add(&name, "files", metric, &peaks, Goal::AtMost(320.0));
    let metric = ("trigger → start beside a backup, p99", "ms");
    report.add(&name, "files", metric, &waits, Goal::AtMost(10.0));
    Ok(())
}

/// Backs the files up thrice, reads all of that, and restores it.
async fn work_on(
    me: &Ours,
    files: &Files,
    others: &mut [Repository],
    (place, repeat): (&Path, usize),
    taken: &mut Taken,
) -> anyhow::Result<()> {
    let mut point = String::new();
    for (step, version) in [
        ("first", 0),
        ("unchanged", 0),
        ("1 % changed", repeat as u64 + 1),
    ] {
        if 0 < version {
            files.change(version)?;
        }
        // Read once before, so that nobody pays for a cold cache.
        count(&files.folder)?;
        // Who goes first changes from repeat to repeat.
        let me_first = repeat % 2 == 0;
        if me_first {
            point = back_up(me, files, step, taken).await?;
        }
        for (other, times) in others.iter_mut().zip(&mut taken.theirs) {
            let took = other.back_up(&files.folder)?;
            times.entry(step).or_default().push(took);
        }
        if !me_first {
            point = back_up(me, files, step, taken).await?;
        }
    }
    let (read, found) = me.verify(&point, pb::VerificationLevel::Read).await?;
    let most = found.iter().map(|one| one.file_count).max();
    expect_files(files, most.unwrap_or(0))?;
    taken.ours.entry(READ).or_default().push(read);
    for (other, times) in others.iter().zip(&mut taken.theirs) {
        times.entry(READ).or_default().push(other.check()?);
    }
    // Here, too, who goes first changes from repeat to repeat.
    restores::by_turns(me, (point.as_str(), files), others, (place, repeat), taken).await
}

/// Backs the files up by ours; the point.
async fn back_up(
    me: &Ours,
    files: &Files,
    step: &'static str,
    taken: &mut Taken,
) -> anyhow::Result<String> {
    let (made, took) = me.back_up("bench").await?;
    expect_files(files, made.file_count)?;
    taken.ours.entry(step).or_default().push(archived(&made)?);
    taken.whole.entry(step).or_default().push(took);
    Ok(made.name)
}

/// Fails where so many cannot be all of the files. What is compared after the restore tells of each.
fn expect_files(files: &Files, of: i64) -> anyhow::Result<()> {
    // Links are no files; at least nine of ten entries have a content.
    let least = files.count as i64 / 10 * 9;
    ensure!(least <= of, "{of} files of {} were met", files.count);
    Ok(())
}

/// Notes seconds and ratios. Each ratio is of one repeat.
fn rows(report: &mut Report, name: &str, rivals: &[Rival], taken: &Taken) {
    let mut add = |metric: &str, unit, values: &[f64], goal| {
        report.add(name, "files", (metric, unit), values, goal);
    };
    for (step, ours) in &taken.ours {
        add(&format!("{step}, ours"), "s", ours, Goal::None);
        for (rival, times) in rivals.iter().zip(&taken.theirs) {
            let theirs = of(times, step);
            let whose = rival.name();
            add(&format!("{step}, {whose}"), "s", theirs, Goal::None);
            if *rival != Rival::Restic || *step == READ {
                continue;
            }
            let is_restore = *step == RESTORE;
            let goal = Goal::AtMost(if is_restore { OF_RESTORE } else { OF_BACKUP });
            let metric = format!("{step}, ours of restic's");
            add(&metric, "times", &ratios(ours, theirs), goal);
            if is_restore {
                let synced = of(times, SYNCED);
                add("restore, restic, synced", "s", synced, Goal::None);
                let metric = "restore, ours of restic's, synced";
                add(metric, "times", &ratios(ours, synced), goal);
            }
        }
    }
    for (step, whole) in &taken.whole {
        let metric = format!("{step}, ours with check, manifest and read-back");
        add(&metric, "s", whole, Goal::None);
    }
}

/// What a step took, in each repeat; of none there is nothing, which is an error of the report.
fn of<'a>(times: &'a Times, step: &str) -> &'a [f64] {
    times.get(step).map_or(&[] as &[f64], Vec::as_slice)
}

fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    let both = ours.iter().zip(theirs);
    both.map(|(ours, theirs)| ours / theirs).collect()
}
