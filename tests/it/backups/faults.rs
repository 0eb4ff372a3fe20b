//! What goes wrong while a backup runs: nothing is lost, and the next attempt succeeds.

use std::sync::Arc;

use watchbell_client::pb;

use super::{
    faulty::{Fault, Faulty, Gate},
    vault::Vault,
};
use crate::support::{Database, Server, Site, on_both, until};

on_both!(
    what_an_attempt_stored_before_it_broke_off_is_taken_by_the_next,
    nothing_is_pruned_while_a_backup_holds_the_repository,
    nothing_is_removed_while_it_is_restored,
    an_attempt_that_fails_leaves_no_snapshot_and_the_next_one_succeeds,
    what_was_stored_and_not_told_of_is_forgotten,
    a_backup_that_is_cancelled_ends_and_leaves_a_sound_repository,
    the_wrong_password_and_what_is_no_repository_are_told_apart,
    a_repository_that_is_gone_is_not_begun_anew,
    another_repository_in_its_place_is_not_taken_for_it,
    a_lock_of_another_program_is_waited_for,
);

async fn with_faults(database: Database) -> (Site, Server, Faulty) {
    let mut site = Site::new(database);
    let faults = Faulty::default();
    site.repositories = Arc::new(faults.clone());
    let server = site.start().await;
    (site, server, faults)
}

async fn what_an_attempt_stored_before_it_broke_off_is_taken_by_the_next(database: Database) {
    let (site, server, faults) = with_faults(database).await;
    let vault = Vault::of(&server, &site);
    faults.will("usage", Fault::Fail("the disk went away"));
    let run = vault.begin("daily-full").await.unwrap();
    let waiting = vault.settled(&run.name).await;
    assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
    assert!(vault.points().await.is_empty(), "it does not count yet");

    server.advance(61);
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert!(
        vault
            .log(&run.name)
            .await
            .contains("an earlier attempt of this run"),
        "it says so"
    );
    assert_eq!(vault.points().await.len(), 1);
    if let Some(restic) = vault.restic() {
        let snapshots: serde_json::Value =
            serde_json::from_str(&restic.must(&["snapshots", "--json"])).unwrap();
        assert_eq!(
            snapshots.as_array().unwrap().len(),
            3,
            "data, manifest and verdict, once: {snapshots}"
        );
        restic.finds_it_sound();
    }
    server.stop().await;
}

async fn nothing_is_pruned_while_a_backup_holds_the_repository(database: Database) {
    let (site, server, faults) = with_faults(database).await;
    let vault = Vault::of(&server, &site);
    let gate = Arc::new(Gate::default());
    faults.will("archive", Fault::Wait(gate.clone()));
    let backup = vault.begin("daily-full").await.unwrap();
    until("the backup to archive", async || {
        gate.is_reached().then_some(())
    })
    .await;

    let cleanup = server.trigger("backup-cleanup").await;
    let waiting = vault.settled(&cleanup.name).await;
    assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
    assert!(
        waiting.message.contains(&backup.name),
        "it says who holds it: {waiting:?}"
    );

    gate.open();
    assert_eq!(
        server.ended(&backup.name).await.state(),
        pb::RunState::Succeeded
    );
    server.advance(301);
    let cleanup = server.ended(&cleanup.name).await;
    assert_eq!(cleanup.state(), pb::RunState::Succeeded, "{cleanup:?}");
    server.stop().await;
}

async fn nothing_is_removed_while_it_is_restored(database: Database) {
    let (site, server, faults) = with_faults(database).await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let plan = vault.plan("friday").await.unwrap();
    let gate = Arc::new(Gate::default());
    faults.will("read", Fault::Wait(gate.clone()));
    let request = pb::ExecuteRestoreRequest {
        token: plan.token,
        ..pb::ExecuteRestoreRequest::default()
    };
    let answer = server
        .client
        .backups()
        .execute_restore(request)
        .await
        .unwrap();
    let restore = answer.into_inner().run.unwrap();
    until("the restore to read", async || {
        gate.is_reached().then_some(())
    })
    .await;

    let cleanup = server.trigger("backup-cleanup").await;
    let waiting = vault.settled(&cleanup.name).await;
    assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
    assert!(waiting.message.contains(&restore.name), "{waiting:?}");
    gate.open();
    let restored = server.ended(&restore.name).await;
    assert_eq!(restored.state(), pb::RunState::Succeeded, "{restored:?}");
    server.stop().await;
}

async fn an_attempt_that_fails_leaves_no_snapshot_and_the_next_one_succeeds(database: Database) {
    let (site, server, faults) = with_faults(database).await;
    let vault = Vault::of(&server, &site);
    faults.will("archive", Fault::Fail("the cable came loose"));
    let run = vault.begin("daily-full").await.unwrap();
    let waiting = vault.settled(&run.name).await;
    assert_eq!(waiting.state(), pb::RunState::RetryWait);
    assert!(
        waiting.message.contains("the cable came loose"),
        "{waiting:?}"
    );
    assert!(vault.points().await.is_empty());
    vault.leaves_nothing_behind(&site).await;

    server.advance(61);
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert_eq!(vault.points().await.len(), 1);
    server.stop().await;
}

/// Whoever archives may die between its snapshot and the word that it is there.
async fn what_was_stored_and_not_told_of_is_forgotten(database: Database) {
    let (site, server, faults) = with_faults(database).await;
    let vault = Vault::of(&server, &site);
    for manifest in [false, true] {
        if manifest {
            let passed = Arc::new(Gate::default());
            passed.open();
            faults.will("archived", Fault::Wait(passed));
        }
        faults.will("archived", Fault::Fail("it was killed"));
        let before = snapshots_in(&vault);
        let run = vault.begin("daily-full").await.unwrap();
        let waiting = vault.settled(&run.name).await;
        assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
        assert!(waiting.message.contains("it was killed"), "{waiting:?}");
        assert_eq!(snapshots_in(&vault), before, "manifest: {manifest}");

        server.advance(61);
        let run = server.ended(&run.name).await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
        let log = vault.log(&run.name).await;
        assert!(!log.contains("an earlier attempt of this run"), "{log}");
    }
    assert_eq!(vault.points().await.len(), 2);
    server.stop().await;
}

/// How many there are.
fn snapshots_in(vault: &Vault<'_>) -> usize {
    let folder = vault.repository().join("snapshots");
    std::fs::read_dir(folder).into_iter().flatten().count()
}

async fn a_backup_that_is_cancelled_ends_and_leaves_a_sound_repository(database: Database) {
    let (site, server, faults) = with_faults(database).await;
    let vault = Vault::of(&server, &site);
    let gate = Arc::new(Gate::default());
    faults.will("archive", Fault::Wait(gate.clone()));
    let run = vault.begin("daily-full").await.unwrap();
    until("the backup to archive", async || {
        gate.is_reached().then_some(())
    })
    .await;

    let cancel = pb::CancelRunRequest {
        name: run.name.clone(),
        ..pb::CancelRunRequest::default()
    };
    server.client.runs().cancel_run(cancel).await.unwrap();
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Cancelled, "{run:?}");
    assert!(vault.points().await.is_empty());
    vault.leaves_nothing_behind(&site).await;
    let next = vault.back_up("daily-full").await;
    assert_eq!(next.state(), pb::RunState::Succeeded, "{next:?}");
    if let Some(restic) = vault.restic() {
        restic.finds_it_sound();
    }
    server.stop().await;
}

async fn the_wrong_password_and_what_is_no_repository_are_told_apart(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    Vault::of(&server, &site).back_up("daily-full").await;
    server.stop().await;
    let password = site.data().join("backups/password");
    let right = std::fs::read(&password).unwrap();
    std::fs::write(&password, "another one\n").unwrap();

    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let run = vault.begin("daily-full").await.unwrap();
    let waiting = vault.settled(&run.name).await;
    assert!(
        waiting
            .message
            .contains("the password does not open the repository"),
        "{waiting:?}"
    );
    assert_eq!(
        vault.points().await.len(),
        1,
        "the good copy is still there"
    );
    server.stop().await;

    std::fs::write(&password, right).unwrap();
    let repository = site.data().join("backups/repository");
    std::fs::rename(&repository, site.data().join("away")).unwrap();
    std::fs::create_dir(&repository).unwrap();
    std::fs::write(repository.join("holiday.jpg"), "a picture").unwrap();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let run = vault.begin("pre-deployment").await.unwrap();
    let waiting = vault.settled(&run.name).await;
    assert!(
        waiting
            .message
            .contains("is not a repository that can be used"),
        "{waiting:?}"
    );
    assert!(
        repository.join("holiday.jpg").exists(),
        "nothing of it was touched"
    );
    assert_eq!(std::fs::read_dir(&repository).unwrap().count(), 1);
    server.stop().await;
}

async fn a_repository_that_is_gone_is_not_begun_anew(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    std::fs::rename(vault.repository(), site.data().join("away")).unwrap();

    let run = vault.begin("daily-full").await.unwrap();
    let waiting = vault.settled(&run.name).await;
    assert!(
        waiting.message.contains("where 1 restore points should be"),
        "{waiting:?}"
    );
    assert!(!vault.repository().join("config").exists());

    std::fs::remove_dir_all(vault.repository()).ok();
    std::fs::rename(site.data().join("away"), vault.repository()).unwrap();
    server.advance(61);
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    server.stop().await;
}

async fn another_repository_in_its_place_is_not_taken_for_it(database: Database) {
    let elsewhere = Site::new(Database::sqlite());
    let server = elsewhere.start().await;
    Vault::of(&server, &elsewhere).back_up("daily-full").await;
    server.stop().await;

    let site = Site::new(database);
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    // The server has its own open.
    let away = site.data().join("away");
    std::fs::rename(vault.repository(), &away).unwrap();
    let other = elsewhere.data().join("backups/repository");
    std::fs::rename(&other, vault.repository()).unwrap();

    let run = vault.begin("daily-full").await.unwrap();
    let waiting = vault.settled(&run.name).await;
    assert!(
        waiting
            .message
            .contains("the password does not open the repository"),
        "{waiting:?}"
    );

    std::fs::rename(vault.repository(), &other).unwrap();
    std::fs::rename(&away, vault.repository()).unwrap();
    server.advance(61);
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    server.stop().await;
}

async fn a_lock_of_another_program_is_waited_for(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let Some(restic) = vault.restic() else { return };
    // It is alone there, and waits for what nobody writes.
    let endless = vault.repository().join("index").join("ab".repeat(32));
    nix::unistd::mkfifo(&endless, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut other = restic
        .command(&["check"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let locks = vault.repository().join("locks");
    until("restic to lock", async || {
        // It writes a lock by another name first.
        let mut names = std::fs::read_dir(&locks).ok()?.flatten();
        names.any(|name| name.file_name().len() == 64).then_some(())
    })
    .await;
    let run = vault.begin("pre-deployment").await.unwrap();
    let waiting = vault.settled(&run.name).await;
    assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
    assert!(
        waiting.message.contains("is locked by another program"),
        "{waiting:?}"
    );

    // Its lock is that of a process that is no more.
    other.kill().unwrap();
    other.wait().unwrap();
    std::fs::remove_file(endless).unwrap();
    server.advance(61);
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    server.stop().await;
}
