//! Copies in the second location: what is copied, what is found there beside it, and what a person has copied.

use std::{
    fs::{self, File},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use watchbell::clock::Clock as _;
use watchbell_client::pb;

use super::{
    archives::{archived, restored, with_archive, with_archive_and},
    faulty::{Fault, Faulty, Gate},
    likeness::source,
    vault::Vault,
    verdicts::{Row, id},
    verifying::{flip, flip_in, largest},
};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both, until},
};

on_both!(
    what_a_run_finds_damaged_in_an_archive_is_told_of_the_points_that_it_is_of,
    a_copy_that_is_gone_is_told_by_the_run_that_meets_it,
    what_was_found_damaged_while_an_archive_was_opened_is_not_copied,
    what_is_not_complete_is_not_archived,
    what_a_person_has_copied_without_its_markers_stays_and_counts_once_it_was_read,
);

fn snapshots(vaults: &Path) -> Vec<std::path::PathBuf> {
    let there = fs::read_dir(vaults.join("repository/snapshots")).unwrap();
    there.map(|entry| entry.unwrap().path()).collect()
}

/// Makes another point with more in it, and drills it.
async fn another(vault: &Vault<'_>) {
    vault.server.advance(60);
    vault.document("SOP-2", &bytes(200_000, 2)).await;
    vault.back_up("daily-full").await;
    vault.drill().await;
}

async fn what_a_run_finds_damaged_in_an_archive_is_told_of_the_points_that_it_is_of(
    database: Database,
) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(1_500_000, 1)).await;
    vault.back_up("daily-full").await;
    vault.back_up("monthly-archive").await;
    let first = archived(&vault).await.pop().unwrap();
    assert!(first.verify_time.is_some(), "{first:?}");
    another(&vault).await;
    fs::remove_file(largest(&vaults.path().join("repository"))).unwrap();

    let run = vault.begin("monthly-archive").await.unwrap();
    let run = vault.settled(&run.name).await;

    assert!(run.message.contains("the archive is damaged"), "{run:?}");
    let (first, _) = vault.point(&first.name).await;
    assert!(first.damage_time.is_some(), "{first:?}");
    assert_eq!(first.verify_time, None);
    server.stop().await;
}

async fn a_copy_that_is_gone_is_told_by_the_run_that_meets_it(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    vault.back_up("monthly-archive").await;
    let row = Row::of(&site, "archive").await;
    let first = archived(&vault).await.pop().unwrap();
    another(&vault).await;
    vault.back_up("monthly-archive").await;
    assert_eq!(archived(&vault).await.len(), 2);
    let gone = vaults.path().join("repository/snapshots");
    fs::remove_file(gone.join(row.said("snapshot"))).unwrap();

    let run = vault.back_up("monthly-archive").await;

    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    assert!(run.message.contains("is archived already"), "{run:?}");
    let told = format!("{} is not in the repository any more", first.name);
    assert!(run.message.contains(&told), "{run:?}");
    // It is known from then on.
    let run = vault.back_up("monthly-archive").await;
    assert_eq!(run.outcome(), pb::RunOutcome::NothingToDo, "{run:?}");
    server.stop().await;
}

async fn what_was_found_damaged_while_an_archive_was_opened_is_not_copied(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let mut site = with_archive(database, vaults.path());
    let faults = Faulty::default();
    site.repositories = Arc::new(faults.clone());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(1_500_000, 1)).await;
    vault.back_up("daily-full").await;
    vault.drill().await;
    let point = vault.newest().await;
    let archive = vaults.path().join("repository");
    until("the server to have looked whether it opens", async || {
        faults.has_opened(&archive).then_some(())
    })
    .await;
    let gate = Arc::new(Gate::default());
    faults.will("open", Fault::Wait(gate.clone()));
    let run = vault.begin("monthly-archive").await.unwrap();
    until("the archive to be opened", async || {
        gate.is_reached().then_some(())
    })
    .await;

    let flipped = flip(&vault.repository());
    vault.verify(&point.name, pb::VerificationLevel::Read).await;
    flip_in(&flipped);
    gate.open();

    let run = vault.settled(&run.name).await;
    assert!(
        run.message.contains("counts as restorable no more"),
        "{run:?}"
    );
    assert_ne!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert!(archived(&vault).await.is_empty());
    server.stop().await;
}

async fn what_is_not_complete_is_not_archived(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    let site = with_archive_and(database, vaults.path(), &source("www", files.path()));
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("files", &["database", "www"]).await;
    // Nothing is in it yet.
    let run = vault.back_up("files").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    let drilled = async |name: &str| {
        vault.verify(name, pb::VerificationLevel::Unspecified).await;
        vault.point(name).await.0.drill_time.is_some()
    };
    assert!(drilled(&vault.newest().await.name).await);
    let run = vault.back_up("monthly-archive").await;
    assert_eq!(run.state(), pb::RunState::Failed, "{run:?}");
    assert!(run.message.contains("no good restore point"), "{run:?}");

    server.advance(60);
    vault.back_up("daily-full").await;
    let complete = vault.newest().await;
    assert!(drilled(&complete.name).await);
    server.advance(60);
    vault.back_up("files").await;
    let partial = vault.newest().await;
    assert_eq!(partial.state(), pb::RestorePointState::Partial);
    assert!(drilled(&partial.name).await);

    let run = vault.back_up("monthly-archive").await;

    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let copies = archived(&vault).await.into_iter();
    let copies: Vec<String> = copies.map(|copy| copy.source_point).collect();
    assert_eq!(copies, [complete.name]);
    server.stop().await;
}

async fn what_a_person_has_copied_without_its_markers_stays_and_counts_once_it_was_read(
    database: Database,
) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    vault.back_up("daily-full").await;
    let point = vault.newest().await;
    // It is of three days ago when it is copied.
    let mut scheduler = server.client.scheduler();
    let pause = pb::PauseAllRequest::default();
    scheduler.pause_all(pause).await.unwrap();
    server.advance(3 * 86_400);
    let resume = pb::ResumeAllRequest::default();
    scheduler.resume_all(resume).await.unwrap();
    vault.back_up("monthly-archive").await;
    let copy = Row::of(&site, "archive").await;
    let copied = [copy.said("snapshot"), copy.said("manifest_snapshot")];
    for path in snapshots(vaults.path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match copied.contains(&name) {
            true => {
                let now = SystemTime::from(server.clock.now());
                File::open(&path).unwrap().set_modified(now).unwrap();
            }
            false => fs::remove_file(&path).unwrap(),
        }
    }
    copy.forget().await;
    assert!(archived(&vault).await.is_empty());
    let next = Site::bare(site.database.empty().await);
    let listed = || restored(vaults.path(), &next, &["--list"]);
    assert!(listed().trim_end().ends_with("never verified"));

    let cleanup = server.trigger("backup-cleanup").await;
    let cleanup = server.ended(&cleanup.name).await;

    assert_eq!(cleanup.state(), pb::RunState::Succeeded, "{cleanup:?}");
    assert_eq!(snapshots(vaults.path()).len(), 2, "{cleanup:?}");
    // There is nothing newer to drill, which it complains about: this is of another.
    let run = vault.verify_by_schedule().await;
    let found = archived(&vault).await;
    assert_eq!(found.len(), 1, "{run:?}");
    assert_eq!(found[0].source_point, point.name);
    assert!(found[0].verify_time.is_some(), "{found:?} {run:?}");
    let listed = listed();
    assert!(!listed.contains("never verified"), "{listed}");
    assert!(listed.contains(&id(&point)), "{listed}");
    server.stop().await;
}
