//! Two servers that back up into one repository, and are none of each other's business.

use std::path::Path;

use watchbell_client::pb;

use super::{disaster::Saved, likeness::source, vault::Vault, verdicts::listed};
use crate::{
    contents::desk::bytes,
    support::{Database, Server, Site, on_both, repository},
};

on_both!(
    of_two_servers_in_one_repository_each_has_its_own_points,
    a_policy_that_never_ran_is_not_hidden_by_another,
    points_of_a_deleted_policy_go_by_name_and_reason,
);

pub(super) async fn cluster_of(server: &Server) -> String {
    let mut scheduler = server.client.scheduler();
    let info = scheduler.get_server_info(pb::GetServerInfoRequest {});
    info.await.unwrap().into_inner().cluster_id
}

pub(super) fn into(place: &Path) -> String {
    format!("[backups]\nrepository = {:?}\n", place.display())
}

pub(super) fn with_password(site: Site) -> Site {
    // The one that opens it, where the server looks for it.
    let site = site.with_repository();
    std::fs::remove_dir_all(site.data().join("backups/repository")).unwrap();
    site
}

async fn of_two_servers_in_one_repository_each_has_its_own_points(database: Database) {
    let shared = tempfile::tempdir().unwrap();
    let place = shared.path().join("repository");
    repository::lay(&place);
    let other = with_password(Site::configured(Database::sqlite(), &into(&place)));
    let server = other.start().await;
    Vault::of(&server, &other)
        .document("SOP-1", &bytes(9000, 1))
        .await;
    Vault::of(&server, &other).back_up("daily-full").await;
    let theirs = Vault::of(&server, &other).newest().await;
    let their_cluster = cluster_of(&server).await;
    server.stop().await;

    let site = with_password(Site::configured(database, &into(&place)));
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    server.advance(60);
    vault.back_up("daily-full").await;
    let ours = vault.newest().await;
    let cluster = cluster_of(&server).await;
    assert_ne!(cluster, their_cluster);
    // What the other has there is not found, as if it were its own.
    let run = vault.verify_by_schedule().await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    assert!(!run.message.contains("was found in the"), "{run:?}");
    let known: Vec<String> = vault
        .points()
        .await
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(known, [ours.name.as_str()]);
    // Days later, of what the other has there nothing goes.
    server
        .client
        .scheduler()
        .pause_all(pb::PauseAllRequest::default())
        .await
        .unwrap();
    server.advance(3 * 86_400);
    server
        .client
        .scheduler()
        .resume_all(pb::ResumeAllRequest::default())
        .await
        .unwrap();
    let cleanup = server.trigger("backup-cleanup").await;
    let cleanup = server.ended(&cleanup.name).await;
    assert_eq!(cleanup.state(), pb::RunState::Succeeded, "{cleanup:?}");
    server.stop().await;

    std::fs::rename(&place, site.data().join("backups/repository")).unwrap();
    let saved = Saved::of(&site);
    let next = Site::bare(site.database.empty().await);
    let url = next.database.url();
    let refused = saved.restore(next.data(), &url, &[]);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{told}");
    assert!(told.contains("--cluster"), "{told}");
    assert!(
        told.contains(&cluster) && told.contains(&their_cluster),
        "{told}"
    );
    let listed = listed(&saved, &next);
    for (point, cluster) in [(&ours, &cluster), (&theirs, &their_cluster)] {
        let id = &point.name["restorePoints/".len()..];
        let line = listed.lines().find(|line| line.contains(id));
        assert!(line.is_some_and(|line| line.contains(cluster)), "{listed}");
    }
    let done = saved.restore(next.data(), &url, &["--cluster", &cluster]);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let id = &ours.name["restorePoints/".len()..];
    assert!(said.contains(&format!("restored {id}")), "{said}");
    assert!(
        said.contains("1 restore points that the database did not know"),
        "of its own alone: {said}"
    );
}

async fn a_policy_that_never_ran_is_not_hidden_by_another(database: Database) {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("index.html"), "hi").unwrap();
    let site = Site::configured(database, &source("www", files.path())).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("www", &["www"]).await;
    vault.back_up("www").await;
    let figures = vault.statistics().await;
    assert_eq!(figures.last_success_hours_ago, None, "{figures:?}");
    vault.back_up("daily-full").await;
    let figures = vault.statistics().await;
    assert_eq!(figures.last_success_hours_ago, Some(0.0), "{figures:?}");
    server.stop().await;
}

async fn points_of_a_deleted_policy_go_by_name_and_reason(database: Database) {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("index.html"), "hi").unwrap();
    let site = Site::configured(database, &source("www", files.path())).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("www", &["www"]).await;
    vault.back_up("www").await;
    let point = vault.newest().await;
    let remove = |confirm: bool, reason: &str| pb::RemoveRestorePointRequest {
        name: point.name.clone(),
        confirm,
        reason: reason.to_owned(),
        ..pb::RemoveRestorePointRequest::default()
    };
    let mut backups = server.client.backups();
    let lives = backups
        .remove_restore_point(remove(true, "it is over"))
        .await
        .unwrap_err();
    assert_eq!(lives.code(), tonic::Code::FailedPrecondition, "{lives:?}");
    vault.delete_policy("backupPolicies/www").await.unwrap();
    let bare = backups
        .remove_restore_point(remove(true, ""))
        .await
        .unwrap_err();
    assert_eq!(bare.code(), tonic::Code::InvalidArgument, "{bare:?}");
    let unsure = backups
        .remove_restore_point(remove(false, "it is over"))
        .await
        .unwrap_err();
    assert_eq!(unsure.code(), tonic::Code::FailedPrecondition, "{unsure:?}");
    assert_eq!(vault.points().await.len(), 1);
    let removed = backups
        .remove_restore_point(remove(true, "it is over"))
        .await
        .unwrap()
        .into_inner();
    let removed = removed.restore_point.unwrap();
    assert!(removed.remove_reason.contains("it is over"), "{removed:?}");
    assert!(vault.points().await.is_empty());

    let cleanup = server.trigger("backup-cleanup").await;
    let cleanup = server.ended(&cleanup.name).await;
    assert_eq!(cleanup.state(), pb::RunState::Succeeded, "{cleanup:?}");
    let snapshots = vault.repository().join("snapshots");
    assert_eq!(std::fs::read_dir(snapshots).unwrap().count(), 0);
    server.stop().await;
}
