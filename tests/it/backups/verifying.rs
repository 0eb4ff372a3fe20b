//! Verification: what counts as restorable, and what a flipped byte comes to at each level.

use std::{
    fs,
    path::{Path, PathBuf},
};

use watchbell_client::pb;

use super::{likeness::source, restic::Restic, vault::Vault};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both, until},
};

on_both!(
    a_drill_restores_files_and_database_and_then_a_point_is_restorable,
    a_flipped_byte_is_found_by_reading_and_drilling_and_freezes_retention,
    a_point_that_was_found_damaged_counts_for_nothing_until_it_is_whole_again,
    damage_that_reading_has_found_is_told_until_that_part_is_whole,
    what_older_points_have_lost_keeps_no_new_one_from_being_good,
    what_holds_no_database_does_not_stand_for_the_server,
    every_part_of_the_repository_is_read_in_turn,
);

async fn a_drill_restores_files_and_database_and_then_a_point_is_restorable(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    for number in 1..=5 {
        vault
            .document(&format!("SOP-{number}"), &bytes(10_000, number))
            .await;
    }
    vault.back_up("daily-full").await;

    let run = vault.drill().await;

    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let point = vault.newest().await;
    assert!(point.drill_time.is_some(), "{point:?}");
    let (_, evidence) = vault.point(&point.name).await;
    let passed = |level: pb::VerificationLevel| {
        evidence.iter().any(|one| {
            one.level() == level
                && one.result() == pb::VerificationResult::Passed
                && one.run == run.name
        })
    };
    assert!(passed(pb::VerificationLevel::Drill), "{evidence:?}");
    assert!(passed(pb::VerificationLevel::Database), "{evidence:?}");
    let figures = vault.statistics().await;
    assert_eq!(figures.restorable_as_of_time, point.freeze_time);
    assert!(0 < figures.drill_bytes_per_second);
    assert!(figures.measured_rto.is_some() && figures.measured_rpo.is_some());
    vault.leaves_nothing_behind(&site).await;
    server.stop().await;
}

async fn a_flipped_byte_is_found_by_reading_and_drilling_and_freezes_retention(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(300_000, 7)).await;
    vault.back_up("daily-full").await;
    let point = vault.newest().await;
    flip(&vault.repository());

    let read = vault.verify(&point.name, pb::VerificationLevel::Read).await;
    assert_eq!(read.state(), pb::RunState::Failed, "{read:?}");
    let drill = vault
        .verify(&point.name, pb::VerificationLevel::Drill)
        .await;
    assert_eq!(drill.state(), pb::RunState::Failed, "{drill:?}");

    let (_, evidence) = vault.point(&point.name).await;
    let failed: Vec<&pb::BackupEvidence> = evidence
        .iter()
        .filter(|one| one.result() == pb::VerificationResult::Failed)
        .collect();
    assert_eq!(failed.len(), 2, "{evidence:?}");
    assert!(
        failed
            .iter()
            .all(|one| one.message.contains("/content/") || one.message.contains("/database/")),
        "it names the file: {failed:?}"
    );
    server.problem("backup.verification_failed").await;
    let plan = vault.plan_retention().await;
    assert!(
        plan.frozen_message.contains("the last drill failed"),
        "{plan:?}"
    );
    server.stop().await;
}

async fn a_point_that_was_found_damaged_counts_for_nothing_until_it_is_whole_again(
    database: Database,
) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(900_000, 7)).await;
    vault.back_up("daily-full").await;
    let first = vault.newest().await;
    vault.drill().await;
    let flipped = flip(&vault.repository());

    vault.verify(&first.name, pb::VerificationLevel::Read).await;

    let (damaged, _) = vault.point(&first.name).await;
    assert!(damaged.damage_time.is_some(), "{damaged:?}");
    assert!(damaged.damage.contains("/content/"), "{damaged:?}");
    assert_eq!((damaged.verify_time, damaged.drill_time), (None, None));
    let figures = vault.statistics().await;
    assert_eq!(figures.last_success_hours_ago, None, "{figures:?}");
    assert_eq!(figures.restorable_as_of_time, None, "{figures:?}");
    let problem = server.problem("backup.damaged").await;
    assert_eq!(problem.severity(), pb::Severity::Critical, "{problem:?}");

    // What is stored already is not stored again, so that the next point is damaged like this one: it says so.
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    let (next, _) = vault.point(&vault.newest().await.name).await;
    assert_eq!(next.state(), pb::RestorePointState::Partial, "{next:?}");
    assert!(next.missing[0].path.contains("/content/"), "{next:?}");
    assert_eq!(vault.statistics().await.last_success_hours_ago, None);

    flip_in(&flipped);
    let read = vault.verify(&first.name, pb::VerificationLevel::Read).await;
    assert_eq!(read.state(), pb::RunState::Succeeded, "{read:?}");
    let (whole, _) = vault.point(&first.name).await;
    assert_eq!(whole.damage_time, None, "{whole:?}");
    assert!(whole.verify_time.is_some(), "{whole:?}");
    assert!(vault.statistics().await.last_success_hours_ago.is_some());
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    server.stop().await;
}

async fn damage_that_reading_has_found_is_told_until_that_part_is_whole(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(900_000, 7)).await;
    vault.back_up("daily-full").await;
    let point = vault.newest().await;
    let flipped = flip(&vault.repository());
    let mut failed = false;
    for _ in 1..=28 {
        let run = server.trigger("verify-backups").await;
        failed = server.ended(&run.name).await.state() == pb::RunState::Failed;
        if failed {
            break;
        }
    }
    assert!(failed, "every part was read");

    // A new backup is read back, which says nothing of what lies elsewhere.
    let run = vault.back_up("pre-deployment").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    server.problem("backup.verification_failed").await;

    // The next look is at the same part, and at the point; the one after that drills it.
    flip_in(&flipped);
    for _ in 1..=2 {
        let run = vault.verify_by_schedule().await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    }
    let (point, _) = vault.point(&point.name).await;
    assert_eq!(point.damage_time, None, "{point:?}");
    assert!(point.drill_time.is_some(), "{point:?}");
    until("the problem to end", async || {
        let problems = server.status().await.problems;
        let there = problems
            .iter()
            .any(|problem| problem.r#type == "backup.verification_failed");
        (!there).then_some(())
    })
    .await;
    server.stop().await;
}

async fn what_older_points_have_lost_keeps_no_new_one_from_being_good(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(900_000, 7)).await;
    vault.back_up("daily-full").await;
    let first = vault.newest().await;
    let password = fs::read_to_string(site.data().join("backups/password")).unwrap();
    let Some(restic) = Restic::at(&vault.repository(), password.trim()) else {
        return server.stop().await;
    };
    // As the README says: what is damaged goes, and the index forgets it.
    fs::remove_file(largest(&vault.repository())).unwrap();
    restic.must(&["rebuild-index"]);

    let run = vault.back_up("daily-full").await;

    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let next = vault.newest().await;
    assert_eq!(next.state(), pb::RestorePointState::Complete, "{next:?}");
    assert!(next.verify_time.is_some(), "{next:?}");
    let read = vault.verify(&next.name, pb::VerificationLevel::Read).await;
    assert_eq!(read.state(), pb::RunState::Succeeded, "{read:?}");
    // What was lost is told for as long as a snapshot refers to it.
    server.problem("backup.verification_failed").await;
    let read = vault.verify(&first.name, pb::VerificationLevel::Read).await;
    assert_eq!(read.state(), pb::RunState::Failed, "{read:?}");
    assert_eq!(vault.newest().await.damage_time, None);
    let cleanup = server.trigger("backup-cleanup").await;
    let cleanup = server.ended(&cleanup.name).await;
    assert_eq!(cleanup.outcome(), pb::RunOutcome::Partial, "{cleanup:?}");
    assert!(
        cleanup.message.contains("nothing was pruned"),
        "{cleanup:?}"
    );
    server.stop().await;
}

async fn what_holds_no_database_does_not_stand_for_the_server(database: Database) {
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("index.html"), "hello").unwrap();
    let site = Site::configured(database, &source("www", files.path())).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("www", &["www"]).await;
    vault.back_up("www").await;
    let before = vault.newest().await;
    vault.back_up("daily-full").await;
    let own = vault.newest().await;
    site.clock.advance(jiff::SignedDuration::from_hours(1));
    vault.back_up("www").await;
    let other = vault.newest().await;
    assert_ne!(other.freeze_time, own.freeze_time);

    let run = vault.verify_by_schedule().await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");

    for (point, drilled) in [(&own, true), (&other, true), (&before, false)] {
        let (point, _) = vault.point(&point.name).await;
        assert_eq!(point.drill_time.is_some(), drilled, "{point:?}");
    }
    let figures = vault.statistics().await;
    assert_eq!(figures.restorable_as_of_time, own.freeze_time);
    assert_eq!(figures.last_success_hours_ago, Some(1.0));
    assert_eq!(vault.point("restorePoints/latest").await.0.name, own.name);
    server.stop().await;
}

async fn every_part_of_the_repository_is_read_in_turn(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    assert_eq!(vault.statistics().await.read_coverage_percent, 0.0);
    for _ in 1..=28 {
        let run = vault.verify_by_schedule().await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    }
    // Figures may be a quarter of a second old.
    until("all of it to be read", async || {
        (vault.statistics().await.read_coverage_percent == 100.0).then_some(())
    })
    .await;
    server.stop().await;
}

/// Changes a byte in the middle of the largest pack, and says which one that is.
pub(super) fn flip(repository: &Path) -> PathBuf {
    let largest = largest(repository);
    flip_in(&largest);
    largest
}

/// Every pack of a repository.
pub(super) fn packs(repository: &Path) -> Vec<PathBuf> {
    let mut packs: Vec<PathBuf> = Vec::new();
    for shelf in fs::read_dir(repository.join("data")).unwrap() {
        for pack in fs::read_dir(shelf.unwrap().path()).unwrap() {
            packs.push(pack.unwrap().path());
        }
    }
    packs
}

pub(super) fn largest(repository: &Path) -> PathBuf {
    packs(repository)
        .into_iter()
        .max_by_key(|pack| fs::metadata(pack).unwrap().len())
        .unwrap()
}

/// Changes that byte, or changes it back.
pub(super) fn flip_in(pack: &Path) {
    let mut bytes = fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(pack, mode).unwrap();
    fs::write(pack, bytes).unwrap();
}
