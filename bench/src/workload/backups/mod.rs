//! Backups of files, first, unchanged and with 1 % changed, checks and restores, beside restic and borg in the same
//! minutes; the dump and restore of a database; and how soon a trigger starts while a backup runs.

mod files;
pub(super) mod memory;
mod rivals;

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use sea_orm::ConnectionTrait as _;
use watchbell_client::{client::Client, pb};

use self::{
    files::{Files, count},
    rivals::{Repository, Rival},
};
use super::{Scene, noop_tasks};
use crate::{
    calls::{entered_at, millis},
    database::Kind,
    figures, machine,
    report::{Goal, Report},
    server::{Server, Site},
};

/// Seconds, by what was done.
type Times = BTreeMap<&'static str, Vec<f64>>;

/// Files and MiB of each set.
const SETS: [(usize, usize); 2] = [(2_000, 300), (40_000, 2_048)];
const QUICK: [(usize, usize); 1] = [(400, 30)];
/// MiB of the database.
const DATABASE: usize = 200;

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    // Files are the same on both databases; once is enough.
    if kind == Kind::Sqlite {
        let sets: &[(usize, usize)] = if scene.quick { &QUICK } else { &SETS };
        for (files, mib) in sets {
            of_files(scene, *files, *mib, report).await?;
        }
    }
    of_database(scene, kind, report).await
}

/// The real server, and what is asked of its backups.
struct Ours {
    server: Server,
    client: Client,
    data: PathBuf,
}

impl Ours {
    async fn start(site: &Site) -> anyhow::Result<Self> {
        let server = site.start().await?;
        let client = Client::connect(&server.endpoint, &server.token).await?;
        Ok(Self {
            server,
            client,
            data: site.data(),
        })
    }

    async fn policy(&self, id: &str, source: &str) -> anyhow::Result<()> {
        let request = pb::CreateBackupPolicyRequest {
            policy_id: id.to_owned(),
            policy: Some(pb::BackupPolicy {
                kind: pb::BackupKind::Full.into(),
                sources: vec![source.to_owned()],
                retention: Some(pb::RetentionPolicy {
                    keep_last: 10,
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        self.client.backups().create_backup_policy(request).await?;
        Ok(())
    }

    /// Runs the policy; the point, and the seconds of the whole run.
    async fn back_up(&self, policy: &str) -> anyhow::Result<(pb::RestorePoint, f64)> {
        let request = pb::RunBackupRequest {
            name: format!("backupPolicies/{policy}"),
            ..Default::default()
        };
        let run = self
            .client
            .backups()
            .run_backup(request)
            .await?
            .into_inner()
            .run;
        let took = self.ended(run).await?;
        let request = pb::ListRestorePointsRequest {
            page_size: 1,
            ..Default::default()
        };
        let points = self
            .client
            .backups()
            .list_restore_points(request)
            .await?
            .into_inner();
        let newest = points
            .restore_points
            .first()
            .context("a point")?
            .name
            .clone();
        let request = pb::GetRestorePointRequest { name: newest };
        let point = self
            .client
            .backups()
            .get_restore_point(request)
            .await?
            .into_inner();
        Ok((point.restore_point.context("a point")?, took))
    }

    /// Seconds of reading every file of a point and comparing its hash.
    async fn verify(&self, point: &str, level: pb::VerificationLevel) -> anyhow::Result<f64> {
        let request = pb::VerifyRestorePointRequest {
            name: point.to_owned(),
            level: level.into(),
            ..Default::default()
        };
        let run = self
            .client
            .backups()
            .verify_restore_point(request)
            .await?
            .into_inner()
            .run;
        self.ended(run).await
    }

    async fn plan(&self, point: &str, name: &str) -> anyhow::Result<pb::PlanRestoreResponse> {
        let request = pb::PlanRestoreRequest {
            restore_point: point.to_owned(),
            directory: name.to_owned(),
            ..Default::default()
        };
        let mut backups = self.client.backups();
        Ok(backups.plan_restore(request).await?.into_inner())
    }

    /// Seconds of a restore, from the call to its end, without the plan.
    async fn restore(&self, point: &str, name: &str) -> anyhow::Result<f64> {
        let plan = self.plan(point, name).await?;
        let request = pb::ExecuteRestoreRequest {
            token: plan.token,
            ..Default::default()
        };
        let run = self
            .client
            .backups()
            .execute_restore(request)
            .await?
            .into_inner()
            .run;
        self.ended(run).await
    }

    async fn ended(&self, run: Option<pb::Run>) -> anyhow::Result<f64> {
        let name = run.context("a run")?.name;
        let began = Instant::now();
        let run = self.client.follow_backup(&name, |_| {}).await?;
        let took = began.elapsed().as_secs_f64();
        if run.state() != pb::RunState::Succeeded {
            bail!("{name}: {}", run.message);
        }
        Ok(took)
    }
}

async fn of_files(
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
        let restored = me.restore(&point, &format!("restored-{repeat}")).await?;
        ours.entry("restore").or_default().push(restored);
        let (files_back, _) = count(&me.data.join(format!("restores/restored-{repeat}")))?;
        if files_back != number {
            bail!("{files_back} of {number} files came back");
        }
        for (other, times) in others.iter().zip(&mut theirs) {
            times
                .entry("all data read")
                .or_default()
                .push(other.check()?);
            let into = place.join(format!("back-{repeat}"));
            times
                .entry("restore")
                .or_default()
                .push(other.restore(&into)?);
            std::fs::remove_dir_all(&into)?;
        }
        peaks.push(machine::peak_mib(me.server.id())?);
        waits.push(disturbed(&me).await?);
        drop::<Vec<Repository>>(others);
        me.server.stop().await?;
        site.remove().await?;
        std::fs::remove_dir_all(&place)?;
    }
    let name = format!("backup of {number} files, {mib} MiB");
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

/// Seconds of the archive itself.
fn archived(point: &pb::RestorePoint) -> f64 {
    step(point, "archive")
}

fn step(point: &pb::RestorePoint, phase: &str) -> f64 {
    let of = point.phases.iter().filter(|one| one.phase == phase);
    of.filter_map(|one| one.duration.as_ref())
        .map(|took| took.seconds as f64 + f64::from(took.nanos) / 1e9)
        .sum()
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

async fn of_database(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let mib = scene.size(DATABASE, 10);
    let site = Site::new(&scene.program, kind, "").await?;
    let me = Ours::start(&site).await?;
    fill(&site, mib).await?;
    let mut times = Times::new();
    for repeat in 0..scene.repeats(3) {
        let (point, took) = me.back_up("daily-full").await?;
        for phase in ["dump", "archive", "read-back"] {
            let name = match phase {
                "dump" => "dump",
                "archive" => "archive",
                _ => "read back",
            };
            times.entry(name).or_default().push(step(&point, phase));
        }
        times.entry("whole run").or_default().push(took);
        let drilled = me
            .verify(&point.name, pb::VerificationLevel::Unspecified)
            .await?;
        times
            .entry("drill: restored, loaded and counted")
            .or_default()
            .push(drilled);
        let restored = me
            .restore(&point.name, &format!("restored-{repeat}"))
            .await?;
        times
            .entry("restore into a directory")
            .or_default()
            .push(restored);
    }
    let name = format!("backup of a database of {mib} MiB");
    for (step, times) in &times {
        report.add(&name, kind, (step, "s"), times, Goal::None);
    }
    let peak = machine::peak_mib(me.server.id())?;
    report.add(
        &name,
        kind,
        ("peak memory of the server", "MiB"),
        &[peak],
        Goal::AtMost(320.0),
    );
    me.server.stop().await?;
    site.remove().await
}

/// Rows that compress to half.
async fn fill(site: &Site, mib: usize) -> anyhow::Result<()> {
    let db = site.database.connect(&site.data()).await?;
    db.execute_unprepared("CREATE TABLE ballast (id INTEGER PRIMARY KEY, text TEXT)")
        .await?;
    let mut state = 1_u64;
    let mut number = 0;
    for _ in 0..mib {
        let mut rows = Vec::new();
        for _ in 0..256 {
            number += 1;
            let mut text = String::with_capacity(4096);
            while text.len() < 4000 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                text.push_str(&format!("{state:016x} and a word or two "));
            }
            rows.push(format!("({number}, '{text}')"));
        }
        let insert = format!("INSERT INTO ballast (id, text) VALUES {}", rows.join(", "));
        db.execute_unprepared(&insert).await?;
    }
    db.close().await?;
    Ok(())
}
