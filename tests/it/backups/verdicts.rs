//! What is found of restore points after they were made stands in the repository, and a new machine goes by it.

use std::{fs, sync::Arc};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use watchbell_client::pb;

use super::{
    disaster::{Saved, last_packs},
    faulty::{Fault, Faulty},
    vault::Vault,
    verifying::{flip, flip_in, packs},
};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both},
};

on_both!(
    what_a_failed_backup_has_left_is_not_what_a_restore_takes,
    a_point_that_was_found_damaged_is_not_what_a_restore_takes_and_stays_so,
    what_is_not_all_there_is_no_point_that_can_be_restored,
    damage_that_points_share_withdraws_what_was_drilled_before,
    every_name_that_was_found_damaged_stays_whatever_a_later_look_finds,
    a_database_that_is_older_than_the_damage_of_a_manifest_does_not_keep_its_point_good,
    a_point_that_is_called_damaged_is_so_though_nobody_can_read_what_it_is,
);

/// A row of the database, as it is before something is found out.
pub(super) struct Row {
    db: DatabaseConnection,
    body: String,
}

impl Row {
    /// The only one of a kind.
    pub(super) async fn of(site: &Site, kind: &str) -> Self {
        let db = site.database.connect(site.data()).await;
        let select = format!("SELECT body FROM restore_points WHERE kind = '{kind}'");
        let select = Statement::from_string(db.get_database_backend(), select);
        let row = db.query_one_raw(select).await.unwrap().unwrap();
        let body = row.try_get_by_index(0).unwrap();
        Self { db, body }
    }

    /// Puts it back, as in a database that is older than what was found out.
    pub(super) async fn put_back(&self) {
        let (body, whose) = (self.body.replace('\'', "''"), self.whose());
        let update = format!(
            "UPDATE restore_points SET damaged_at = NULL, verified_at = 1, body = '{body}' WHERE {whose}"
        );
        self.db.execute_unprepared(&update).await.unwrap();
    }

    /// Takes it out, as in a database that is older than it.
    pub(super) async fn forget(&self) {
        let delete = format!("DELETE FROM restore_points WHERE {}", self.whose());
        self.db.execute_unprepared(&delete).await.unwrap();
    }

    /// What it says of something.
    pub(super) fn said(&self, field: &str) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body[field].as_str().unwrap().to_owned()
    }

    fn whose(&self) -> String {
        format!("body LIKE '%\"id\":\"{}\"%'", self.said("id"))
    }
}

pub(super) fn id(point: &pb::RestorePoint) -> String {
    point.name["restorePoints/".len()..].to_owned()
}

/// What a restore on another machine shows that it may choose from.
pub(super) fn listed(saved: &Saved, next: &Site) -> String {
    let nowhere = next.data().join("none");
    let listed = saved.restore(&nowhere, &next.database.url(), &["--list"]);
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

async fn what_a_failed_backup_has_left_is_not_what_a_restore_takes(database: Database) {
    let mut site = Site::new(database).with_repository();
    let faults = Faulty::default();
    site.repositories = Arc::new(faults.clone());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    vault.back_up("daily-full").await;
    let good = vault.newest().await;
    server.advance(60);
    faults.will("usage", Fault::Fail("the disk went away"));
    let run = vault.begin("pre-deployment").await.unwrap();
    let waiting = vault.settled(&run.name).await;
    assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
    // The process is killed there, and the machine with it.
    let saved = Saved::of(&site);
    server.stop().await;

    let next = Site::bare(site.database.empty().await);
    let url = next.database.url();
    let listed = listed(&saved, &next);
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].ends_with("never verified"), "{listed}");
    assert!(lines[1].ends_with("verified") && lines[1].contains(&id(&good)));

    let done = saved.restore(next.data(), &url, &[]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}{told}");
    assert!(said.contains(&format!("restored {}", id(&good))), "{said}");
    assert!(told.contains("was never verified"), "{told}");
    assert!(
        said.contains("1 restore points that the database did not know"),
        "the leftover is none: {said}"
    );
}

async fn a_point_that_was_found_damaged_is_not_what_a_restore_takes_and_stays_so(
    database: Database,
) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    vault.back_up("daily-full").await;
    let first = vault.newest().await;
    server.advance(60);
    vault.document("SOP-2", &bytes(1_500_000, 2)).await;
    vault.back_up("daily-full").await;
    let second = vault.newest().await;
    flip(&vault.repository());
    let read = vault
        .verify(&second.name, pb::VerificationLevel::Read)
        .await;
    assert_eq!(read.state(), pb::RunState::Failed, "{read:?}");
    // Nothing of the next is whole where it shares what is damaged; all names of that stand beside it.
    let partial = vault.back_up("daily-full").await;
    assert_eq!(partial.outcome(), pb::RunOutcome::Partial, "{partial:?}");
    let third = vault.newest().await;
    let saved = Saved::of(&site);
    server.stop().await;

    let next = Site::bare(site.database.empty().await);
    let url = next.database.url();
    let done = saved.restore(next.data(), &url, &[]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}{told}");
    assert!(said.contains(&format!("restored {}", id(&first))), "{said}");
    assert!(
        told.contains(&format!("{} as of", id(&second))) && told.contains("was found damaged"),
        "{told}"
    );
    fs::rename(saved.repository(), next.data().join("backups/repository")).unwrap();
    next.clock.set(watchbell::clock::wall_now());
    let server = next.start().await;
    let vault = Vault::of(&server, &next);
    let (known, _) = vault.point(&second.name).await;
    assert!(known.damage_time.is_some(), "{known:?}");
    assert!(known.damage.contains("/content/"), "{known:?}");
    let (known, _) = vault.point(&third.name).await;
    assert_eq!(known.state(), pb::RestorePointState::Partial, "{known:?}");
    assert!(known.missing[0].path.contains("/content/"), "{known:?}");
    server.stop().await;
}

async fn what_is_not_all_there_is_no_point_that_can_be_restored(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(5000, 1)).await;
    fs::remove_dir_all(site.data().join("contents")).unwrap();
    fs::create_dir(site.data().join("contents")).unwrap();
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    let point = vault.newest().await;

    vault
        .verify(&point.name, pb::VerificationLevel::Unspecified)
        .await;

    let (point, _) = vault.point(&point.name).await;
    assert!(point.drill_time.is_some(), "{point:?}");
    let figures = vault.statistics().await;
    assert_eq!(figures.restorable_as_of_time, None, "{figures:?}");
    assert_eq!(figures.measured_rpo, None, "{figures:?}");
    server.stop().await;
}

async fn damage_that_points_share_withdraws_what_was_drilled_before(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(1_500_000, 1)).await;
    vault.back_up("daily-full").await;
    let first = vault.newest().await;
    server.advance(60);
    vault.back_up("daily-full").await;
    let second = vault.newest().await;
    vault.drill().await;
    let figures = vault.statistics().await;
    assert_eq!(figures.restorable_as_of_time, second.freeze_time);
    flip(&vault.repository());

    let read = vault.verify(&first.name, pb::VerificationLevel::Read).await;

    assert_eq!(read.state(), pb::RunState::Failed, "{read:?}");
    let figures = vault.statistics().await;
    assert_eq!(figures.restorable_as_of_time, None, "{figures:?}");
    // The next verification reads all of it, and finds it damaged, too.
    let run = vault.verify_by_schedule().await;
    assert_eq!(run.state(), pb::RunState::Failed, "{run:?}");
    let (second, _) = vault.point(&second.name).await;
    assert!(second.damage_time.is_some(), "{second:?}");
    server.stop().await;
}

async fn every_name_that_was_found_damaged_stays_whatever_a_later_look_finds(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let mut of_document = Vec::new();
    for number in 1..=2 {
        let before = packs(&vault.repository());
        let name = format!("SOP-{number}");
        vault.document(&name, &bytes(1_500_000, number)).await;
        server.advance(60);
        vault.back_up("daily-full").await;
        let mut new = packs(&vault.repository());
        new.retain(|pack| !before.contains(pack));
        let size = |pack: &std::path::PathBuf| fs::metadata(pack).unwrap().len();
        of_document.push(new.into_iter().max_by_key(size).unwrap());
    }
    let point = vault.newest().await;
    let names = |point: &pb::RestorePoint| {
        let names = point.damaged.iter().map(|file| file.path.clone());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    flip_in(&of_document[0]);
    vault.verify(&point.name, pb::VerificationLevel::Read).await;
    let (known, _) = vault.point(&point.name).await;
    assert_eq!(known.damaged_count, 1, "{known:?}");
    // What is damaged next is another file; as many names are no reason to take them for the same.
    flip_in(&of_document[0]);
    flip_in(&of_document[1]);
    vault.verify(&point.name, pb::VerificationLevel::Read).await;
    let (known, _) = vault.point(&point.name).await;
    assert_eq!(known.damaged_count, 2, "{known:?}");
    let all = names(&known);
    assert_eq!(all.len(), 2, "{known:?}");

    server.stop().await;
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let drill = vault.verify(&point.name, pb::VerificationLevel::Drill);
    let drill = drill.await;
    assert_eq!(drill.state(), pb::RunState::Failed, "{drill:?}");
    let (known, _) = vault.point(&point.name).await;
    assert_eq!(names(&known), all, "{known:?}");
    // A look at some of it that finds nothing takes none of them back, either.
    flip_in(&of_document[1]);
    vault
        .verify(&point.name, pb::VerificationLevel::Drill)
        .await;
    let (known, _) = vault.point(&point.name).await;
    assert_eq!(names(&known), all, "{known:?}");
    let saved = Saved::of(&site);
    server.stop().await;

    let next = Site::bare(site.database.empty().await);
    let url = next.database.url();
    let listed = listed(&saved, &next);
    assert!(listed.contains("damaged, 2 files"), "{listed}");
    let done = saved.restore(next.data(), &url, &[]);
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{told}");
    fs::rename(saved.repository(), next.data().join("backups/repository")).unwrap();
    next.clock.set(watchbell::clock::wall_now());
    let server = next.start().await;
    let (known, _) = Vault::of(&server, &next).point(&point.name).await;
    assert_eq!(names(&known), all, "{known:?}");
    server.stop().await;
}

async fn a_database_that_is_older_than_the_damage_of_a_manifest_does_not_keep_its_point_good(
    database: Database,
) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    vault.back_up("daily-full").await;
    let first = vault.newest().await;
    let described = last_packs(&vault.repository());
    server.advance(60);
    // Its database takes the first one for good.
    vault.back_up("daily-full").await;
    let second = vault.newest().await;
    for pack in &described {
        flip_in(pack);
    }
    let read = vault.verify(&first.name, pb::VerificationLevel::Read).await;
    assert_eq!(read.state(), pb::RunState::Failed, "{read:?}");
    let saved = Saved::of(&site);
    server.stop().await;

    let next = Site::bare(site.database.empty().await);
    let done = saved.restore(next.data(), &next.database.url(), &[]);

    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}{told}");
    assert!(
        said.contains(&format!("restored {}", id(&second))),
        "{said}"
    );
    let mut lines = told.lines();
    let is_told = |line: &str| line.contains(&id(&first)) && line.contains("cannot be read");
    assert!(lines.any(is_told), "{told}");
    fs::rename(saved.repository(), next.data().join("backups/repository")).unwrap();
    next.clock.set(watchbell::clock::wall_now());
    let server = next.start().await;
    let (known, _) = Vault::of(&server, &next).point(&first.name).await;
    assert!(known.damage_time.is_some(), "{known:?}");
    assert_eq!((known.verify_time, known.drill_time), (None, None));
    server.stop().await;
}

async fn a_point_that_is_called_damaged_is_so_though_nobody_can_read_what_it_is(
    database: Database,
) {
    let mut site = Site::new(database).with_repository();
    let faults = Faulty::default();
    site.repositories = Arc::new(faults.clone());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(1_500_000, 1)).await;
    vault.back_up("daily-full").await;
    let made = vault.newest().await;
    let row = Row::of(&site, "full").await;
    let flipped = flip(&vault.repository());
    vault.verify(&made.name, pb::VerificationLevel::Read).await;
    flip_in(&flipped);
    // No check finds anything, and the database is of the day before.
    row.put_back().await;
    assert!(vault.point(&made.name).await.0.verify_time.is_some());
    for _ in 0..2 {
        faults.will("read", Fault::Fail("the cable came loose"));
    }

    let run = server.trigger("verify-backups").await;
    let run = vault.settled(&run.name).await;

    assert_ne!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let (known, _) = vault.point(&made.name).await;
    assert!(known.damage_time.is_some(), "{known:?} {run:?}");
    assert!(known.damage.contains("as its repository says"), "{known:?}");
    assert_eq!((known.verify_time, known.drill_time), (None, None));
    server.stop().await;
}
