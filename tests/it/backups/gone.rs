//! A pack that is gone: no point that refers to it comes back in full, and nobody says that all was read.

use std::{fs, sync::Arc};

use sea_orm::ConnectionTrait as _;
use watchbell_client::pb;

use super::{
    disaster::Saved,
    faulty::{Fault, Faulty},
    likeness::source,
    vault::Vault,
    verdicts::{id, listed},
    verifying::{flip, largest, packs},
};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both, until},
};

on_both!(
    a_pack_that_is_gone_counts_against_every_point_that_refers_to_it,
    what_one_part_has_lost_is_told_however_whole_the_next_one_is,
    what_another_policy_has_made_does_not_stand_for_what_is_damaged,
    a_point_of_a_policy_that_was_deleted_is_none_of_one_that_never_ran,
    what_a_backup_has_met_before_it_failed_is_not_what_a_restore_takes,
    what_a_restore_finds_damaged_is_no_good_point_any_more,
    a_later_attempt_looks_at_older_points_for_what_does_not_come_back,
);

async fn a_pack_that_is_gone_counts_against_every_point_that_refers_to_it(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let without = vault.newest().await;
    server.advance(60);
    vault.document("SOP-1", &bytes(1_500_000, 7)).await;
    let mut with = Vec::new();
    for _ in 0..2 {
        server.advance(60);
        vault.back_up("daily-full").await;
        with.push(vault.newest().await);
    }
    for _ in 1..=28 {
        let run = vault.verify_by_schedule().await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    }
    let figures = vault.statistics().await;
    assert_eq!(figures.read_coverage_percent, 100.0, "{figures:?}");
    assert_eq!(figures.restorable_as_of_time, with[1].freeze_time);
    let pack = largest(&vault.repository());
    let away = site.data().join("away");
    fs::rename(&pack, &away).unwrap();

    let run = vault.verify_by_schedule().await;

    assert_eq!(run.state(), pb::RunState::Failed, "{run:?}");
    for point in &with {
        let (point, _) = vault.point(&point.name).await;
        assert!(point.damage_time.is_some(), "{point:?}");
        assert_eq!((point.verify_time, point.drill_time), (None, None));
        let names = point.damaged.iter().map(|file| file.path.as_str());
        assert!(
            names.clone().any(|name| name.contains("/content/")),
            "{point:?}"
        );
        assert_eq!(point.damaged_count, names.count() as i64);
    }
    let (good, _) = vault.point(&without.name).await;
    assert_eq!(good.damage_time, None, "{good:?}");
    // What does not refer to it is drilled anew, and all that can be said to come back.
    let figures = vault.statistics().await;
    assert_eq!(figures.restorable_as_of_time, without.freeze_time);
    // Every part but its own was read.
    let percent = 27.0 * 100.0 / 28.0;
    assert_eq!(figures.read_coverage_percent, percent, "{figures:?}");
    assert!(!packs(&vault.repository()).is_empty());

    fs::rename(&away, &pack).unwrap();
    let run = vault.verify_by_schedule().await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    for point in &with {
        let (point, _) = vault.point(&point.name).await;
        assert_eq!((point.damage_time, point.damaged_count), (None, 0));
        assert!(point.verify_time.is_some(), "{point:?}");
    }
    let figures = vault.statistics().await;
    assert_eq!(figures.read_coverage_percent, 100.0, "{figures:?}");
    server.stop().await;
}

async fn what_one_part_has_lost_is_told_however_whole_the_next_one_is(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let without = vault.newest().await;
    vault.document("SOP-1", &bytes(1_500_000, 7)).await;
    let mut with = Vec::new();
    for _ in 0..2 {
        server.advance(60);
        vault.back_up("daily-full").await;
        with.push(vault.newest().await);
    }
    // So that no drill finds it.
    vault.drill().await;
    // It is there and as long as it was: only who reads it can tell, and one day in 28 does.
    flip(&vault.repository());
    assert!(1 < packs(&vault.repository()).len());
    let mut failed = None;
    for _ in 1..=28 {
        let run = vault.verify_by_schedule().await;
        if run.state() == pb::RunState::Failed {
            failed = Some(run);
            break;
        }
    }

    let run = failed.expect("every part was read");

    assert!(run.message.contains("of the data is damaged"), "{run:?}");
    assert!(run.message.contains("of the data is whole"), "{run:?}");
    for point in &with {
        let (point, _) = vault.point(&point.name).await;
        assert!(point.damage_time.is_some(), "{point:?}");
        assert_eq!((point.verify_time, point.drill_time), (None, None));
        let mut names = point.damaged.iter();
        assert!(
            names.any(|file| file.path.contains("/content/")),
            "{point:?}"
        );
    }
    let (good, _) = vault.point(&without.name).await;
    assert_eq!(good.damage_time, None, "{good:?}");
    server.stop().await;
}

async fn what_another_policy_has_made_does_not_stand_for_what_is_damaged(database: Database) {
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("film"), bytes(1_500_000, 3)).unwrap();
    let site = Site::configured(database, &source("www", files.path())).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("www", &["www"]).await;
    vault.back_up("www").await;
    let lost = vault.newest().await;
    flip(&vault.repository());
    vault.verify(&lost.name, pb::VerificationLevel::Read).await;
    server.advance(60);
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");

    let problem = server.problem("backup.damaged").await;

    assert_eq!(problem.subject, lost.name);
    assert_eq!(problem.severity(), pb::Severity::Critical, "{problem:?}");
    server.stop().await;
}

async fn a_point_of_a_policy_that_was_deleted_is_none_of_one_that_never_ran(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("old", &["database"]).await;
    vault.back_up("old").await;
    assert!(vault.statistics().await.last_success_hours_ago.is_some());

    vault.delete_policy("backupPolicies/old").await.unwrap();

    // Figures may be a second old.
    until("that none counts", async || {
        let figures = vault.statistics().await;
        figures.last_success_hours_ago.is_none().then_some(())
    })
    .await;
    server.stop().await;
}

async fn what_a_backup_has_met_before_it_failed_is_not_what_a_restore_takes(database: Database) {
    let mut site = Site::new(database).with_repository();
    let faults = Faulty::default();
    site.repositories = Arc::new(faults.clone());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let without = vault.newest().await;
    server.advance(60);
    vault.document("SOP-1", &bytes(1_500_000, 7)).await;
    vault.back_up("daily-full").await;
    let with = vault.newest().await;
    fs::remove_file(largest(&vault.repository())).unwrap();
    server.advance(60);
    faults.will("usage", Fault::Fail("the disk went away"));

    let run = vault.begin("daily-full").await.unwrap();
    let waiting = vault.settled(&run.name).await;

    assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
    let saved = Saved::of(&site);
    let next = Site::bare(site.database.empty().await);
    let url = next.database.url();
    let listed = listed(&saved, &next);
    let line = listed.lines().find(|line| line.contains(&id(&with)));
    assert!(line.unwrap().contains("  damaged, "), "{listed}");
    let done = saved.restore(next.data(), &url, &[]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{done:?}");
    assert!(
        said.contains(&format!("restored {}", id(&without))),
        "{said}"
    );
    server.stop().await;
}

async fn what_a_restore_finds_damaged_is_no_good_point_any_more(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(1_500_000, 7)).await;
    vault.back_up("daily-full").await;
    let point = vault.newest().await;
    vault.drill().await;
    let plan = vault.plan("friday").await.unwrap();
    flip(&vault.repository());

    let run = vault.execute(&plan.token).await;

    assert_ne!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let (point, evidence) = vault.point(&point.name).await;
    assert!(point.damage_time.is_some(), "{point:?}");
    assert_eq!((point.verify_time, point.drill_time), (None, None));
    let mut names = point.damaged.iter();
    assert!(
        names.any(|file| file.path.contains("/content/")),
        "{point:?}"
    );
    let mut of_run = evidence.iter().filter(|one| one.run == run.name);
    assert!(
        of_run.any(|one| one.result() == pb::VerificationResult::Failed),
        "{evidence:?}"
    );
    server.stop().await;
}

async fn a_later_attempt_looks_at_older_points_for_what_does_not_come_back(database: Database) {
    let files = tempfile::tempdir().unwrap();
    let wiki = files.path().join("wiki.db");
    let url = format!("sqlite://{}?mode=rwc", wiki.display());
    let db = sea_orm::Database::connect(url).await.unwrap();
    let fill =
        "CREATE TABLE pages (text TEXT); INSERT INTO pages VALUES (hex(randomblob(1000000)))";
    db.execute_unprepared(fill).await.unwrap();
    let toml = format!("[backups.sources.wiki]\nsqlite = {:?}\n", wiki.display());
    let mut site = Site::configured(database, &toml).with_repository();
    let faults = Faulty::default();
    site.repositories = Arc::new(faults.clone());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("wiki", &["wiki"]).await;
    vault.back_up("wiki").await;
    let first = vault.newest().await;
    flip(&vault.repository());
    server.advance(60);
    faults.will("archive", Fault::Fail("the cable came loose"));
    let run = vault.begin("wiki").await.unwrap();
    let run = vault.settled(&run.name).await;
    assert_eq!(run.state(), pb::RunState::RetryWait, "{run:?}");
    assert!(vault.point(&first.name).await.0.damage_time.is_none());

    server.advance(61);

    until("the older point to be known as damaged", async || {
        let (first, _) = vault.point(&first.name).await;
        first.damage_time.map(drop)
    })
    .await;
    assert_ne!(
        vault.settled(&run.name).await.state(),
        pb::RunState::Succeeded
    );
    server.stop().await;
}
