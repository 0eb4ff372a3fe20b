//! Dumps of PostgreSQL: programs that are missing, old, fail or hang; and what of a password can be seen.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use watchbell::clock::Stopwatch;
use watchbell_client::pb;

use super::{
    faulty::{Fault, Faulty, Gate},
    vault::Vault,
};
use crate::support::{self, Database, Site, on_both, on_postgresql, until};

on_postgresql!(
    programs_that_are_missing_old_or_fail_are_told_apart_and_leave_nothing,
    a_dump_that_hangs_is_ended_at_once_when_its_run_is_cancelled,
    no_password_is_among_the_arguments_or_in_the_environment,
    two_replicas_back_up_into_one_repository,
);
on_both!(
    a_database_of_the_configuration_is_dumped_and_drilled,
    what_the_configuration_names_and_is_gone_fails_with_its_name,
);

/// A program of this name that does what the script says.
fn program(directory: &Path, name: &str, script: &str) {
    fs::create_dir_all(directory).unwrap();
    support::program(&directory.join(name), &format!("#!/bin/sh\n{script}\n"));
}

/// A site whose `pg_dump` is this script.
fn with_pg_dump(database: Database, script: &str) -> (Site, tempfile::TempDir) {
    let programs = tempfile::tempdir().unwrap();
    program(programs.path(), "pg_dump", script);
    program(programs.path(), "pg_restore", "exit 0");
    let toml = format!("[backups]\npg_bin = {:?}\n", programs.path().display());
    (
        Site::configured(database, &toml).with_repository(),
        programs,
    )
}

/// How long an end takes at most that waits for nothing: what is ended would go on for ten minutes.
const AT_ONCE: Duration = Duration::from_secs(30);
const VERSION: &str =
    "if [ \"$1\" = --version ]; then echo 'pg_dump (PostgreSQL) 99.1'; exit 0; fi";

async fn programs_that_are_missing_old_or_fail_are_told_apart_and_leave_nothing(
    database: Database,
) {
    let (mut site, programs) = with_pg_dump(
        database,
        &format!("{VERSION}\necho some; echo it broke >&2; exit 3"),
    );
    let scripts = [
        (
            format!("{VERSION}\necho some; echo it broke >&2; exit 3"),
            "pg_dump failed (exit status: 3): it broke",
        ),
        (
            "echo 'pg_dump (PostgreSQL) 9.6.24'".to_owned(),
            "pg_dump is of version 9, older than the server's",
        ),
        ("echo nonsense".to_owned(), "tells no version"),
        (format!("{VERSION}\nkill -9 $$"), "signal: 9"),
    ];
    for (script, message) in scripts {
        program(programs.path(), "pg_dump", &script);
        let server = site.start().await;
        let vault = Vault::of(&server, &site);
        let run = vault.begin("pre-deployment").await.unwrap();
        let waiting = vault.settled(&run.name).await;
        assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
        assert!(waiting.message.contains(message), "{message}: {waiting:?}");
        assert!(vault.points().await.is_empty());
        vault.leaves_nothing_behind(&site).await;
        let cancel = pb::CancelRunRequest {
            name: run.name,
            ..pb::CancelRunRequest::default()
        };
        server.client.runs().cancel_run(cancel).await.unwrap();
        if let Some(restic) = vault.restic() {
            assert_eq!(
                restic.must(&["snapshots", "--json"]).trim(),
                "[]",
                "{message}"
            );
        }
        server.stop().await;
    }
    site.configure("[backups]\npg_bin = \"/nowhere\"\n");
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let run = vault.begin("pre-deployment").await.unwrap();
    let waiting = vault.settled(&run.name).await;
    assert!(
        waiting
            .message
            .contains("are not in /nowhere, where backups.pg_bin says"),
        "{waiting:?}"
    );
    server.stop().await;
}

async fn a_dump_that_hangs_is_ended_at_once_when_its_run_is_cancelled(database: Database) {
    let (site, programs) = with_pg_dump(
        database,
        &format!(
            "{VERSION}\ntouch \"$(dirname \"$0\")/began\"\nsleep 600 & echo $! > \"$(dirname \"$0\")/child\"; wait"
        ),
    );
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let run = vault.begin("daily-full").await.unwrap();
    until("the dump to begin", async || {
        programs.path().join("child").exists().then_some(())
    })
    .await;
    let child = until("the child to be written", async || {
        let text = fs::read_to_string(programs.path().join("child")).ok()?;
        text.trim().parse::<u32>().ok()
    })
    .await;
    let began = Stopwatch::start();
    let cancel = pb::CancelRunRequest {
        name: run.name.clone(),
        ..pb::CancelRunRequest::default()
    };
    server.client.runs().cancel_run(cancel).await.unwrap();
    let run = server.ended(&run.name).await;
    let took = began.elapsed();
    assert_eq!(run.state(), pb::RunState::Cancelled, "{run:?}");
    assert!(took < AT_ONCE, "{took:?}");
    // What it had started went with it.
    until("the child of the dump to go", async || {
        (!Path::new(&format!("/proc/{child}")).exists()).then_some(())
    })
    .await;
    vault.leaves_nothing_behind(&site).await;
    server.stop().await;
}

async fn no_password_is_among_the_arguments_or_in_the_environment(database: Database) {
    let secret = "s3cret:with\\all";
    let (mut site, programs) = with_pg_dump(
        database,
        &format!(
            "{VERSION}\nd=$(dirname \"$0\")\necho \"$@\" > $d/seen; env >> $d/seen; cp \"$PGPASSFILE\" $d/pass; stat -c %a \"$PGPASSFILE\" > $d/mode; exit 3"
        ),
    );
    let password = site.data().join("crm");
    fs::write(&password, secret).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let url = site.database.url();
    let apart = format!("postgres = {url:?}\npassword = {{ secret = \"crm\" }}");
    let inside = format!("postgres = \"{url}?password=s3cret%3Awith%5Call\"");
    for (name, source) in [("crm", apart), ("erp", inside)] {
        site.configure(&format!(
            "[backups]\npg_bin = {:?}\n[secrets.crm]\nfile = {:?}\n[backups.sources.{name}]\n{source}\n",
            programs.path().display(),
            password.display(),
        ));
        keeps_its_password(&site, programs.path(), name).await;
    }
}

async fn keeps_its_password(site: &Site, programs: &Path, source: &str) {
    let server = site.start().await;
    let vault = Vault::of(&server, site);
    vault.create_policy(source, only(source)).await.unwrap();
    let run = vault.begin(source).await.unwrap();
    vault.settled(&run.name).await;
    let seen = fs::read_to_string(programs.join("seen")).unwrap();
    assert!(!seen.contains("s3cret"), "{seen}");
    assert!(seen.contains("--no-password"), "{seen}");
    let pass = fs::read_to_string(programs.join("pass")).unwrap();
    assert_eq!(pass, "*:*:*:*:s3cret\\:with\\\\all\n");
    assert_eq!(
        fs::read_to_string(programs.join("mode")).unwrap().trim(),
        "600"
    );
    for name in ["seen", "pass", "mode"] {
        fs::remove_file(programs.join(name)).unwrap();
    }
    server.stop().await;
}

fn only(source: &str) -> pb::BackupPolicy {
    pb::BackupPolicy {
        kind: pb::BackupKind::Full.into(),
        sources: vec![source.to_owned()],
        retention: Some(pb::RetentionPolicy {
            keep_last: 3,
            ..pb::RetentionPolicy::default()
        }),
        ..pb::BackupPolicy::default()
    }
}

async fn a_database_of_the_configuration_is_dumped_and_drilled(database: Database) {
    let files = tempfile::tempdir().unwrap();
    let wiki = files.path().join("wiki.db");
    let source = match database.is_postgresql() {
        true => format!("postgres = {:?}", database.url()),
        false => format!("sqlite = {:?}", wiki.display()),
    };
    let db = sea_orm::Database::connect(format!("sqlite://{}?mode=rwc", wiki.display()))
        .await
        .unwrap();
    let fill = "CREATE TABLE pages (id INTEGER PRIMARY KEY, text TEXT); INSERT INTO pages (text) VALUES ('a'), ('b')";
    sea_orm::ConnectionTrait::execute_unprepared(&db, fill)
        .await
        .unwrap();
    let site = Site::configured(database, &format!("[backups.sources.wiki]\n{source}\n"))
        .with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_policy("wiki", only("wiki")).await.unwrap();
    let run = vault.back_up("wiki").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let point = vault.newest().await;
    let drill = vault
        .verify(&point.name, pb::VerificationLevel::Unspecified)
        .await;
    assert_eq!(drill.state(), pb::RunState::Succeeded, "{drill:?}");
    if !site.database.is_postgresql() {
        assert!(
            drill.message.contains("wiki: 2 rows, as in the manifest"),
            "{drill:?}"
        );
    }
    server.stop().await;
}

async fn what_the_configuration_names_and_is_gone_fails_with_its_name(database: Database) {
    let toml = "[backups.sources.wiki]\nsqlite = \"/nowhere/wiki.db\"\n\
                [backups.sources.www]\npaths = [\"/nowhere/www\"]\n";
    let site = Site::configured(database, toml).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    for (source, message) in [
        ("wiki", "/nowhere/wiki.db is not there"),
        ("www", "source \"www\": /nowhere/www is not there"),
    ] {
        vault.create_policy(source, only(source)).await.unwrap();
        let run = vault.begin(source).await.unwrap();
        let waiting = vault.settled(&run.name).await;
        assert!(waiting.message.contains(message), "{waiting:?}");
    }
    assert!(vault.points().await.is_empty());
    server.stop().await;
}

async fn two_replicas_back_up_into_one_repository(database: Database) {
    let mut site = Site::new(database).with_repository();
    // None ends before the others have been asked for.
    let (script, gate) = (Faulty::default(), Arc::new(Gate::default()));
    for _ in 0..2 {
        script.will("archive", Fault::Wait(Arc::clone(&gate)));
    }
    site.repositories = Arc::new(script);
    let (one, two) = (site.start().await, site.start().await);
    let (first, second) = (Vault::of(&one, &site), Vault::of(&two, &site));
    first.document("SOP-1", b"what is in it").await;
    let runs = tokio::join!(
        first.begin("daily-full"),
        second.begin("daily-full"),
        second.begin("pre-deployment")
    );
    gate.open();
    // Of two that were asked for the same at once, one does it.
    let same = [runs.0, runs.1];
    assert_eq!(same.iter().filter(|run| run.is_ok()).count(), 1, "{same:?}");
    let refused = same.iter().find_map(|run| run.as_ref().err()).unwrap();
    assert_eq!(
        refused.code(),
        tonic::Code::FailedPrecondition,
        "{refused:?}"
    );
    for run in same.into_iter().chain([runs.2]).flatten() {
        let run = one.ended(&run.name).await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    }
    assert_eq!(first.points().await.len(), 2);
    if let Some(restic) = first.restic() {
        restic.finds_it_sound();
    }
    one.stop().await;
    two.stop().await;
}
