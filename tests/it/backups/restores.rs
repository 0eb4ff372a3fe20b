//! Restores bring back everything that files were, and say what they could not.

use std::{fs, path::Path};

use watchbell_client::pb;

use super::{
    likeness::{assert_same, fill, likeness_of, restored_at, source},
    restic::Restic,
    vault::Vault,
};
use crate::{
    contents::desk::bytes,
    support::{Database, Server, Site, on_both},
};

on_both!(
    a_restore_brings_back_all_that_files_are,
    an_export_holds_all_that_files_are,
    a_directory_that_is_lost_costs_what_is_in_it_and_no_more,
    what_a_killed_restore_has_left_goes,
    a_restore_follows_no_link_that_was_made_since_its_plan,
    a_restore_of_a_point_with_files_missing_is_partial,
    a_point_whose_snapshot_was_taken_away_counts_for_nothing,
);

/// A server with a source of everything, and a policy of it.
async fn of_everything(database: Database, files: &Path) -> (Site, Server) {
    fill(files);
    let site = Site::configured(database, &source("all", files)).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault
        .create_full("all", &["database", "content", "all"])
        .await;
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    (site, server)
}

async fn a_restore_brings_back_all_that_files_are(database: Database) {
    let files = tempfile::tempdir().unwrap();
    let (site, server) = of_everything(database, files.path()).await;
    let vault = Vault::of(&server, &site);
    let run = vault.back_up("all").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");

    let plan = vault.plan("all-of-it").await.unwrap();
    let run = vault.execute(&plan.token).await;

    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let restored = site.data().join("restores/all-of-it");
    let is = likeness_of(&restored_at(&restored, "all", files.path()));
    assert_same(&is, &likeness_of(files.path()));
    if let Some(restic) = vault.restic() {
        let by_restic = restic.restore(&vault.newest().await.snapshot);
        let at = restored_at(by_restic.path(), "all", files.path());
        let by_restic = likeness_of(&at);
        assert_eq!(
            is.keys().collect::<Vec<_>>(),
            by_restic.keys().collect::<Vec<_>>()
        );
    }
    let drill = vault.drill().await;
    assert_eq!(drill.outcome(), pb::RunOutcome::Worked, "{drill:?}");
    vault.leaves_nothing_behind(&site).await;
    server.stop().await;
}

async fn an_export_holds_all_that_files_are(database: Database) {
    let files = tempfile::tempdir().unwrap();
    let (site, server) = of_everything(database, files.path()).await;
    let vault = Vault::of(&server, &site);
    vault.back_up("all").await;
    let run = vault.back_up("weekly-export").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let point = vault.newest_of(pb::BackupKind::Export).await;
    let file = site.data().join("backups/exports").join(&point.file);
    let unpacked = tempfile::tempdir().unwrap();
    let tar = std::process::Command::new("tar")
        .args(["--zstd", "-xpf"])
        .arg(&file)
        .arg("-C")
        .arg(unpacked.path())
        .args(["--numeric-owner", "--xattrs", "--xattrs-include=*"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tar.stderr);
    assert!(tar.status.success(), "{said}");
    let at = restored_at(&unpacked.path().join("files"), "all", files.path());
    assert_same(&likeness_of(&at), &likeness_of(files.path()));
    let verified = watchbell::backup::export::verify(&file).unwrap();
    assert_eq!(verified.findings, [""; 0]);
    server.stop().await;
}

async fn a_directory_that_is_lost_costs_what_is_in_it_and_no_more(database: Database) {
    let files = tempfile::tempdir().unwrap();
    for folder in ["a", "b", "c"] {
        fs::create_dir(files.path().join(folder)).unwrap();
        for number in 0..50 {
            let name = format!("{folder}/{number:02}");
            fs::write(files.path().join(&name), name.repeat(20)).unwrap();
        }
    }
    let site = Site::configured(database, &source("all", files.path())).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault
        .create_full("all", &["database", "content", "all"])
        .await;
    vault.back_up("all").await;
    let point = vault.newest().await;
    let Some(restic) = vault.restic() else {
        return server.stop().await;
    };
    let plan = vault.plan("some").await.unwrap();
    let lost = format!("sources/all{}/b", files.path().display());
    lose_directory(&restic, &vault.repository(), &point.snapshot, &lost);

    // A new backup shares what is lost, and is not the end of all of them.
    let run = vault.back_up("all").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    let next = vault.newest().await;
    assert_ne!(next.name, point.name);
    assert_eq!(next.missing_count, 50, "{next:?}");
    let (point, _) = vault.point(&point.name).await;
    assert!(
        point.damage_time.is_some(),
        "what it shares is lost to it, too: {point:?}"
    );

    let run = vault.execute(&plan.token).await;
    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    assert!(run.message.contains("/b: "), "{run:?}");
    assert!(
        run.message.contains("50 did not come back whole"),
        "{run:?}"
    );
    let restored = restored_at(&site.data().join("restores/some"), "all", files.path());
    for (folder, count) in [("a", 50), ("b", 0), ("c", 50)] {
        let there = fs::read_dir(restored.join(folder)).unwrap().count();
        assert_eq!(there, count, "{folder}");
    }

    // A drill goes the way of a restore, and meets it, too.
    let level = pb::VerificationLevel::Drill;
    let drill = vault.verify(&point.name, level).await;
    assert_eq!(drill.state(), pb::RunState::Failed, "{drill:?}");
    assert!(drill.message.contains("/b: "), "{drill:?}");

    // Reading goes on: all other data is read, each day another part.
    let before = vault.statistics().await.read_coverage_percent;
    for _ in 1..=10 {
        vault.verify_by_schedule().await;
        server.advance(1);
    }
    crate::support::until("more of it to be read", async || {
        (before + 20.0 < vault.statistics().await.read_coverage_percent).then_some(())
    })
    .await;
    server.stop().await;
}

/// Changes a byte of what the repository stores of a directory.
fn lose_directory(restic: &Restic, repository: &Path, snapshot: &str, path: &str) {
    let json =
        |args: &[&str]| -> serde_json::Value { serde_json::from_str(&restic.must(args)).unwrap() };
    let mut tree = json(&["cat", "snapshot", snapshot])["tree"]
        .as_str()
        .unwrap()
        .to_owned();
    for name in path.split('/') {
        let nodes = json(&["cat", "blob", &tree]);
        let nodes = nodes["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["name"] == name).unwrap();
        node["subtree"].as_str().unwrap().clone_into(&mut tree);
    }
    for index in restic.must(&["list", "index"]).lines() {
        for pack in json(&["cat", "index", index])["packs"].as_array().unwrap() {
            for blob in pack["blobs"].as_array().unwrap() {
                if blob["id"] != tree.as_str() {
                    continue;
                }
                let id = pack["id"].as_str().unwrap();
                let file = repository.join("data").join(&id[..2]).join(id);
                let mut bytes = fs::read(&file).unwrap();
                let at = blob["offset"].as_u64().unwrap() + blob["length"].as_u64().unwrap() / 2;
                bytes[usize::try_from(at).unwrap()] ^= 1;
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                fs::set_permissions(&file, mode).unwrap();
                return fs::write(&file, bytes).unwrap();
            }
        }
    }
    panic!("no pack holds {tree}");
}

async fn what_a_killed_restore_has_left_goes(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let plan = vault.plan("below/some").await.unwrap();
    let run = vault.execute(&plan.token).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    // As if it had been killed, and no attempt had come after.
    let id = run.name.rsplit('/').next().unwrap();
    let left = site
        .data()
        .join(format!("restores/below/.some.{id}.unfinished"));
    let mine = site.data().join("restores/below/.some.mine.unfinished");
    for folder in [&left, &mine] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("secret"), "decrypted").unwrap();
    }

    fs::remove_dir_all(site.data().join("restores/below/some")).unwrap();
    // A restore looks for what lies where it is to lie itself: elsewhere a disk may hang.
    for (to, stays) in [("another", true), ("below/some", false)] {
        let plan = vault.plan(to).await.unwrap();
        let run = vault.execute(&plan.token).await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
        assert_eq!(left.exists(), stays, "{to}");
    }
    assert!(mine.join("secret").exists(), "it is nobody's here");

    fs::create_dir(&left).unwrap();
    let run = server.trigger("backup-cleanup").await;
    server.ended(&run.name).await;
    assert!(!left.exists());
    server.stop().await;
}

async fn a_restore_follows_no_link_that_was_made_since_its_plan(database: Database) {
    let outside = tempfile::tempdir().unwrap();
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let roots = site.data().join("restores");
    fs::create_dir_all(roots.join("room")).unwrap();
    for (place, link) in [("room/new", "room"), ("bare", "bare")] {
        let plan = vault.plan(place).await.unwrap();
        assert!(!plan.token.is_empty(), "{plan:?}");
        drop(fs::remove_dir(roots.join(link)));
        std::os::unix::fs::symlink(outside.path(), roots.join(link)).unwrap();
        let run = vault.execute(&plan.token).await;
        assert_eq!(run.state(), pb::RunState::Failed, "{run:?}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "{place}");
    }
    server.stop().await;
}

async fn a_restore_of_a_point_with_files_missing_is_partial(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    vault.document("SOP-2", &bytes(30_000, 2)).await;
    vault.back_up("daily-full").await;
    let (good, _) = vault.point(&vault.newest().await.name).await;
    // One content is gone when the next is made.
    let contents = site.data().join("contents");
    let lost = super::restic::everything_in(&contents)
        .into_keys()
        .find(|path| path.file_name().unwrap().len() == 64)
        .unwrap();
    fs::remove_file(contents.join(&lost)).unwrap();
    server.advance(60);
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    let partial = vault.newest().await;
    assert_ne!(partial.name, good.name);
    let request = pb::PlanRestoreRequest {
        restore_point: partial.name,
        directory: "partial".to_owned(),
        ..pb::PlanRestoreRequest::default()
    };
    let mut backups = server.client.backups();
    let plan = backups.plan_restore(request).await.unwrap().into_inner();
    let run = vault.execute(&plan.token).await;
    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");
    assert!(
        run.message
            .contains("1 files were never in the restore point"),
        "{run:?}"
    );
    server.stop().await;
}

async fn a_point_whose_snapshot_was_taken_away_counts_for_nothing(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let point = vault.newest().await;
    let Some(restic) = vault.restic() else {
        return server.stop().await;
    };
    restic.must(&["forget", &point.snapshot]);

    let drill = vault
        .verify(&point.name, pb::VerificationLevel::Drill)
        .await;

    assert_eq!(drill.state(), pb::RunState::Failed, "{drill:?}");
    assert!(drill.message.contains("there is no snapshot"), "{drill:?}");
    let (gone, _) = vault.point(&point.name).await;
    assert!(gone.damage_time.is_some(), "{gone:?}");
    assert_eq!(vault.statistics().await.last_success_hours_ago, None);
    server.advance(60);
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    server.stop().await;
}
