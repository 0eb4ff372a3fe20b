//! The second location: read in turn after it was written, like the first.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use watchbell_client::pb;

use super::{vault::Vault, verifying::flip, verifying::flip_in};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both, repository, until},
};

on_both!(
    an_archive_is_read_in_turn_and_counts_in_the_coverage,
    damage_of_an_archive_is_told_and_it_is_not_called_archived_already,
);

fn with_archive(database: Database, vaults: &Path) -> Site {
    let password = vaults.join("password");
    fs::write(&password, format!("{}\n", repository::PASSWORD)).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let place = vaults.join("repository");
    repository::lay(&place);
    let toml = format!(
        "[backups.archive]\nrepository = {:?}\npassword = {{ file = {:?} }}\n",
        place.display(),
        password.display(),
    );
    Site::configured(database, &toml).with_repository()
}

async fn an_archive_is_read_in_turn_and_counts_in_the_coverage(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    let site = with_archive(database, vaults.path());
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.back_up("daily-full").await;
    for _ in 1..=14 {
        let run = server.trigger("verify-backups").await;
        let run = server.ended(&run.name).await;
        assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    }
    assert_eq!(vault.statistics().await.read_coverage_percent, 50.0);
    vault.back_up("monthly-archive").await;
    for covered in 1..=28 {
        let run = server.trigger("verify-backups").await;
        let run = server.ended(&run.name).await;
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
    let run = server.trigger("verify-backups").await;
    let run = server.ended(&run.name).await;
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
        let run = server.trigger("verify-backups").await;
        let run = server.ended(&run.name).await;
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
