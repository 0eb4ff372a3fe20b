//! Drills: what a restore brings back otherwise without a word of it fails them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    sync::Arc,
};

use watchbell::backup::repository::{Entry, EntryKind};
use watchbell_client::pb;

use super::{faulty::Faulty, likeness::source, vault::Vault};
use crate::support::{Database, Site, on_both};

/// What an entry's path ends with, what is said of it, and how a restore is told it.
type Change = (&'static str, &'static str, fn(&mut Entry));

on_both!(a_restore_that_brings_something_back_otherwise_fails_the_drill);

async fn a_restore_that_brings_something_back_otherwise_fails_the_drill(database: Database) {
    let files = tempfile::tempdir().unwrap();
    fs::write(files.path().join("index.html"), "hello").unwrap();
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(files.path().join("index.html"), mode).unwrap();
    fs::create_dir(files.path().join("empty")).unwrap();
    symlink("index.html", files.path().join("link")).unwrap();
    let mut site = Site::configured(database, &source("www", files.path()));
    let faults = Faulty::default();
    site.repositories = Arc::new(faults.clone());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("www", &["database", "www"]).await;
    vault.back_up("www").await;
    let point = vault.newest().await.name;
    let drill = async || vault.verify(&point, pb::VerificationLevel::Drill).await;
    let changes: [Change; 3] = [
        ("/link", "without target index.html", |entry| {
            entry.kind = EntryKind::Link(b"/etc/passwd".to_vec());
        }),
        ("/index.html", "without permissions 644", |entry| {
            entry.mode = 0o666
        }),
        ("/empty", "without time", |entry| entry.mtime = 0),
    ];

    for (path, says, change) in changes {
        faults.alters(path, change);
        let run = drill().await;
        assert_eq!(run.state(), pb::RunState::Failed, "{run:?}");
        assert!(run.message.contains("1 differ: /sources/www/"), "{run:?}");
        let said = format!("{path}: it came back {says}");
        assert!(run.message.contains(&said), "{says}: {run:?}");
    }
    // What is stored is as it was: it is the restore that was not.
    assert_eq!(vault.point(&point).await.0.damage_time, None);
    let plan = vault.plan_retention().await;
    let frozen = plan.frozen_message;
    assert!(frozen.contains("the last drill failed"), "{frozen}");
    let run = drill().await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert_eq!(vault.plan_retention().await.frozen_message, "");
    vault.leaves_nothing_behind(&site).await;
    server.stop().await;
}
