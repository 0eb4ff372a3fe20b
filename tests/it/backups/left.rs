//! What lies in place of restores that did not end well, and of those that did: who is told of it, and for how long.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use sea_orm::ConnectionTrait as _;
use watchbell::{clock::Clock as _, store::Store};
use watchbell_client::pb;

use super::{
    placing::{backed_up, broken_off, names_in},
    vault::Vault,
};
use crate::support::{Database, Server, Site, on_both, until};

on_both!(
    a_part_that_lies_in_place_is_told_until_it_is_gone,
    what_came_back_is_its_owners_whatever_history_knows,
    what_drills_are_given_nothing_of_is_asked_for_nothing,
    plans_of_runs_keep_no_new_one_away,
);

/// A restore that was cancelled once what it restored was in place.
async fn cancelled_in_place(site: &Site, server: &Server, to: &str) -> PathBuf {
    let disk = site.data().join("restores").join(to);
    fs::create_dir_all(disk.join("lost+found")).unwrap();
    let plan = Vault::of(server, site).plan(to).await.unwrap();
    let run = broken_off(site, server, &plan.token).await;
    let cancel = pb::CancelRunRequest {
        name: run.clone(),
        ..pb::CancelRunRequest::default()
    };
    server.client.runs().cancel_run(cancel).await.unwrap();
    let ended = server.ended(&run).await;
    assert_eq!(ended.state(), pb::RunState::Cancelled, "{ended:?}");
    disk
}

/// A cleanup, with what its log says.
async fn swept(server: &Server, vault: &Vault<'_>) -> (pb::Run, String) {
    // The server's own daily run may be at it already.
    let run = until("a cleanup of its own", async || {
        let request = pb::TriggerTaskRequest {
            name: "tasks/backup-cleanup".to_owned(),
            ..pb::TriggerTaskRequest::default()
        };
        let answer = server.client.tasks().trigger_task(request).await;
        answer.ok()?.into_inner().run
    });
    let run = server.ended(&run.await.name).await;
    let log = vault.log(&run.name).await;
    (run, log)
}

/// What is told of a restore that lies in place in part.
const PART: &str = "part of what a restore was to put into";

async fn a_part_that_lies_in_place_is_told_until_it_is_gone(database: Database) {
    let (site, server) = backed_up(database).await;
    let vault = Vault::of(&server, &site);
    for (to, is_removed) in [("disk", true), ("kept", false)] {
        let disk = cancelled_in_place(&site, &server, to).await;
        // As if its process had been killed between the one and the others.
        fs::remove_dir_all(disk.join("content")).unwrap();
        for _ in 0..2 {
            let (run, log) = swept(&server, &vault).await;
            assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
            assert!(run.message.contains(PART), "{run:?}");
            assert!(log.contains(PART), "{log}");
        }
        match is_removed {
            true => {
                for name in names_in(&disk) {
                    fs::remove_dir_all(disk.join(name)).unwrap();
                }
            }
            // Whoever leaves it there for so long means to.
            false => {
                // Of a month of nights none is caught up: nothing is in the way of these cleanups.
                server.without_backups().await;
                server.advance(31 * 24 * 3600);
                server.with_cleanups().await;
                // The first says that it is told no more.
                swept(&server, &vault).await;
            }
        }
        let (run, log) = swept(&server, &vault).await;
        assert!(!run.message.contains(PART), "{run:?}");
        assert!(!log.contains("a restore was to put into"), "{log}");
    }
    server.stop().await;
}

/// Its owner works with it, and need not leave it where it came to lie.
async fn what_came_back_is_its_owners_whatever_history_knows(database: Database) {
    let (site, server) = backed_up(database).await;
    let vault = Vault::of(&server, &site);
    let disk = cancelled_in_place(&site, &server, "cancelled").await;
    let (_, log) = swept(&server, &vault).await;
    assert!(log.contains("all that a restore was to put into"), "{log}");
    fs::remove_dir_all(disk.join("content")).unwrap();

    let disk = site.data().join("restores/whole");
    fs::create_dir_all(disk.join("lost+found")).unwrap();
    let plan = vault.plan("whole").await.unwrap();
    let run = vault.execute(&plan.token).await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    fs::remove_dir_all(disk.join("content")).unwrap();
    // As after `prune-history`.
    let db = site.database.connect(site.data()).await;
    let forget = "DELETE FROM runs WHERE task = 'restore-backup'";
    db.execute_unprepared(forget).await.unwrap();

    let (run, log) = swept(&server, &vault).await;
    assert!(!run.message.contains(PART), "{run:?}");
    assert!(!log.contains("a restore was to put into"), "{log}");
    server.stop().await;
}

/// Its secret may lie where nothing answers.
async fn what_drills_are_given_nothing_of_is_asked_for_nothing(database: Database) {
    let mut site = Site::new(database).with_repository();
    let secret = site.data().join("of-crm");
    fs::write(&secret, "secret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    site.configure(&format!(
        "[secrets.crm]\nfile = {:?}\n[backups.sources.crm]\npostgres = \"postgres://crm@localhost/crm\"\n\
         password = {{ secret = \"crm\" }}\n",
        secret.display()
    ));
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    fs::remove_file(&secret).unwrap();

    let (run, _) = swept(&server, &vault).await;

    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert!(!run.message.contains("of-crm"), "{run:?}");
    server.stop().await;
}

/// They go once what they may have left was looked for, as by a cleanup that is paused.
async fn plans_of_runs_keep_no_new_one_away(database: Database) {
    let site = Site::new(database);
    site.start().await.stop().await;
    let clock = Arc::new(site.clock.clone());
    let store = Store::open_existing(&site.location(), clock).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let now = site.clock.now();
    for number in 0..=1000 {
        let key = format!("run:{number}");
        tx.restore_plan_keep(&key, now, &number).await.unwrap();
    }
    tx.restore_plan_keep("new", now, &1001).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}
