//! Restores put in place: in a disk that is there, and once, whatever ends the process in between.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
};

use watchbell::{clock::Clock as _, store::Store};
use watchbell_client::pb;

use super::{
    alone::{restore, said},
    apart::workers,
    disaster::Saved,
    neighbours::{into, with_password},
    restic::Restic,
    vault::Vault,
};
use crate::{
    contents::desk::bytes,
    support::{Database, Server, Site, on_both, repository::PASSWORD, until},
};

on_both!(
    a_restore_comes_to_lie_on_the_disk_that_is_there,
    a_machine_is_restored_onto_new_disks,
    a_repository_is_made_on_a_new_disk,
    what_is_in_place_when_an_attempt_breaks_off_is_looked_at_by_the_next,
    what_was_changed_in_place_is_told_by_the_next_attempt,
    what_was_left_is_looked_for_until_it_is_gone,
    a_database_that_was_restored_knows_where_restores_may_have_left_something,
    what_another_instance_is_at_stays,
);

pub(super) async fn backed_up(database: Database) -> (Site, Server) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    (site, server)
}

/// Files in a folder, however deep, whatever they are called.
fn files_in(folder: &Path) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        count += match entry.file_type().unwrap().is_dir() {
            true => files_in(&entry.path()),
            false => 1,
        };
    }
    count
}

pub(super) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.collect()
}

async fn a_restore_comes_to_lie_on_the_disk_that_is_there(database: Database) {
    let (site, server) = backed_up(database).await;
    let vault = Vault::of(&server, &site);
    let disk = site.data().join("restores/disk");
    // As a new disk that is mounted there.
    fs::create_dir_all(disk.join("lost+found")).unwrap();
    let plan = vault.plan("disk").await.unwrap();
    assert_eq!(plan.conflicts, [""; 0]);

    let run = vault.execute(&plan.token).await;

    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    assert_eq!(files_in(&disk) as i64, plan.file_count);
    assert!(disk.join("lost+found").is_dir());
    let names = names_in(&disk);
    assert!(
        !names.iter().any(|name| name.contains("unfinished")),
        "{names:?}"
    );
    if !site.database.is_postgresql() {
        let said = "rows in database, as in the manifest";
        assert!(run.message.contains(said), "{run:?}");
    }
    server.stop().await;
}

/// As a disk that was made just now, and is mounted there.
fn new_disk(at: &Path) {
    let made = fs::DirBuilder::new()
        .mode(0o700)
        .create(at.join("lost+found"));
    made.unwrap();
}

async fn a_machine_is_restored_onto_new_disks(database: Database) {
    let (site, server) = backed_up(database).await;
    server.stop().await;
    let saved = Saved::of(&site);
    let mut next = Site::bare(site.database.empty().await);
    let disk = tempfile::tempdir().unwrap();
    new_disk(next.data());
    new_disk(disk.path());

    let done = saved.restore(next.data(), &next.database.url(), &[]);

    let done = said(&done);
    assert!(done.contains("1 documents, 1 contents"), "{done}");
    assert!(next.data().join("lost+found").is_dir());
    // What is something else is in the way as ever.
    let again = saved.restore(next.data(), &next.database.url(), &[]);
    let again = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.contains("is not empty"), "{again}");

    // Its server goes on, and makes its second location on another.
    let own = next.data().join("backups");
    fs::rename(saved.repository(), own.join("repository")).unwrap();
    next.configure(&format!(
        "[backups.archive]\nrepository = {:?}\npassword = {{ file = {:?} }}\n",
        disk.path().display(),
        own.join("password").display()
    ));
    next.clock.set(watchbell::clock::wall_now());
    let server = next.start().await;
    let run = Vault::of(&server, &next).back_up("monthly-archive").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    server.stop().await;
    is_a_repository(disk.path(), &own.join("password"));
}

async fn a_repository_is_made_on_a_new_disk(database: Database) {
    let disk = tempfile::tempdir().unwrap();
    new_disk(disk.path());
    let site = with_password(Site::configured(database, &into(disk.path())));
    let server = site.start().await;
    let run = Vault::of(&server, &site).back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    server.stop().await;
    is_a_repository(disk.path(), &site.data().join("backups/password"));
}

/// That it is one, with a point, beside what its disk has of its own.
fn is_a_repository(disk: &Path, password: &Path) {
    assert!(disk.join("lost+found").is_dir());
    let listed = said(&restore(disk, password, &["--list"]));
    assert!(listed.contains("  verified\n"), "{listed}");
    if let Some(restic) = Restic::at(disk, PASSWORD) {
        restic.finds_it_sound();
    }
}

/// A restore whose first attempt breaks off once what it restored is in place; the second waits.
pub(super) async fn broken_off(site: &Site, server: &Server, token: &str) -> String {
    let vault = Vault::of(server, site);
    let a_minute = prost_types::Duration {
        seconds: 60,
        nanos: 0,
    };
    let task = pb::Task {
        name: "tasks/restore-backup".to_owned(),
        retry: Some(pb::RetryPolicy {
            max_attempts: 2,
            initial_backoff: Some(a_minute),
            max_backoff: Some(a_minute),
        }),
        ..pb::Task::default()
    };
    let request = pb::UpdateTaskRequest {
        task: Some(task),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["retry".to_owned()],
        }),
        ..pb::UpdateTaskRequest::default()
    };
    server.client.tasks().update_task(request).await.unwrap();
    // It is given back when all is in place, and before that is told.
    site.refuse("DELETE", "repository_leases", "ROW.mode = 'shared'")
        .await;
    let request = pb::ExecuteRestoreRequest {
        token: token.to_owned(),
        ..pb::ExecuteRestoreRequest::default()
    };
    let mut backups = server.client.backups();
    let run = backups.execute_restore(request).await.unwrap();
    let run = run.into_inner().run.unwrap().name;
    let waiting = vault.settled(&run).await;
    assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
    site.allow("repository_leases").await;
    run
}

async fn what_is_in_place_when_an_attempt_breaks_off_is_looked_at_by_the_next(database: Database) {
    let (site, server) = backed_up(database).await;
    let vault = Vault::of(&server, &site);
    fs::create_dir_all(site.data().join("restores/disk/lost+found")).unwrap();
    for directory in ["new", "disk"] {
        let plan = vault.plan(directory).await.unwrap();
        let run = broken_off(&site, &server, &plan.token).await;
        let there = site.data().join("restores").join(directory);
        let before = files_in(&there);
        // What sweeps meanwhile leaves it alone.
        let cleanup = server.trigger("backup-cleanup").await;
        server.ended(&cleanup.name).await;
        assert_eq!(files_in(&there), before);

        server.advance(3600);
        let run = server.ended(&run).await;

        assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
        let count = format!("{before} files, ");
        assert!(run.message.starts_with(&count), "{run:?}");
        let log = vault.log(&run.name).await;
        assert!(log.contains("it is looked at where it lies"), "{log}");
        assert_eq!(files_in(&there), before);
    }
    server.stop().await;
}

async fn what_was_changed_in_place_is_told_by_the_next_attempt(database: Database) {
    type Change = fn(&Path);
    let changes: [(&str, Change); 2] = [
        ("are not what was restored any more", |content| {
            fs::remove_dir_all(content).unwrap();
        }),
        ("1 came back, but not all that they were", |content| {
            fs::set_permissions(content, fs::Permissions::from_mode(0o711)).unwrap();
        }),
    ];
    let (site, server) = backed_up(database).await;
    for (number, (told, change)) in changes.into_iter().enumerate() {
        let to = format!("new-{number}");
        let plan = Vault::of(&server, &site).plan(&to).await.unwrap();
        let run = broken_off(&site, &server, &plan.token).await;
        change(&site.data().join("restores").join(&to).join("content"));
        server.advance(3600);
        let run = server.ended(&run).await;
        assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
        assert!(run.message.contains(told), "{run:?}");
    }
    server.stop().await;
}

/// A cleanup, once nothing works on the repository any more: it has to be alone there.
async fn sweep(server: &Server, vault: &Vault<'_>) {
    let repository = vault.repository();
    until("nothing to work on the repository", async || {
        workers(&repository).is_empty().then_some(())
    })
    .await;
    let run = server.trigger("backup-cleanup").await;
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
}

/// It is decrypted: that its plan is over is no reason to forget of it.
async fn what_was_left_is_looked_for_until_it_is_gone(database: Database) {
    let (site, server) = backed_up(database).await;
    let vault = Vault::of(&server, &site);
    let plan = vault.plan("some").await.unwrap();
    let run = vault.execute(&plan.token).await;
    let id = run.name.rsplit('/').next().unwrap();
    let left = site.data().join(format!("restores/.some.{id}.unfinished"));
    fs::create_dir(&left).unwrap();
    let lock = fs::File::open(&left).unwrap();
    lock.lock().unwrap();
    // No backup of the schedule is to be in the way of a cleanup.
    server.without_backups().await;
    server.advance(8 * 24 * 3600);
    // Each plan that is kept makes room.
    vault.plan("another").await.unwrap();
    lock.unlock().unwrap();
    server.with_cleanups().await;
    sweep(&server, &vault).await;
    assert!(!left.exists());
    // It is nobody's from then on.
    fs::create_dir(&left).unwrap();
    sweep(&server, &vault).await;
    assert!(left.exists());
    server.stop().await;
}

/// It may lie on the disk that the database comes back to.
async fn a_database_that_was_restored_knows_where_restores_may_have_left_something(
    database: Database,
) {
    let (site, server) = backed_up(database).await;
    let vault = Vault::of(&server, &site);
    let plan = vault.plan("some").await.unwrap();
    let run = vault.execute(&plan.token).await;
    server.stop().await;
    let clock = std::sync::Arc::new(site.clock.clone());
    let store = Store::open_existing(&site.location(), clock).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.forget_original().await.unwrap();
    tx.commit().await.unwrap();
    let noted = store.restore_plans_of_runs(site.clock.now()).await.unwrap();
    let noted: Vec<(String, bool, serde_json::Value)> = noted;
    let id = run.name.rsplit('/').next().unwrap();
    let keys: Vec<&str> = noted.iter().map(|(key, ..)| key.as_str()).collect();
    assert_eq!(keys, [format!("run:{id}")]);
    store.close().await;
}

/// Of an instance that shares the disk and not the database, the lock alone tells that it is at it.
async fn what_another_instance_is_at_stays(database: Database) {
    let (site, server) = backed_up(database).await;
    let vault = Vault::of(&server, &site);
    let plan = vault.plan("some").await.unwrap();
    let run = vault.execute(&plan.token).await;
    let id = run.name.rsplit('/').next().unwrap();
    let left = site.data().join(format!("restores/.some.{id}.unfinished"));
    fs::create_dir(&left).unwrap();
    let lock = fs::File::open(&left).unwrap();
    lock.lock().unwrap();
    sweep(&server, &vault).await;
    assert!(left.exists());
    // Whatever has inherited it: a program that is started at this moment may have.
    lock.unlock().unwrap();
    sweep(&server, &vault).await;
    assert!(!left.exists());
    server.stop().await;
}
