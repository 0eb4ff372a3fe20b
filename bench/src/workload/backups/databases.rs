//! Backups and restores of the server's own database.

use anyhow::ensure;
use sea_orm::ConnectionTrait as _;
use watchbell_client::pb;

use super::{
    Times,
    files::count,
    ours::{self, Ours},
};
use crate::{
    database::Kind,
    machine,
    report::{Goal, Report},
    server::Site,
    workload::Scene,
};

/// MiB of the database.
const DATABASE: usize = 200;

pub(super) async fn of_database(
    scene: &Scene,
    kind: Kind,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mib = scene.size(DATABASE, 10);
    let site = Site::new(&scene.program, kind, "").await?;
    let me = Ours::start(&site).await?;
    fill(&site, mib).await?;
    let mut times = Times::new();
    for repeat in 0..scene.repeats(3) {
        let (point, took) = me.back_up("daily-full").await?;
        // Nothing of a dump is compressed, and what fills the database is at least so large.
        ensure!(
            (mib << 19) as i64 <= point.dump_bytes,
            "the dump of {mib} MiB has {} bytes",
            point.dump_bytes
        );
        for phase in ["dump", "archive", "read-back"] {
            let name = match phase {
                "dump" => "dump",
                "archive" => "archive",
                _ => "read back",
            };
            times
                .entry(name)
                .or_default()
                .push(ours::step(&point, phase)?);
        }
        times.entry("whole run").or_default().push(took);
        let both = pb::VerificationLevel::Unspecified;
        let (drilled, _) = me.verify(&point.name, both).await?;
        times
            .entry("drill: restored, loaded and counted")
            .or_default()
            .push(drilled);
        let directory = format!("restored-{repeat}");
        let restored = me.restore(&point.name, &directory).await?;
        let (_, bytes) = count(&me.data.join("restores").join(&directory))?;
        ensure!(
            point.dump_bytes as u64 <= bytes,
            "{bytes} bytes came back of a dump of {}",
            point.dump_bytes
        );
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
pub(super) async fn fill(site: &Site, mib: usize) -> anyhow::Result<()> {
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
