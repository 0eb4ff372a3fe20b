//! What a backup is made of, and what comes back of it.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, path::Path};

use watchbell_client::pb;

use super::{restic::everything_in, vault::Vault};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both},
};

on_both!(
    a_content_that_documents_refer_to_and_that_is_gone_makes_a_point_partial,
    sources_of_the_configuration_come_back_with_their_odd_names,
    a_dump_of_the_same_size_with_something_else_in_it_is_stored_anew,
    everything_restored_is_what_it_was,
    a_restore_writes_over_nothing_and_leaves_its_roots_never,
);

async fn a_content_that_documents_refer_to_and_that_is_gone_makes_a_point_partial(
    database: Database,
) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(5000, 1)).await;
    vault.document("SOP-2", &bytes(5000, 2)).await;
    let lost = everything_in(&site.data().join("contents"))
        .into_keys()
        .find(|path| 64 <= path.file_name().unwrap().len())
        .unwrap();
    fs::remove_file(site.data().join("contents").join(&lost)).unwrap();

    let run = vault.back_up("daily-full").await;

    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    let point = vault.newest().await;
    assert_eq!(point.state(), pb::RestorePointState::Partial);
    assert_eq!(point.missing_count, 1);
    assert_eq!(
        point.missing[0].path,
        format!("/content/{}", lost.display())
    );
    let figures = vault.statistics().await;
    assert_eq!(
        figures.last_success_hours_ago, None,
        "only good points count"
    );
    assert_eq!(
        (figures.jobs_partial_24h, figures.jobs_completed_24h),
        (1, 0)
    );
    server.problem("backup.partial").await;
    server.stop().await;
}

async fn sources_of_the_configuration_come_back_with_their_odd_names(database: Database) {
    let files = tempfile::tempdir().unwrap();
    let root = files.path().join("www");
    fs::create_dir_all(root.join("cache")).unwrap();
    fs::write(root.join("index.html"), "hello").unwrap();
    fs::write(root.join("cache/old.html"), "left out").unwrap();
    fs::write(root.join("two\nlines \\ and more"), "odd").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"caf\xe9")), "not UTF-8").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
    nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let toml = format!(
        "[backups.sources.www]\npaths = [{:?}]\nexclude = [\"cache/**\"]\n",
        root.display()
    );
    let site = Site::configured(database, &toml).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("www", &["www"]).await;

    let run = vault.back_up("www").await;

    // A fifo is never read, told of in the log, and nothing is missing.
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let point = vault.newest().await;
    assert_eq!(point.missing_count, 0, "{point:?}");
    let log = vault.log(&run.name).await;
    let fifo = format!("/sources/www{}/fifo", root.display());
    assert!(log.contains(&fifo), "{log}");
    if let Some(restic) = vault.restic() {
        restic.finds_it_sound();
        let restored = restic.restore(&point.snapshot);
        let inside = root.strip_prefix("/").unwrap();
        let all = everything_in(&restored.path().join("sources/www").join(inside));
        assert_eq!(all[Path::new("two\nlines \\ and more")], b"odd");
        assert_eq!(all[Path::new(OsStr::from_bytes(b"caf\xe9"))], b"not UTF-8");
        assert_eq!(
            all[Path::new("link")],
            b"/etc/passwd",
            "links are stored as links"
        );
        assert!(
            !all.contains_key(Path::new("cache/old.html")),
            "{:?}",
            all.keys()
        );
    }
    server.stop().await;
}

async fn a_dump_of_the_same_size_with_something_else_in_it_is_stored_anew(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", b"one").await;
    vault.back_up("daily-full").await;
    let first = vault.newest().await;
    // As long as before, and another text.
    let db = site.database.connect(site.data()).await;
    sea_orm::ConnectionTrait::execute_unprepared(&db, "UPDATE documents SET title = 'POS-1'")
        .await
        .unwrap();
    server.advance(60);
    vault.back_up("daily-full").await;
    let second = vault.newest().await;
    assert_ne!(first.name, second.name);
    if let Some(restic) = vault.restic() {
        let name = match site.database.is_postgresql() {
            true => "database/watchbell.dump",
            false => "database/watchbell.db",
        };
        for (point, title) in [(&first, "SOP-1"), (&second, "POS-1")] {
            let restored = restic.restore(&point.snapshot);
            let dump = fs::read(restored.path().join(name)).unwrap();
            let found = dump.windows(5).any(|window| window == title.as_bytes());
            assert!(found, "{title}");
        }
        restic.finds_it_sound();
    }
    server.stop().await;
}

async fn everything_restored_is_what_it_was(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    for number in 1..=9 {
        vault
            .document(&format!("SOP-{number}"), &bytes(20_000, number))
            .await;
    }
    vault.back_up("daily-full").await;
    let plan = vault.plan("all-of-it").await.unwrap();
    assert_eq!((plan.file_count, plan.conflicts.len()), (12, 0), "{plan:?}");
    let run = vault.execute(&plan.token).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let restored = site.data().join("restores/all-of-it");
    let contents = everything_in(&site.data().join("contents"));
    let back = everything_in(&restored.join("content"));
    for (path, bytes) in contents
        .iter()
        .filter(|(path, _)| 64 <= path.as_os_str().len())
    {
        assert_eq!(back[path], *bytes);
    }
    assert_eq!(run.counters["files_restored"], 12);

    // A token is good for one restore.
    let again = pb::ExecuteRestoreRequest {
        token: plan.token,
        ..pb::ExecuteRestoreRequest::default()
    };
    let again = server
        .client
        .backups()
        .execute_restore(again)
        .await
        .unwrap_err();
    assert_eq!(again.code(), tonic::Code::InvalidArgument, "{again:?}");
    // Restores are no backups.
    assert_eq!(vault.statistics().await.jobs_last_24h, 1);

    if site.database.is_postgresql() {
        let name = format!("restored_{}", uuid::Uuid::now_v7().simple());
        let request = pb::PlanRestoreRequest {
            restore_point: "restorePoints/latest".to_owned(),
            directory: "with-database".to_owned(),
            new_database: name.clone(),
            ..pb::PlanRestoreRequest::default()
        };
        let plan = server
            .client
            .backups()
            .plan_restore(request)
            .await
            .unwrap()
            .into_inner();
        let run = vault.execute(&plan.token).await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
        assert!(run.message.contains(&name), "{run:?}");
        let db = site.database.connect(site.data()).await;
        let drop = format!("DROP DATABASE {name}");
        sea_orm::ConnectionTrait::execute_unprepared(&db, &drop)
            .await
            .unwrap();
    }
    server.stop().await;
}

async fn a_restore_writes_over_nothing_and_leaves_its_roots_never(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let roots = site.data().join("restores");
    fs::create_dir_all(roots.join("taken")).unwrap();
    fs::write(roots.join("taken/mine"), "mine").unwrap();
    std::os::unix::fs::symlink("/tmp", roots.join("link")).unwrap();
    for wrong in [
        "",
        "/etc/restored",
        "../outside",
        "a/../../b",
        "link/inside",
    ] {
        let status = vault.plan(wrong).await.unwrap_err();
        assert_eq!(
            status.code(),
            tonic::Code::InvalidArgument,
            "{wrong}: {status:?}"
        );
        assert_eq!(
            crate::support::violations(&status),
            ["directory"],
            "{wrong}"
        );
    }
    let taken = vault.plan("taken").await.unwrap();
    assert!(taken.token.is_empty(), "{taken:?}");
    assert!(
        taken.conflicts[0].contains("is there and not empty"),
        "{taken:?}"
    );

    // What was free when it was planned need not be so when it is done.
    let plan = vault.plan("later").await.unwrap();
    fs::create_dir_all(roots.join("later")).unwrap();
    fs::write(roots.join("later/mine"), "mine").unwrap();
    let run = vault.execute(&plan.token).await;
    assert_eq!(run.state(), pb::RunState::Failed, "{run:?}");
    assert_eq!(fs::read_dir(roots.join("later")).unwrap().count(), 1);
    assert_eq!(fs::read(roots.join("later/mine")).unwrap(), b"mine");

    // After 15 minutes a plan is over.
    let plan = vault.plan("late").await.unwrap();
    server.advance(15 * 60 + 1);
    let late = pb::ExecuteRestoreRequest {
        token: plan.token,
        ..pb::ExecuteRestoreRequest::default()
    };
    let late = server
        .client
        .backups()
        .execute_restore(late)
        .await
        .unwrap_err();
    assert_eq!(late.code(), tonic::Code::InvalidArgument);
    server.stop().await;
}
