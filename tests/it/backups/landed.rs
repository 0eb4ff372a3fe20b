//! What earlier versions have left on the disk is opened, verified and restored.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use watchbell_client::pb;

use super::{disaster::Saved, restic::Restic, vault::Vault, verdicts::listed};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both, repository::PASSWORD},
};

on_both!(a_repository_of_a_landed_version_is_restored_and_gone_on_with,);

/// What a landed version has left on the disk.
struct Landed {
    version: &'static str,
    /// When it was left.
    at: &'static str,
    sqlite: &'static [u8],
    postgresql: &'static [u8],
    /// Whether it has left an export, too.
    has_export: bool,
}

macro_rules! landed {
    ($version:literal, $at:expr, $has_export:literal) => {
        Landed {
            version: $version,
            at: $at,
            sqlite: include_bytes!(concat!("../../fixtures/", $version, "/sqlite.tar.zst")),
            postgresql: include_bytes!(concat!("../../fixtures/", $version, "/postgresql.tar.zst")),
            has_export: $has_export,
        }
    };
}

const LANDED: [Landed; 3] = [
    landed!(
        "2caa37f",
        include_str!("../../fixtures/2caa37f/left-at"),
        true
    ),
    landed!("de1dc59", "2026-11-30T00:40:00Z", false),
    landed!(
        "76ebb9f",
        include_str!("../../fixtures/76ebb9f/left-at"),
        true
    ),
];

fn unpack(packed: &[u8], into: &Path) {
    let unpacked = zstd::stream::read::Decoder::new(packed).unwrap();
    tar::Archive::new(unpacked).unpack(into).unwrap();
    fs::set_permissions(into, fs::Permissions::from_mode(0o700)).unwrap();
}

async fn a_repository_of_a_landed_version_is_restored_and_gone_on_with(database: Database) {
    for landed in LANDED {
        let version = landed.version;
        let packed = match database.is_postgresql() {
            true => landed.postgresql,
            false => landed.sqlite,
        };
        let left = Site::new(Database::sqlite());
        unpack(packed, left.data());
        if landed.has_export {
            its_export_is_sound(left.data());
        }
        let saved = Saved::of(&left);
        let next = Site::bare(database.empty().await);
        let url = next.database.url();
        let listed = listed(&saved, &next);
        assert_eq!(listed.lines().count(), 2, "{version}: {listed}");

        let done = saved.restore(next.data(), &url, &[]);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{version}: {said}{told}");
        assert!(said.contains("2 documents, 2 contents"), "{said}");
        let own = next.data().join("backups/repository");
        fs::rename(saved.repository(), &own).unwrap();
        next.clock.set(watchbell::clock::wall_now());
        verified_and_gone_on_with(&next, 2).await;
        if let Some(restic) = Restic::at(&own, PASSWORD) {
            restic.finds_it_sound();
        }
    }
}

fn its_export_is_sound(data: &Path) {
    let exports = fs::read_dir(data.join("backups/exports")).unwrap();
    let mut exports = exports.map(|entry| entry.unwrap().path());
    let export = exports.find(|path| path.extension().is_some_and(|end| end == "zst"));
    let verified = watchbell::backup::export::verify(&export.unwrap()).unwrap();
    assert_eq!(verified.findings, [""; 0]);
    assert!(0 < verified.files);
}

#[tokio::test]
async fn a_data_directory_of_a_landed_version_is_served() {
    for landed in LANDED {
        let site = Site::bare(Database::sqlite());
        unpack(landed.sqlite, site.data());
        // Later, what was due meanwhile would be made up for at the same time.
        site.clock.set(landed.at.trim().parse().unwrap());
        verified_and_gone_on_with(&site, 2).await;
    }
}

/// Both points are read, file by file; the newer is drilled; and a further one refers to what is there.
async fn verified_and_gone_on_with(site: &Site, points: usize) {
    let server = site.start().await;
    // After a restore everything is paused.
    let resume = pb::ResumeAllRequest::default();
    drop(server.client.scheduler().resume_all(resume).await);
    let vault = Vault::of(&server, site);
    let mut there = vault.points().await;
    there.retain(|point| point.kind() == pb::BackupKind::Full);
    assert_eq!(there.len(), points, "{there:?}");
    for point in &there {
        let read = vault.verify(&point.name, pb::VerificationLevel::Read).await;
        assert_eq!(read.state(), pb::RunState::Succeeded, "{read:?}");
    }
    let drill = vault.drill().await;
    assert_eq!(drill.state(), pb::RunState::Succeeded, "{drill:?}");
    vault.document("SOP-3", &bytes(9000, 3)).await;
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let drill = vault.drill().await;
    assert_eq!(drill.state(), pb::RunState::Succeeded, "{drill:?}");
    server.stop().await;
}
