//! The second location: read in turn after it was written, like the first.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use watchbell_client::pb;

use super::{
    likeness::source,
    vault::Vault,
    verdicts::id,
    verifying::{flip, flip_in, largest},
};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both, repository, until},
};

on_both!(
    an_archive_is_read_in_turn_and_counts_in_the_coverage,
    damage_of_an_archive_is_told_and_it_is_not_called_archived_already,
    a_copy_that_was_found_damaged_is_not_what_a_restore_takes,
    copies_stay_while_what_they_are_made_of_has_lost_something,
    a_failed_drill_holds_copies_of_its_sources_until_one_passes_or_its_policy_is_disabled,
);

pub(super) fn with_archive(database: Database, vaults: &Path) -> Site {
    with_archive_and(database, vaults, "")
}

/// The same, with more in the configuration.
pub(super) fn with_archive_and(database: Database, vaults: &Path, more: &str) -> Site {
    let password = vaults.join("password");
    fs::write(&password, format!("{}\n", repository::PASSWORD)).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    repository::lay(&vaults.join("repository"));
    let toml = format!("{}{more}", archive_toml(vaults));
    Site::configured(database, &toml).with_repository()
}

/// What names it.
pub(super) fn archive_toml(vaults: &Path) -> String {
    format!(
        "[backups.archive]\nrepository = {:?}\npassword = {{ file = {:?} }}\n",
        vaults.join("repository").display(),
        vaults.join("password").display(),
    )
}

/// Points of the second location that are there, newest first.
pub(super) async fn archived(vault: &Vault<'_>) -> Vec<pb::RestorePoint> {
    let mut points = vault.points().await;
    points.retain(|point| point.kind() == pb::BackupKind::Archive);
    points
}

/// What a restore from there says.
pub(super) fn restored(vaults: &Path, next: &Site, more: &[&str]) -> String {
    let (repository, password) = (vaults.join("repository"), vaults.join("password"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
    command
        .arg("restore")
        .args(["--repository".as_ref(), repository.as_os_str()])
        .args(["--password-file".as_ref(), password.as_os_str()])
        .args(["--data".as_ref(), next.data().as_os_str()])
        .args(["--database", &next.database.url()])
        .args(more);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

async fn an_archive_is_read_in_turn_and_counts_in_the_coverage(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    for _ in 1..=14 {
        let run = vault.verify_by_schedule().await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    }
    assert_eq!(vault.statistics().await.read_coverage_percent, 50.0);
    vault.back_up("monthly-archive").await;
    for covered in 1..=28 {
        let run = vault.verify_by_schedule().await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
        let said = "of the archive's data is whole";
        assert!(run.message.contains(said), "{run:?}");
        let figures = vault.statistics().await;
        let percent = f64::from(covered) * 100.0 / 28.0;
        assert_eq!(figures.read_coverage_percent, percent, "{figures:?}");
    }
    // Away, it is said; what can be read is read.
    let away = vaults.path().join("away");
    fs::rename(vaults.path().join("repository"), &away).unwrap();
    let run = vault.verify_by_schedule().await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    assert!(
        run.message.contains("the archive could not be read"),
        "{run:?}"
    );
    server.stop().await;
}

async fn damage_of_an_archive_is_told_and_it_is_not_called_archived_already(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(1_500_000, 7)).await;
    vault.back_up("daily-full").await;
    vault.back_up("monthly-archive").await;
    let archived = vault.newest_of(pb::BackupKind::Archive).await;
    let flipped = flip(&vaults.path().join("repository"));
    let mut failed = false;
    for _ in 1..=28 {
        let run = vault.verify_by_schedule().await;
        failed = run.state() == pb::RunState::Failed;
        if failed {
            assert!(run.message.contains("the archive's data"), "{run:?}");
            break;
        }
    }
    assert!(failed, "every part was read");
    until("the problem", async || {
        let problems = server.status().await.problems;
        let told = |problem: &pb::Problem| {
            problem.r#type == "backup.verification_failed" && problem.subject == "backups/archive"
        };
        problems.iter().any(told).then_some(())
    })
    .await;
    let read = vault
        .verify(&archived.name, pb::VerificationLevel::Read)
        .await;
    assert_eq!(read.state(), pb::RunState::Failed, "{read:?}");

    let again = vault.back_up("monthly-archive").await;
    assert_eq!(again.state(), pb::RunState::Failed, "{again:?}");
    assert!(again.message.contains("is damaged in"), "{again:?}");
    // Mended, it is archived again.
    flip_in(&flipped);
    let again = vault.back_up("monthly-archive").await;
    assert_eq!(again.state(), pb::RunState::Succeeded, "{again:?}");
    let again = vault.back_up("monthly-archive").await;
    assert_eq!(again.outcome(), pb::RunOutcome::NothingToDo, "{again:?}");
    server.stop().await;
}

async fn a_copy_that_was_found_damaged_is_not_what_a_restore_takes(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    let first = vault.newest().await;
    vault.back_up("monthly-archive").await;
    server.advance(60);
    vault.document("SOP-1", &bytes(1_500_000, 7)).await;
    vault.back_up("daily-full").await;
    let second = vault.newest_of(pb::BackupKind::Full).await;
    vault.drill().await;
    vault.back_up("monthly-archive").await;
    let repository = vaults.path().join("repository");
    fs::remove_file(largest(&repository)).unwrap();

    // Whichever part is read: that a pack is gone is known by the list.
    let run = vault.verify_by_schedule().await;

    assert_eq!(run.state(), pb::RunState::Failed, "{run:?}");
    for point in archived(&vault).await {
        let is_damaged = point.damage_time.is_some();
        assert_eq!(is_damaged, point.source_point == second.name, "{point:?}");
    }
    let next = Site::bare(site.database.empty().await);
    let listed = restored(vaults.path(), &next, &["--list"]);
    let line = listed.lines().find(|line| line.contains(&id(&second)));
    assert!(line.unwrap().contains("  damaged, "), "{listed}");
    let said = restored(vaults.path(), &next, &[]);
    assert!(said.contains(&format!("restored {}", id(&first))), "{said}");
    server.stop().await;
}

async fn copies_stay_while_what_they_are_made_of_has_lost_something(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let files = tempfile::tempdir().unwrap();
    for number in 0..30 {
        fs::write(files.path().join(format!("{number}")), "there").unwrap();
    }
    let site = with_archive_and(database, vaults.path(), &source("www", files.path()));
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("files", &["database", "www"]).await;
    vault.back_up("files").await;
    vault.back_up("weekly-export").await;
    vault.back_up("monthly-archive").await;
    for file in fs::read_dir(files.path()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    server.advance(60);
    let run = vault.back_up("files").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Partial, "{run:?}");

    for policy in ["files", "weekly-export", "monthly-archive"] {
        let request = pb::PlanRetentionRequest {
            policy: format!("backupPolicies/{policy}"),
            ..pb::PlanRetentionRequest::default()
        };
        let mut backups = server.client.backups();
        let plan = backups.plan_retention(request).await.unwrap().into_inner();
        assert!(
            plan.frozen_message.contains("seems to have lost"),
            "{policy}: {plan:?}"
        );
    }
    let run = server.trigger("backup-cleanup").await;
    server.ended(&run.name).await;
    let quiet = pb::PauseAllRequest {
        reason: "a story of another task".to_owned(),
        ..pb::PauseAllRequest::default()
    };
    server.client.scheduler().pause_all(quiet).await.unwrap();
    server.advance(15 * 86_400);
    until("the problem of each", async || {
        let problems = server.status().await.problems;
        let told = |policy: &str| {
            problems.iter().any(|problem| {
                problem.r#type == "backup.retention_stuck"
                    && problem.subject == format!("backupPolicies/{policy}")
            })
        };
        (told("files") && told("weekly-export") && told("monthly-archive")).then_some(())
    })
    .await;
    server.stop().await;
}

async fn a_failed_drill_holds_copies_of_its_sources_until_one_passes_or_its_policy_is_disabled(
    database: Database,
) {
    let (www, more) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(www.path().join("file"), bytes(1_000_000, 3)).unwrap();
    fs::write(more.path().join("file"), bytes(2_000_000, 9)).unwrap();
    let toml = source("www", www.path()) + &source("more", more.path());
    let site = Site::configured(database, &toml).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    for (policy, of) in [("other", "more"), ("files", "www")] {
        vault.create_full(policy, &[of]).await;
        server.advance(60);
        vault.back_up(policy).await;
    }
    vault.back_up("weekly-export").await;
    let points = vault.points().await;
    let failed = async |policy: &str| {
        fs::remove_file(largest(&vault.repository())).unwrap();
        let name = format!("backupPolicies/{policy}");
        let point = points.iter().find(|point| point.policy == name).unwrap();
        let drill = vault
            .verify(&point.name, pb::VerificationLevel::Drill)
            .await;
        assert_eq!(drill.state(), pb::RunState::Failed, "{drill:?}");
    };
    let frozen = async || {
        let request = pb::PlanRetentionRequest {
            policy: "backupPolicies/weekly-export".to_owned(),
            ..pb::PlanRetentionRequest::default()
        };
        let mut backups = server.client.backups();
        let plan = backups.plan_retention(request).await.unwrap();
        plan.into_inner().frozen_message
    };
    failed("other").await;
    assert_eq!(frozen().await, "", "the export holds nothing of it");
    failed("files").await;
    let why = frozen().await;
    let whose = "the last drill failed of backupPolicies/files, at ";
    assert!(why.contains(whose), "{why}");
    assert!(why.contains("or the policy is disabled"), "{why}");

    let name = "tasks/backup-files".to_owned();
    let pause = pb::PauseTaskRequest {
        name: name.clone(),
        reason: "it is made no more".to_owned(),
        ..pb::PauseTaskRequest::default()
    };
    server.client.tasks().pause_task(pause).await.unwrap();
    let why = frozen().await;
    assert!(why.contains(whose), "who looks into it pauses it: {why}");
    let resume = pb::ResumeTaskRequest {
        name,
        ..pb::ResumeTaskRequest::default()
    };
    server.client.tasks().resume_task(resume).await.unwrap();
    assert!(frozen().await.contains(whose));

    let enable = async |enabled: bool| {
        let policy = pb::BackupPolicy {
            name: "backupPolicies/files".to_owned(),
            enabled: Some(enabled),
            ..pb::BackupPolicy::default()
        };
        vault.update_policy(policy, &["enabled"]).await.unwrap();
    };
    enable(false).await;
    assert_eq!(frozen().await, "");
    enable(true).await;
    assert!(frozen().await.contains(whose));
    // It is still the last that is known of what the policy has held, whatever it names today.
    let renamed = pb::BackupPolicy {
        name: "backupPolicies/files".to_owned(),
        sources: vec!["more".to_owned()],
        ..pb::BackupPolicy::default()
    };
    vault.update_policy(renamed, &["sources"]).await.unwrap();
    assert!(frozen().await.contains(whose));
    let quiet = pb::PauseAllRequest {
        reason: "a story of what is done by hand".to_owned(),
        ..pb::PauseAllRequest::default()
    };
    server.client.scheduler().pause_all(quiet).await.unwrap();
    server.advance(15 * 86_400);
    let why = frozen().await;
    assert!(why.contains(whose), "{why}");
    server.stop().await;
}
