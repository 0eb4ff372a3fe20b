//! Dumps of PostgreSQL brought back: whole or not at all, by the programs that are named, and tried where the server's
//! role may make a database.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};

use sea_orm::ConnectionTrait as _;
use watchbell_client::pb;

use super::vault::Vault;
use crate::support::{Database, Site, on_postgresql, program, until};

on_postgresql!(
    a_load_that_fails_leaves_nothing_and_can_be_repeated,
    a_database_that_could_not_be_restored_is_no_drill,
);

/// What is told of the last argument, which is the dump: that of it half is there.
const CUT_OFF: &str = r#"#!/bin/sh
touch "$0.used"
n=$#; i=0
for a; do i=$((i+1)); [ $i -lt $n ] && set -- "$@" "$a"; last=$a; done
shift $n
head -c $(($(stat -c %s "$last") - 3000)) "$last" > "$0.cut"
exec $(ls /usr/lib/postgresql/*/bin/pg_restore | tail -1) "$@" "$0.cut"
"#;

fn restore(site: &Site, more: &[&str]) -> Output {
    let own = site.data().join("backups");
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
    command
        .arg("restore")
        .args(["--repository".as_ref(), own.join("repository").as_os_str()])
        .args(["--password-file".as_ref(), own.join("password").as_os_str()])
        .args(more);
    command.output().unwrap()
}

async fn a_load_that_fails_leaves_nothing_and_can_be_repeated(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", b"what is in it").await;
    vault.back_up("daily-full").await;
    server.stop().await;
    let programs = tempfile::tempdir().unwrap();
    program(&programs.path().join("pg_dump"), "#!/bin/sh\nexit 1\n");
    program(&programs.path().join("pg_restore"), CUT_OFF);
    let file = programs.path().join("watchbell.toml");
    let toml = format!("[backups]\npg_bin = {:?}\n", programs.path().display());
    fs::write(&file, toml).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let empty = site.database.empty().await;
    let (url, file) = (empty.url(), file.display().to_string());
    let new = tempfile::tempdir().unwrap();
    let data = |name: &str| new.path().join(name).display().to_string();

    let first = data("first");
    let to = ["--config", &file, "--data", &first, "--database", &url];
    let done = restore(&site, &to);

    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("pg_restore failed"), "{said}");
    assert!(programs.path().join("pg_restore.used").exists());
    let again = data("again");
    let done = restore(&site, &["--data", &again, "--database", &url]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
}

async fn a_database_that_could_not_be_restored_is_no_drill(database: Database) {
    let site = Site::new(database).with_repository();
    let role = format!("nobody_{}", uuid::Uuid::now_v7().simple());
    let admin = site.database.connect(site.data()).await;
    // It may do with this database what its owner may, and has none of its attributes.
    let make = format!(
        "CREATE ROLE {role} LOGIN NOCREATEDB; \
         DO $$ BEGIN EXECUTE format('GRANT %I TO {role}', current_user); END $$"
    );
    admin.execute_unprepared(&make).await.unwrap();
    let url = site.database.url();
    let (before, after) = url.split_once('@').unwrap();
    let scheme = before.split_once("://").unwrap().0;
    let server = site.start_on(&format!("{scheme}://{role}@{after}")).await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", b"what is in it").await;
    vault.back_up("daily-full").await;

    let drill = vault.drill().await;

    assert_eq!(drill.outcome(), pb::RunOutcome::Partial, "{drill:?}");
    let said = "no right to create a database";
    assert!(drill.message.contains(said), "{drill:?}");
    let problem = server.problem("backup.not_drilled").await;
    assert_eq!(problem.severity(), pb::Severity::Warning, "{problem:?}");
    let figures = vault.statistics().await;
    assert_eq!(figures.restorable_as_of_time, None, "{figures:?}");
    // It still is when it is looked at again.
    server.advance(60);
    let run = server.trigger("verify-backups").await;
    let run = server.ended(&run.name).await;
    assert_ne!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    server.problem("backup.not_drilled").await;

    let alter = format!("ALTER ROLE {role} CREATEDB");
    admin.execute_unprepared(&alter).await.unwrap();
    let drill = vault.drill().await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
    until("the problem to end", async || {
        let problems = server.status().await.problems;
        let mut there = problems.iter();
        (!there.any(|problem| problem.r#type == "backup.not_drilled")).then_some(())
    })
    .await;
    vault.leaves_nothing_behind(&site).await;
    server.stop().await;
    let gone = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    admin.execute_unprepared(&gone).await.unwrap();
}
