//! Drills, beside restores of the same point by turns: what proves that a restore would do should cost little more than one.
//!
//! - **Files**: few and large ones, all of which a drill takes for its sample. It restores them into a scratch directory and
//!   compares the hash of each with the manifest; the restore puts all into a new directory.
//! - **A SQLite database**: the drill restores the file, opens it and counts the rows of each table; the restore puts
//!   the file into a new directory and counts them, too. Nothing is to be loaded.
//! - **A PostgreSQL database**: both restore the dump and load it into a new database, the drill into a scratch one that
//!   it counts and drops, the restore into one that stays, and is dropped here after the time is taken.

use anyhow::{Context as _, ensure};
use sea_orm::ConnectionTrait as _;
use watchbell_client::pb::VerificationLevel;

use super::{databases::fill, files::count, ours::Ours};
use crate::{
    database::Kind,
    report::{Goal, Report},
    server::Site,
    workload::Scene,
};

const MIB: usize = 300;
/// A drill takes 24 besides the newest, the oldest and the largest.
const FILES: usize = 24;
/// What a drill may take of a restore.
const GOAL: f64 = 1.2;

pub(super) async fn measure(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    // Files are the same on both databases; once is enough.
    if kind == Kind::Sqlite {
        of_files(scene, report).await?;
    }
    of_database(scene, kind, report).await
}

/// Seconds of each.
#[derive(Default)]
struct Pairs {
    drills: Vec<f64>,
    restores: Vec<f64>,
}

impl Pairs {
    fn add(&self, report: &mut Report, name: &str, database: &str) {
        let ratios = self.drills.iter().zip(&self.restores);
        let ratios: Vec<f64> = ratios.map(|(drill, restore)| drill / restore).collect();
        report.add(name, database, ("drill", "s"), &self.drills, Goal::None);
        report.add(name, database, ("restore", "s"), &self.restores, Goal::None);
        let metric = ("drill, of the restore", "times");
        report.add(name, database, metric, &ratios, Goal::AtMost(GOAL));
    }
}

/// A restore point that is drilled and restored by turns.
struct Subject<'a> {
    point: &'a str,
    level: VerificationLevel,
    /// Whether restores load a database.
    loads: bool,
    /// Files and bytes that both have to bring back at least.
    size: (usize, u64),
}

/// Drills and restores a point so many times, who goes first by turns.
async fn by_turns(
    scene: &Scene,
    me: &Ours,
    site: &Site,
    subject: &Subject<'_>,
) -> anyhow::Result<Pairs> {
    let (point, loads) = (subject.point, subject.loads);
    let mut pairs = Pairs::default();
    for repeat in 0..scene.repeats(3) {
        for is_drill in [repeat % 2 == 0, repeat % 2 != 0] {
            if is_drill {
                let (took, found) = me.verify(point, subject.level).await?;
                let restored = found
                    .iter()
                    .find(|one| one.level() == VerificationLevel::Drill);
                let size = restored.map(|one| (one.file_count as usize, one.byte_count as u64));
                expect_size(subject, size.unwrap_or_default()).context("the drill")?;
                pairs.drills.push(took);
                continue;
            }
            let directory = format!("restored-{repeat}");
            let name = format!("bench_{}", uuid::Uuid::now_v7().simple());
            let new = if loads { name.as_str() } else { "" };
            pairs
                .restores
                .push(me.restore_with(point, &directory, new).await?);
            let directory = me.data.join("restores").join(directory);
            expect_size(subject, count(&directory)?).context("the restore")?;
            std::fs::remove_dir_all(&directory)
                .with_context(|| format!("could not remove {}", directory.display()))?;
            if loads {
                let database = site.database.connect(&site.data()).await?;
                let drop = format!("DROP DATABASE {new} WITH (FORCE)");
                database.execute_unprepared(&drop).await?;
                database.close().await?;
            }
        }
    }
    Ok(pairs)
}

/// Fails where less has come back than is compared.
fn expect_size(subject: &Subject<'_>, (files, bytes): (usize, u64)) -> anyhow::Result<()> {
    let (least, least_bytes) = subject.size;
    ensure!(
        least <= files && least_bytes <= bytes,
        "{files} files and {bytes} bytes of {least} and {least_bytes}"
    );
    Ok(())
}

async fn of_files(scene: &Scene, report: &mut Report) -> anyhow::Result<()> {
    let mib = scene.size(MIB, 24);
    let parent = scene.program.parent().context("the program has a folder")?;
    let work = tempfile::Builder::new()
        .prefix("bench-drills-")
        .tempdir_in(parent)?;
    let size = mib * (1 << 20) / FILES;
    for number in 0..FILES {
        let content = noise(number as u64 + 1, size);
        let file = work.path().join(format!("{number:02}"));
        std::fs::write(&file, content).with_context(|| file.display().to_string())?;
    }
    let toml = format!(
        "[log]\nfilter = \"warn\"\n[backups.sources.files]\npaths = [{:?}]\n",
        work.path().display().to_string()
    );
    let site = Site::new(&scene.program, Kind::Sqlite, &toml).await?;
    let me = Ours::start(&site).await?;
    me.policy("bench", "files").await?;
    let (point, _) = me.back_up("bench").await?;
    let subject = Subject {
        point: &point.name,
        level: VerificationLevel::Drill,
        loads: false,
        // All of them are the sample.
        size: (FILES, (FILES * size) as u64),
    };
    let pairs = by_turns(scene, &me, &site, &subject).await?;
    pairs.add(
        report,
        &format!("drill of {FILES} files, {mib} MiB"),
        "files",
    );
    me.server.stop().await?;
    site.remove().await
}

async fn of_database(scene: &Scene, kind: Kind, report: &mut Report) -> anyhow::Result<()> {
    let mib = scene.size(MIB, 10);
    let site = Site::new(&scene.program, kind, "[log]\nfilter = \"warn\"\n").await?;
    let me = Ours::start(&site).await?;
    fill(&site, mib).await?;
    let (point, _) = me.back_up("daily-full").await?;
    let subject = Subject {
        point: &point.name,
        level: VerificationLevel::Database,
        loads: kind == Kind::Postgresql,
        // Nothing of a dump is compressed, and what fills the database is at least half of that.
        size: (1, (mib << 19) as u64),
    };
    let pairs = by_turns(scene, &me, &site, &subject).await?;
    let name = format!("drill of a database of {mib} MiB");
    pairs.add(report, &name, &kind.to_string());
    me.server.stop().await?;
    site.remove().await
}

/// What does not compress.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(size);
    bytes
}
