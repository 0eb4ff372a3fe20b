//! Retention: what goes, what stays and why, and that an outage deletes nothing.

use std::{path::Path, process::Command};

use tonic::Code;
use watchbell_client::pb;

use super::vault::Vault;
use crate::support::{Database, Server, Site, on_both, refused, skip};

on_both!(
    what_no_rule_keeps_goes_and_what_is_pinned_stays,
    much_that_would_go_must_be_confirmed,
    three_of_eight_are_much_and_the_one_that_each_new_point_pushes_out_is_not,
    an_outage_deletes_nothing,
    an_export_is_made_rotated_and_verified,
    an_archive_is_a_copy_with_a_password_of_its_own,
);

const DAY: i64 = 86_400;

async fn keep(vault: &Vault<'_>, policy: &str, last: i32) {
    let policy = pb::BackupPolicy {
        name: format!("backupPolicies/{policy}"),
        schedule: None,
        retention: Some(pb::RetentionPolicy {
            keep_last: last,
            ..pb::RetentionPolicy::default()
        }),
        ..pb::BackupPolicy::default()
    };
    vault.update_policy(policy, &["retention"]).await.unwrap();
}

async fn apply(server: &Server, confirm: bool) -> Result<pb::Run, tonic::Status> {
    let resume = pb::ResumeAllRequest::default();
    let mut scheduler = server.client.scheduler();
    scheduler.resume_all(resume).await.unwrap();
    let applied = applied(server, confirm).await;
    quiet(server).await;
    applied
}

async fn applied(server: &Server, confirm: bool) -> Result<pb::Run, tonic::Status> {
    let request = pb::ApplyRetentionRequest {
        confirm,
        ..pb::ApplyRetentionRequest::default()
    };
    let answer = server.client.backups().apply_retention(request).await?;
    let run = answer.into_inner().run.unwrap();
    Ok(server.ended(&run.name).await)
}

/// Points of the policy on demand, a day apart.
async fn backed_up(vault: &Vault<'_>, count: usize) {
    for _ in 0..count {
        vault.server.advance(DAY);
        let run = vault.back_up("pre-deployment").await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    }
}

async fn what_no_rule_keeps_goes_and_what_is_pinned_stays(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    quiet(&server).await;
    let vault = Vault::of(&server, &site);
    backed_up(&vault, 6).await;
    keep(&vault, "pre-deployment", 4).await;
    let points = vault.points().await;
    let oldest = points.last().unwrap().name.clone();
    let pin = |pinned: bool, reason: &str| pb::PinRestorePointRequest {
        name: oldest.clone(),
        pinned,
        reason: reason.to_owned(),
        ..pb::PinRestorePointRequest::default()
    };
    let mut backups = server.client.backups();
    let bare = backups.pin_restore_point(pin(true, "")).await.unwrap_err();
    assert_eq!(bare.code(), Code::InvalidArgument);
    backups
        .pin_restore_point(pin(true, "before the audit"))
        .await
        .unwrap();

    let plan = vault.plan_retention().await;
    assert_eq!((plan.keep_count, plan.remove_count), (5, 1), "{plan:?}");
    let reasons: Vec<&str> = plan
        .decisions
        .iter()
        .flat_map(|one| &one.reasons)
        .map(String::as_str)
        .collect();
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("before the audit")),
        "{reasons:?}"
    );
    assert!(reasons.contains(&"no rule keeps it"), "{reasons:?}");

    let run = apply(&server, false).await.unwrap();
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let left: Vec<String> = vault
        .points()
        .await
        .into_iter()
        .map(|point| point.name)
        .collect();
    let wanted: Vec<String> = points.iter().map(|point| point.name.clone()).collect();
    assert_eq!(left, [&wanted[..4], &wanted[5..]].concat());
    let (gone, _) = vault.point(&wanted[4]).await;
    assert_eq!(gone.remove_reason, "no rule keeps it");
    let log = vault.log(&run.name).await;
    assert!(
        log.contains(&format!("remove {}", wanted[4])),
        "the plan is stored: {log}"
    );

    // A day later what only it held is removed, and all else comes back.
    server.advance(DAY + 60);
    let run = apply(&server, false).await.unwrap();
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    if let Some(restic) = vault.restic() {
        restic.finds_it_sound();
        for point in vault.points().await {
            restic.restore(&point.snapshot);
        }
    }
    server.stop().await;
}

/// Slots that pass while the clock moves on are not this story's.
async fn quiet(server: &Server) {
    let request = pb::PauseAllRequest {
        reason: "a story of another task".to_owned(),
        ..pb::PauseAllRequest::default()
    };
    server.client.scheduler().pause_all(request).await.unwrap();
}

async fn much_that_would_go_must_be_confirmed(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    quiet(&server).await;
    let vault = Vault::of(&server, &site);
    backed_up(&vault, 8).await;
    keep(&vault, "pre-deployment", 1).await;
    assert!(vault.plan_retention().await.needs_confirmation);
    let (code, reason, _) = refused(apply(&server, false).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "NEEDS_CONFIRMATION")
    );
    assert_eq!(vault.points().await.len(), 8);
    let run = apply(&server, true).await.unwrap();
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert_eq!(vault.points().await.len(), 3, "the last 3 good stay");
    server.stop().await;
}

async fn three_of_eight_are_much_and_the_one_that_each_new_point_pushes_out_is_not(
    database: Database,
) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    quiet(&server).await;
    let vault = Vault::of(&server, &site);
    backed_up(&vault, 8).await;
    keep(&vault, "pre-deployment", 5).await;
    assert!(vault.plan_retention().await.needs_confirmation);
    let (code, reason, _) = refused(apply(&server, false).await);
    assert_eq!(
        (code, reason.as_str()),
        (Code::FailedPrecondition, "NEEDS_CONFIRMATION")
    );
    apply(&server, true).await.unwrap();
    assert_eq!(vault.points().await.len(), 5);
    // Three new ones push out three.
    backed_up(&vault, 3).await;
    let plan = vault.plan_retention().await;
    assert_eq!(
        (plan.remove_count, plan.needs_confirmation),
        (3, false),
        "{plan:?}"
    );
    apply(&server, false).await.unwrap();
    assert_eq!(vault.points().await.len(), 5);
    // And no more than that.
    backed_up(&vault, 1).await;
    keep(&vault, "pre-deployment", 3).await;
    let plan = vault.plan_retention().await;
    assert_eq!(
        (plan.remove_count, plan.needs_confirmation),
        (3, true),
        "{plan:?}"
    );
    server.stop().await;
}

async fn an_outage_deletes_nothing(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    quiet(&server).await;
    let vault = Vault::of(&server, &site);
    for _ in 0..6 {
        server.advance(DAY);
        vault.back_up("daily-full").await;
    }
    keep(&vault, "daily-full", 4).await;
    // Two months in which nothing succeeds.
    server.advance(60 * DAY);
    let plan = vault.plan_retention().await;
    assert!(
        plan.frozen_message.contains("two periods have passed"),
        "{plan:?}"
    );
    assert_eq!(plan.remove_count, 0);
    let run = apply(&server, true).await.unwrap();
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert_eq!(vault.points().await.len(), 6);
    assert!(vault.statistics().await.retention_frozen);
    for kind in ["backup.overdue", "backup.stale", "backup.retention_frozen"] {
        server.problem(kind).await;
    }
    server.stop().await;
}

async fn an_export_is_made_rotated_and_verified(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    quiet(&server).await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", b"what is in it").await;
    let nothing = vault.back_up("weekly-export").await;
    assert_eq!(nothing.state(), pb::RunState::Failed);
    assert!(
        nothing.message.contains("run a backup first"),
        "{nothing:?}"
    );
    vault.back_up("daily-full").await;

    let run = vault.back_up("weekly-export").await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let point = vault.newest_of(pb::BackupKind::Export).await;
    let exports = site.data().join("backups/exports");
    let file = exports.join(&point.file);
    unpacked_by_stock_tools(&site, &exports, &file).await;
    for _ in 0..4 {
        server.advance(DAY);
        vault.back_up("daily-full").await;
        vault.back_up("weekly-export").await;
    }
    keep(&vault, "weekly-export", 3).await;
    let run = apply(&server, true).await.unwrap();
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert_eq!(
        std::fs::read_dir(&exports).unwrap().count(),
        6,
        "three with their checksums"
    );
    // What is written down as removed and could not be, as on a disk that was read-only, goes with the next cleanup.
    std::fs::write(&file, "left").unwrap();
    let run = apply(&server, true).await.unwrap();
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert!(!file.exists());
    assert_eq!(std::fs::read_dir(&exports).unwrap().count(), 6);
    server.stop().await;
}

/// Stock tools check and unpack it.
async fn unpacked_by_stock_tools(site: &Site, exports: &Path, file: &Path) {
    if Command::new("zstd").arg("--version").output().is_err() {
        skip("an export that stock tools unpack", "zstd is not installed");
        return;
    }
    let unpacked = tempfile::tempdir().unwrap();
    let shell = format!(
        "set -e; cd '{}'; sha256sum --quiet -c '{}.sha256'; tar --zstd -xf '{}' -C '{}'; cd '{}'; \
         sha256sum --quiet -c SHA256SUMS; test -s RESTORE.md",
        exports.display(),
        file.file_name().unwrap().display(),
        file.display(),
        unpacked.path().display(),
        unpacked.path().display(),
    );
    let done = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    if !site.database.is_postgresql() {
        let database = unpacked.path().join("database/watchbell.db");
        let db = sea_orm::Database::connect(format!("sqlite://{}", database.display()))
            .await
            .unwrap();
        let count = sea_orm::Statement::from_string(
            sea_orm::DbBackend::Sqlite,
            "SELECT count(*) FROM documents",
        );
        let row = sea_orm::ConnectionTrait::query_one_raw(&db, count)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 1);
    }
}

async fn an_archive_is_a_copy_with_a_password_of_its_own(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let password = vaults.path().join("password");
    std::fs::write(&password, "of the vault\n").unwrap();
    std::fs::set_permissions(
        &password,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let place = vaults.path().join("repository");
    let toml = format!(
        "[backups.archive]\nrepository = {:?}\npassword = {{ file = {:?} }}\n",
        place.display(),
        password.display(),
    );
    let site = Site::configured(database, &toml).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    assert_eq!(
        server
            .task("backup-monthly-archive")
            .await
            .schedule
            .unwrap()
            .cron,
        "0 4 1 * *"
    );
    vault.document("SOP-1", b"what is in it").await;
    vault.back_up("daily-full").await;

    // Nothing is drilled yet: it drills the newest first.
    let run = vault.back_up("monthly-archive").await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let archived = vault.newest_of(pb::BackupKind::Archive).await;
    assert!(archived.verify_time.is_some(), "{archived:?}");
    assert!(
        vault
            .newest_of(pb::BackupKind::Full)
            .await
            .drill_time
            .is_some()
    );
    if let Some(restic) = super::restic::Restic::at(&place, "of the vault") {
        restic.finds_it_sound();
        let restored = restic.restore(&archived.snapshot);
        assert!(restored.path().join("content").is_dir());
    }
    // The same again is not copied twice.
    let again = vault.back_up("monthly-archive").await;
    assert_eq!(again.outcome(), pb::RunOutcome::NothingToDo, "{again:?}");
    let drill = vault
        .verify(&archived.name, pb::VerificationLevel::Unspecified)
        .await;
    assert_eq!(drill.state(), pb::RunState::Succeeded, "{drill:?}");
    server.stop().await;
}
