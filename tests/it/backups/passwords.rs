//! The password of the repository, while the server lives.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use watchbell::backup::rustic::{Newer, Rustic};
use watchbell_client::pb;

use super::{
    alone::{restore, said},
    archives::with_archive,
    restic::Restic,
    vault::Vault,
};
use crate::support::{Database, Site, on_both, repository::PASSWORD, until};

on_both!(
    a_password_that_was_overwritten_is_told_at_once,
    a_password_is_rotated_beside_the_server,
    the_password_of_an_archive_is_rotated_beside_the_server,
    a_password_that_opens_nothing_is_moved_aside_and_the_one_in_force_is_told,
);

/// A password in a file, whole at once: the server looks whenever it likes, and an empty file or one that others may read
/// is told, too.
pub(super) fn secret(path: &Path, password: &str) {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap()).unwrap();
    writeln!(file, "{password}").unwrap();
    file.persist(path).unwrap();
}

/// By the command, with the configuration of that site's server.
pub(super) fn rotate(site: &Site, to: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
    command
        .args(["backup", "rotate-password", "--to"])
        .arg(to)
        .args(["--data".as_ref(), site.data().as_os_str()])
        .arg("--config")
        .arg(site.data().join("watchbell.toml"))
        .args(more);
    command.output().unwrap()
}

async fn a_password_that_was_overwritten_is_told_at_once(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let password = site.data().join("backups/password");
    secret(&password, "another horse");

    let run = vault.begin("daily-full").await.unwrap();
    let waiting = vault.settled(&run.name).await;
    assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
    assert!(
        waiting
            .message
            .contains("the password does not open the repository"),
        "{waiting:?}"
    );
    let problem = server.problem("backup.unready").await;
    assert!(problem.message.contains("password"), "{problem:?}");

    fs::remove_file(&password).unwrap();
    let lost = vault.begin("pre-deployment").await.unwrap();
    let lost = vault.settled(&lost.name).await;
    assert_ne!(lost.state(), pb::RunState::Succeeded, "{lost:?}");
    // Its next attempt would be due with the other's.
    if lost.state() == pb::RunState::RetryWait {
        let cancel = pb::CancelRunRequest {
            name: lost.name,
            ..pb::CancelRunRequest::default()
        };
        server.client.runs().cancel_run(cancel).await.unwrap();
    }

    secret(&password, PASSWORD);
    server.advance(61);
    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    until("the problem to be gone", async || {
        let problems = server.status().await.problems;
        let gone = problems
            .iter()
            .all(|problem| problem.r#type != "backup.unready");
        gone.then_some(())
    })
    .await;
    server.stop().await;
}

async fn a_password_is_rotated_beside_the_server(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let new = site.data().join("new-password");
    secret(&new, "battery staple");
    let rotate = || rotate(&site, &new, &[]);
    let done = rotate();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{told}");
    let password = site.data().join("backups/password");
    assert_eq!(fs::read_to_string(&password).unwrap(), "battery staple\n");
    let mode = fs::metadata(&password).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let run = vault.back_up("daily-full").await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    if let Some(restic) = vault.restic() {
        restic.finds_it_sound();
        let old = Restic::at(&vault.repository(), PASSWORD).unwrap();
        assert!(!old.run(&["snapshots"]).status.success());
    }
    let again = rotate();
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(told.contains("in force already"), "{told}");

    // One that is killed when the file is another, and the old key is there: the same order ends it.
    secret(&new, "third horse");
    let place = vault.repository();
    let stopped = std::panic::catch_unwind(|| {
        Rustic::rotate(
            &place,
            "battery staple",
            "third horse",
            Newer::Refused,
            || {
                secret(&password, "third horse");
                panic!("killed")
            },
        )
    });
    stopped.unwrap_err();
    let ended = rotate();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{told}");
    assert!(told.contains("broken off"), "{told}");
    if let Some(restic) = vault.restic() {
        let keys = restic.must(&["key", "list", "--json"]);
        assert_eq!(keys.matches("\"userName\"").count(), 1, "{keys}");
    }
    server.stop().await;
}

async fn the_password_of_an_archive_is_rotated_beside_the_server(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", b"what is in the first").await;
    vault.back_up("daily-full").await;
    let run = vault.back_up("monthly-archive").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let place = vaults.path().join("repository");
    let password = vaults.path().join("password");
    let old = vaults.path().join("old-password");
    fs::copy(&password, &old).unwrap();
    let new = vaults.path().join("new-password");
    secret(&new, "battery staple");

    let told = said(&rotate(&site, &new, &["--archive"]));

    let opens = format!("{} opens by the new password", place.display());
    assert!(told.contains(&opens), "{told}");
    assert_eq!(fs::read_to_string(&password).unwrap(), "battery staple\n");
    let own = site.data().join("backups/password");
    let own = fs::read_to_string(own).unwrap();
    assert_eq!(own.trim(), PASSWORD, "the first has its own, as before");
    assert!(!restore(&place, &old, &["--list"]).status.success());
    if let Some(restic) = Restic::at(&place, PASSWORD) {
        assert!(!restic.run(&["snapshots"]).status.success());
    }

    // The server goes on, in both.
    server.advance(60);
    vault.document("SOP-2", b"what is in the second").await;
    vault.back_up("daily-full").await;
    vault.drill().await;
    let run = vault.back_up("monthly-archive").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let archived = vault.newest_of(pb::BackupKind::Archive).await;
    let read = vault
        .verify(&archived.name, pb::VerificationLevel::Read)
        .await;
    assert_eq!(read.state(), pb::RunState::Succeeded, "{read:?}");
    server.stop().await;
    if let Some(restic) = Restic::at(&place, "battery staple") {
        restic.finds_it_sound();
    }

    // It is all that is left.
    fs::remove_dir_all(site.data().join("backups/repository")).unwrap();
    let next = Site::bare(site.database.empty().await);
    let (data, url) = (next.data().display().to_string(), next.database.url());
    let to = ["--data", data.as_str(), "--database", url.as_str()];
    let told = said(&restore(&place, &password, &to));
    assert!(told.contains("2 documents, 2 contents"), "{told}");
}

#[test]
fn a_file_that_both_locations_name_is_not_rotated() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    secret(&path("password"), PASSWORD);
    secret(&path("new"), "battery staple");
    fs::hard_link(path("password"), path("same")).unwrap();
    let toml = format!(
        "data = {:?}\n[backups]\nrepository = {:?}\npassword = {{ file = {:?} }}\n\
         [backups.archive]\nrepository = {:?}\npassword = {{ file = {:?} }}\n",
        path("data"),
        path("first"),
        path("password"),
        path("second"),
        path("same")
    );
    fs::write(path("watchbell.toml"), toml).unwrap();
    for of in [&[][..], &["--archive"][..]] {
        let done = Command::new(env!("CARGO_BIN_EXE_watchbell"))
            .args(["backup", "rotate-password", "--to"])
            .arg(path("new"))
            .arg("--config")
            .arg(path("watchbell.toml"))
            .args(of)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success(), "{told}");
        assert!(told.contains("of the other location, too"), "{told}");
    }
    let kept = fs::read_to_string(path("password")).unwrap();
    assert_eq!(kept, format!("{PASSWORD}\n"));
}

async fn a_password_that_opens_nothing_is_moved_aside_and_the_one_in_force_is_told(
    database: Database,
) {
    let elsewhere = tempfile::tempdir().unwrap();
    let named = elsewhere.path().join("password");
    secret(&named, PASSWORD);
    let toml = format!("[backups]\npassword = {{ file = {:?} }}\n", named.display());
    let site = Site::configured(database, &toml).with_repository();
    let own = site.data().join("backups/password");
    secret(&own, "of no repository");
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    until("it to be moved aside", async || {
        (!own.exists()).then_some(())
    })
    .await;
    let left = fs::read_dir(site.data().join("backups")).unwrap();
    let left: Vec<String> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("password.unused-"))
        .collect();
    assert_eq!(left.len(), 1);
    let figures = vault.statistics().await;
    assert_eq!(figures.password_source, named.display().to_string());
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    server.stop().await;
}
