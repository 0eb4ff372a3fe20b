//! Points that a repository holds and the database does not know, and those that it knows and no repository holds.

use std::{fs, path::Path};

use sea_orm::{ConnectionTrait as _, Statement};
use watchbell_client::pb;

use super::{
    archives::{archive_toml, archived, restored, with_archive},
    disaster::copy,
    vault::Vault,
    verifying::flip,
};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both},
};

on_both!(
    a_point_that_the_database_does_not_know_is_found_and_read,
    a_copy_that_the_database_does_not_know_is_found_and_not_made_twice,
    what_is_not_in_the_archive_any_more_is_not_archived_already,
    an_instance_that_came_from_an_archive_archives_to_it,
    what_its_repository_calls_damaged_is_so_by_whichever_ids,
);

/// Takes rows of points of a kind out of the database, as where it is older than they are.
pub(super) async fn forget(site: &Site, kind: &str) {
    let db = site.database.connect(site.data()).await;
    let delete = format!("DELETE FROM restore_points WHERE kind = '{kind}'");
    db.execute_unprepared(&delete).await.unwrap();
}

fn snapshots(repository: &Path) -> usize {
    fs::read_dir(repository.join("snapshots")).unwrap().count()
}

async fn a_point_that_the_database_does_not_know_is_found_and_read(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    vault.back_up("daily-full").await;
    let made = vault.newest().await;
    forget(&site, "full").await;
    assert!(vault.points().await.is_empty());

    let run = vault.verify_by_schedule().await;

    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert!(
        run.message.contains("was found in the repository"),
        "{run:?}"
    );
    let found = vault.newest().await;
    assert_eq!(found.name, made.name);
    assert_eq!(found.policy, made.policy);
    assert_eq!(found.state(), pb::RestorePointState::Complete, "{found:?}");
    assert!(
        found.verify_time.is_some() && found.drill_time.is_some(),
        "{found:?}"
    );
    assert_eq!(
        vault.statistics().await.restorable_as_of_time,
        made.freeze_time
    );
    // Once is enough.
    let run = vault.verify_by_schedule().await;
    assert!(
        !run.message.contains("was found in the repository"),
        "{run:?}"
    );
    assert_eq!(vault.points().await.len(), 1);
    server.stop().await;
}

async fn a_copy_that_the_database_does_not_know_is_found_and_not_made_twice(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    vault.back_up("monthly-archive").await;
    let made = archived(&vault).await.pop().unwrap();
    let before = snapshots(&vaults.path().join("repository"));
    forget(&site, "archive").await;

    let run = vault.verify_by_schedule().await;

    assert!(
        run.message.contains("was found in the repository"),
        "{run:?}"
    );
    let found = archived(&vault).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].source_point, made.source_point);
    assert_eq!(found[0].policy, made.policy);
    assert!(found[0].verify_time.is_some(), "{found:?}");
    let again = vault.back_up("monthly-archive").await;
    assert_eq!(again.outcome(), pb::RunOutcome::NothingToDo, "{again:?}");
    assert_eq!(archived(&vault).await.len(), 1);
    assert_eq!(snapshots(&vaults.path().join("repository")), before);

    // A run that finds it by itself does not make it again, either.
    forget(&site, "archive").await;
    let again = vault.back_up("monthly-archive").await;
    assert_eq!(again.outcome(), pb::RunOutcome::NothingToDo, "{again:?}");
    assert_eq!(archived(&vault).await.len(), 1);
    server.stop().await;
}

async fn what_is_not_in_the_archive_any_more_is_not_archived_already(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    vault.back_up("monthly-archive").await;
    let repository = vaults.path().join("repository");
    for snapshot in fs::read_dir(repository.join("snapshots")).unwrap() {
        fs::remove_file(snapshot.unwrap().path()).unwrap();
    }

    let run = vault.verify_by_schedule().await;

    assert!(
        run.message.contains("is not in the repository any more"),
        "{run:?}"
    );
    let gone = archived(&vault).await.pop().unwrap();
    assert!(gone.damage_time.is_some(), "{gone:?}");
    let again = vault.back_up("monthly-archive").await;
    assert_eq!(again.state(), pb::RunState::Succeeded, "{again:?}");
    assert_ne!(again.outcome(), pb::RunOutcome::NothingToDo, "{again:?}");
    assert!(3 <= snapshots(&repository), "data, manifest and verdict");
    let points = archived(&vault).await;
    assert_eq!(points.len(), 1, "{points:?}");
    assert!(points[0].damage_time.is_none(), "{points:?}");
    server.stop().await;
}

async fn an_instance_that_came_from_an_archive_archives_to_it(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    vault.back_up("daily-full").await;
    vault.back_up("monthly-archive").await;
    server.advance(60);
    // Its database knows of the copy before it.
    vault.back_up("daily-full").await;
    vault.drill().await;
    vault.back_up("monthly-archive").await;
    let copies = archived(&vault).await;
    assert_eq!(copies.len(), 2, "{copies:?}");
    server.stop().await;

    let repository = vaults.path().join("repository");
    let mut next = Site::bare(site.database.empty().await);
    next.configure(&archive_toml(vaults.path()));
    restored(vaults.path(), &next, &[]);
    // What it came from becomes its repository, and stays its archive.
    copy(&repository, &next.data().join("backups/repository"));
    let before = snapshots(&repository);
    next.clock.set(watchbell::clock::wall_now());
    let server = next.start().await;
    let vault = Vault::of(&server, &next);
    let points = vault.points().await;
    assert_eq!(points.len(), 2, "copies that are points now: {points:?}");

    let run = vault.back_up("monthly-archive").await;

    assert_eq!(run.outcome(), pb::RunOutcome::NothingToDo, "{run:?}");
    let known = archived(&vault).await.into_iter();
    let mut known: Vec<String> = known.map(|copy| copy.source_point).collect();
    assert_eq!(known.len(), 2, "{known:?}");
    let mut of: Vec<String> = copies
        .iter()
        .map(|copy| copy.source_point.clone())
        .collect();
    known.sort();
    of.sort();
    assert_eq!(known, of);
    assert_eq!(snapshots(&repository), before, "nothing is there twice");
    server.stop().await;
}

async fn what_its_repository_calls_damaged_is_so_by_whichever_ids(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(1_500_000, 1)).await;
    vault.back_up("daily-full").await;
    let made = vault.newest().await;
    let db = site.database.connect(site.data()).await;
    let select = "SELECT body FROM restore_points WHERE kind = 'full'";
    let select = Statement::from_string(db.get_database_backend(), select);
    let row = db.query_one_raw(select).await.unwrap().unwrap();
    let body: String = row.try_get_by_index(0).unwrap();
    flip(&vault.repository());
    let read = vault.verify(&made.name, pb::VerificationLevel::Read).await;
    assert_eq!(read.state(), pb::RunState::Failed, "{read:?}");

    // The database is of the day before, and speaks of another copy of the repository.
    let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
    body["snapshot"] = "0a".repeat(32).into();
    body["manifest_snapshot"] = "0b".repeat(32).into();
    let body = body.to_string().replace('\'', "''");
    let update = format!(
        "UPDATE restore_points SET damaged_at = NULL, verified_at = 1, body = '{body}' WHERE kind = 'full'"
    );
    db.execute_unprepared(&update).await.unwrap();
    let (before, _) = vault.point(&made.name).await;
    assert!(
        before.verify_time.is_some() && before.damage_time.is_none(),
        "{before:?}"
    );

    let run = vault.verify_by_schedule().await;

    let (known, _) = vault.point(&made.name).await;
    assert!(known.damage_time.is_some(), "{known:?} {run:?}");
    assert_eq!((known.verify_time, known.drill_time), (None, None));
    let mut names = known.damaged.iter();
    assert!(
        names.any(|file| file.path.contains("/content/")),
        "{known:?}"
    );
    server.stop().await;
}
