//! Backups and restores of files, beside restic and borg in the same minutes; and how soon a trigger starts while a backup
//! runs.

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use watchbell_client::pb;

use super::{
    Times,
    files::{Files, count},
    ours::{Ours, archived},
    rivals::{Repository, Rival},
};
use crate::{
    calls::{entered_at, millis},
    database::Kind,
    figures, machine,
    report::{Goal, Report},
    server::Site,
    workload::{Scene, noop_tasks},
};

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
    let rivals: Vec<Rival> = [Rival::Restic, Rival::Borg]
        .into_iter()
        .filter(|rival| rival.is_here())
        .collect();
    let (mut ours, mut whole) = (Times::new(), Times::new());
    let mut theirs: Vec<Times> = rivals.iter().map(|_| Times::new()).collect();
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
            let turn = |of: &mut Times, took: f64| of.entry(step).or_default().push(took);
            // Who goes first changes from repeat to repeat.
            let me_first = repeat % 2 == 0;
            if me_first {
                let (made, took) = me.back_up("bench").await?;
                turn(&mut ours, archived(&made));
                turn(&mut whole, took);
                point = made.name;
            }
            for (other, times) in others.iter_mut().zip(&mut theirs) {
                turn(times, other.back_up(&files.folder)?);
            }
            if !me_first {
                let (made, took) = me.back_up("bench").await?;
                turn(&mut ours, archived(&made));
                turn(&mut whole, took);
                point = made.name;
            }
        }
        let read = me.verify(&point, pb::VerificationLevel::Read).await?;
        ours.entry("all data read").or_default().push(read);
        for (other, times) in others.iter().zip(&mut theirs) {
            times
                .entry("all data read")
                .or_default()
                .push(other.check()?);
        }
        // Here, too, who goes first changes from repeat to repeat.
        let mut turns: Vec<Option<usize>> = (0..others.len()).map(Some).collect();
        turns.insert(if repeat % 2 == 0 { 0 } else { turns.len() }, None);
        for turn in turns {
            let Some(at) = turn else {
                let name = format!("restored-{repeat}");
                let took = me.restore(&point, &name).await?;
                ours.entry("restore").or_default().push(took);
                let back = me.data.join("restores").join(name);
                files.compare(&back, true).context("ours")?;
                continue;
            };
            let into = place.join(format!("back-{repeat}"));
            let took = others[at].restore(&into)?;
            theirs[at].entry("restore").or_default().push(took);
            if rivals[at] == Rival::Restic {
                let has_holes = rivals[at].knows_holes();
                files.compare(&into, has_holes).context("restic")?;
            }
            std::fs::remove_dir_all(&into)?;
        }
        peaks.push(machine::peak_mib(me.server.id())?);
        waits.push(disturbed(&me).await?);
        drop::<Vec<Repository>>(others);
        me.server.stop().await?;
        site.remove().await?;
        std::fs::remove_dir_all(&place)?;
    }
    let name = format!("backup of {number} files and links, {mib} MiB");
    for (step, times) in &ours {
        report.add(
            &name,
            "files",
            (&format!("{step}, ours"), "s"),
            times,
            Goal::None,
        );
        for (rival, theirs) in rivals.iter().zip(&theirs) {
            let theirs = theirs.get(step).map_or(&[] as &[f64], Vec::as_slice);
            report.add(
                &name,
                "files",
                (&format!("{step}, {}", rival.name()), "s"),
                theirs,
                Goal::None,
            );
            if *rival == Rival::Restic && *step != "all data read" {
                let ratios: Vec<f64> = times
                    .iter()
                    .zip(theirs)
                    .map(|(ours, theirs)| ours / theirs)
                    .collect();
                let goal = if *step == "restore" { 1.0 } else { 1.1 };
                report.add(
                    &name,
                    "files",
                    (&format!("{step}, ours of restic's"), "times"),
                    &ratios,
                    Goal::AtMost(goal),
                );
            }
        }
    }
    for (step, times) in &whole {
        report.add(
            &name,
            "files",
            (
                &format!("{step}, ours with check, manifest and read-back"),
                "s",
            ),
            times,
            Goal::None,
        );
    }
    report.add(
        &name,
        "files",
        ("peak memory of the server", "MiB"),
        &peaks,
        Goal::AtMost(320.0),
    );
    report.add(
        &name,
        "files",
        ("trigger → start beside a backup, p99", "ms"),
        &waits,
        Goal::AtMost(10.0),
    );
    Ok(())
}

/// Triggers for as long as a first backup runs: the p99 from the call to the handler's entry.
async fn disturbed(me: &Ours) -> anyhow::Result<f64> {
    let client = me.server.connect().await?;
    let request = pb::RunBackupRequest {
        name: "backupPolicies/more".to_owned(),
        ..Default::default()
    };
    let run = me
        .client
        .backups()
        .run_backup(request)
        .await?
        .into_inner()
        .run;
    let run = run.context("a run")?.name;
    let mut waits = Vec::new();
    loop {
        let called_at = Timestamp::now();
        let triggered = client.trigger("trigger-00000").await?;
        let triggered = client.ended(&triggered.name).await?;
        let entered = entered_at(&triggered).context("a handler that says when it was entered")?;
        let get = pb::GetRunRequest { name: run.clone() };
        let state = client
            .runs()
            .get_run(get)
            .await?
            .into_inner()
            .run
            .context("a run")?;
        if state.finish_time.is_some() {
            break;
        }
        waits.push(millis(called_at, entered));
    }
    if waits.len() < 20 {
        bail!("the backup was over after {} triggers", waits.len());
    }
    Ok(figures::percentile(&waits, 99.0))
}
