//! A source that has lost what it had: a disk that is not mounted, a directory that was emptied, rules that leave out
//! more than before. It is never green before somebody said so, and what was there stays meanwhile.

use std::{fs, path::PathBuf, process::Command};

use tonic::Code;
use watchbell_client::pb;

use super::vault::Vault;
use crate::support::{Database, Server, Site, on_both};

on_both!(
    an_empty_source_is_partial_from_the_first_time_on_and_until_it_is_accepted,
    a_source_that_has_lost_nearly_all_is_partial_and_what_was_there_stays,
    a_source_that_has_shrunk_is_told_until_it_is_accepted_or_back,
    rules_that_leave_out_more_are_compared_with_what_was_there,
    a_source_that_demands_a_disk_or_a_file_is_not_read_without_it,
    what_was_accepted_is_known_from_the_repository_alone,
);

const DAY: i64 = 86_400;

/// Directories of sources, and a server's configuration that names them.
struct Sources {
    folder: tempfile::TempDir,
}

impl Sources {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["small", "large"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fill(&self, name: &str, files: usize) {
        for number in 0..files {
            let path = self.path(name).join(format!("{number}.txt"));
            fs::write(path, format!("{number:0100}")).unwrap();
        }
    }

    fn empty(&self, name: &str) {
        for entry in fs::read_dir(self.path(name)).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    fn toml(&self, more: &str) -> String {
        format!(
            "[backups.sources.large]\npaths = [{:?}]\n[backups.sources.small]\npaths = [{:?}]\n{more}\n",
            self.path("large"),
            self.path("small"),
        )
    }

    fn site(&self, database: Database, more: &str) -> Site {
        Site::configured(database, &self.toml(more)).with_repository()
    }
}

pub(super) async fn accept(
    server: &Server,
    name: &str,
    reason: &str,
) -> Result<pb::Run, tonic::Status> {
    let request = pb::AcceptRestorePointRequest {
        name: name.to_owned(),
        reason: reason.to_owned(),
        ..pb::AcceptRestorePointRequest::default()
    };
    let answer = server
        .client
        .backups()
        .accept_restore_point(request)
        .await?;
    let run = answer.into_inner().run.unwrap();
    Ok(server.ended(&run.name).await)
}

/// The next point of the policy, an hour later.
async fn next(vault: &Vault<'_>) -> pb::RestorePoint {
    vault.server.advance(3600);
    let run = vault.back_up("files").await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    vault.newest().await
}

fn lost(point: &pb::RestorePoint) -> Vec<(&str, pb::SourceLossKind)> {
    let losses = point.losses.iter();
    losses
        .map(|loss| (loss.source.as_str(), loss.kind()))
        .collect()
}

async fn an_empty_source_is_partial_from_the_first_time_on_and_until_it_is_accepted(
    database: Database,
) {
    let sources = Sources::new();
    sources.fill("large", 100);
    let mut site = sources.site(database, "");
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("files", &["large", "small"]).await;
    for _ in 0..2 {
        let point = next(&vault).await;
        assert_eq!(point.state(), pb::RestorePointState::Partial, "{point:?}");
        assert_eq!(lost(&point), [("small", pb::SourceLossKind::Empty)]);
        assert_eq!(point.missing_count, 1);
        assert!(
            point.missing[0].message.contains("mounted"),
            "{:?}",
            point.missing
        );
    }
    let problem = server.problem("backup.shrunk").await;
    assert_eq!(problem.subject, "backupPolicies/files/sources/small");
    let point = vault.newest().await;
    let bare = accept(&server, &point.name, " ").await.unwrap_err();
    assert_eq!(bare.code(), Code::InvalidArgument);

    let run = accept(&server, &point.name, "nothing is in it yet")
        .await
        .unwrap();

    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let (point, _) = vault.point(&point.name).await;
    assert_eq!(point.state(), pb::RestorePointState::Complete, "{point:?}");
    assert_eq!((point.missing_count, point.missing.len()), (0, 0));
    let acceptance = point.acceptance.clone().unwrap();
    assert_eq!(acceptance.reason, "nothing is in it yet");
    let again = accept(&server, &point.name, "again").await.unwrap_err();
    assert_eq!(again.code(), Code::InvalidArgument);
    for _ in 0..2 {
        let point = next(&vault).await;
        assert_eq!(point.state(), pb::RestorePointState::Complete, "{point:?}");
        assert_eq!(lost(&point), []);
    }
    // It had something since, and lost that.
    sources.fill("small", 1);
    assert_eq!(lost(&next(&vault).await), []);
    sources.empty("small");
    let point = next(&vault).await;
    assert_eq!(lost(&point), [("small", pb::SourceLossKind::Empty)]);
    server.stop().await;
    // Who says so by the configuration is asked no more.
    site.configure(&sources.toml("may_be_empty = true"));
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let point = next(&vault).await;
    assert_eq!(point.state(), pb::RestorePointState::Complete, "{point:?}");
    server.stop().await;
}

async fn a_source_that_has_lost_nearly_all_is_partial_and_what_was_there_stays(database: Database) {
    let sources = Sources::new();
    sources.fill("large", 100);
    let site = sources.site(database, "");
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("files", &["large"]).await;
    let whole = next(&vault).await;
    sources.empty("large");
    sources.fill("large", 10);
    for _ in 0..5 {
        let point = next(&vault).await;
        assert_eq!(point.state(), pb::RestorePointState::Partial, "{point:?}");
        assert_eq!(lost(&point), [("large", pb::SourceLossKind::Fallen)]);
        assert!(point.losses[0].message.contains(&whole.name), "{point:?}");
    }
    let plans = vault.plan_retention().await;
    let mut gone = plans.decisions.iter().filter(|decision| !decision.keep);
    assert!(gone.next().is_none(), "{plans:?}");
    assert!(
        format!("{plans:?}").contains("bellctl backup accept"),
        "retention is frozen: {plans:?}"
    );
    let run = server.trigger("backup-cleanup").await;
    server.ended(&run.name).await;
    let (still, _) = vault.point(&whole.name).await;
    assert_eq!(still.remove_time, None);
    // Frozen for two weeks, and nobody has looked: that is a problem by itself.
    let quiet = pb::PauseAllRequest {
        reason: "a story of another task".to_owned(),
        ..pb::PauseAllRequest::default()
    };
    server.client.scheduler().pause_all(quiet).await.unwrap();
    server.advance(15 * DAY);
    server.problem("backup.retention_stuck").await;
    // It is back.
    sources.fill("large", 100);
    let point = next(&vault).await;
    assert_eq!(point.state(), pb::RestorePointState::Complete, "{point:?}");
    server.stop().await;
}

async fn a_source_that_has_shrunk_is_told_until_it_is_accepted_or_back(database: Database) {
    let sources = Sources::new();
    sources.fill("large", 100);
    let site = sources.site(database, "");
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("files", &["large"]).await;
    next(&vault).await;
    sources.empty("large");
    sources.fill("large", 60);
    for _ in 0..2 {
        let point = next(&vault).await;
        assert_eq!(point.state(), pb::RestorePointState::Complete, "{point:?}");
        assert_eq!(lost(&point), [("large", pb::SourceLossKind::Shrunk)]);
    }
    let problem = server.problem("backup.shrunk").await;
    assert_eq!(problem.subject, "backupPolicies/files/sources/large");
    let point = vault.newest().await;
    accept(&server, &point.name, "the old ones were moved")
        .await
        .unwrap();
    server.problem_is_over("backup.shrunk").await;
    assert_eq!(lost(&next(&vault).await), []);
    // The accepted one is what others are compared with.
    sources.empty("large");
    sources.fill("large", 50);
    assert_eq!(lost(&next(&vault).await), []);
    sources.empty("large");
    sources.fill("large", 30);
    let point = next(&vault).await;
    assert_eq!(lost(&point), [("large", pb::SourceLossKind::Shrunk)]);
    server.problem("backup.shrunk").await;
    // They are back.
    sources.fill("large", 60);
    assert_eq!(lost(&next(&vault).await), []);
    server.problem_is_over("backup.shrunk").await;
    server.stop().await;
}

async fn rules_that_leave_out_more_are_compared_with_what_was_there(database: Database) {
    let sources = Sources::new();
    sources.fill("large", 30);
    for number in 0..3 {
        fs::write(sources.path("large").join(format!("{number}.html")), "page").unwrap();
    }
    let mut site = sources.site(database, "");
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("files", &["large"]).await;
    next(&vault).await;
    server.stop().await;
    let excluding =
        sources
            .toml("")
            .replacen("]\n[backups", "]\nexclude = [\"*.html\"]\n[backups", 1);
    site.configure(&excluding);

    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let mut point = next(&vault).await;
    for _ in 0..2 {
        assert_eq!(point.state(), pb::RestorePointState::Partial, "{point:?}");
        assert_eq!(lost(&point), [("large", pb::SourceLossKind::LeftOut)]);
        let message = &point.losses[0].message;
        assert!(message.contains("3 files"), "{message}");
        assert!(message.contains("/0.html"), "{message}");
        point = next(&vault).await;
    }
    accept(&server, &point.name, "pages are made anew")
        .await
        .unwrap();
    let point = next(&vault).await;
    assert_eq!(point.state(), pb::RestorePointState::Complete, "{point:?}");
    assert_eq!(lost(&point), []);
    server.stop().await;
}

async fn a_source_that_demands_a_disk_or_a_file_is_not_read_without_it(database: Database) {
    let sources = Sources::new();
    sources.fill("large", 3);
    sources.fill("small", 3);
    let mut site = sources.site(database, "sentinel = \".here\"");
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("files", &["large", "small"]).await;
    let point = next(&vault).await;
    assert_eq!(point.state(), pb::RestorePointState::Partial, "{point:?}");
    assert_eq!((point.file_count, point.missing_count), (3, 1));
    assert!(point.missing[0].message.contains(".here"), "{point:?}");
    assert_eq!(lost(&point), [], "nothing of it can be accepted");
    fs::write(sources.path("small").join(".here"), "").unwrap();
    let point = next(&vault).await;
    assert_eq!(point.state(), pb::RestorePointState::Complete, "{point:?}");
    assert_eq!(point.file_count, 7);
    server.stop().await;

    site.configure(&sources.toml("must_be_mount = true"));
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    let point = next(&vault).await;
    assert_eq!(point.state(), pb::RestorePointState::Partial, "{point:?}");
    assert!(
        point.missing[0].message.contains("no disk is mounted"),
        "{point:?}"
    );
    server.stop().await;
}

async fn what_was_accepted_is_known_from_the_repository_alone(database: Database) {
    let sources = Sources::new();
    sources.fill("large", 30);
    let site = sources.site(database, "");
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.create_full("files", &["database", "large"]).await;
    let whole = next(&vault).await;
    sources.empty("large");
    let fallen = next(&vault).await;
    assert_eq!(fallen.state(), pb::RestorePointState::Partial);
    let repository = vault.repository();
    let password = site.data().join("backups/password");
    // A copy has no server that could know it.
    let restored = async |database: Database| {
        let next = Site::bare(database);
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
        command
            .arg("restore")
            .args(["--repository".as_ref(), repository.as_os_str()])
            .args(["--password-file".as_ref(), password.as_os_str()])
            .args(["--data".as_ref(), next.data().as_os_str()])
            .args(["--database", &next.database.url()]);
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{said}{done:?}");
        said
    };
    let id = |point: &pb::RestorePoint| point.name.replace("restorePoints/", "");
    let said = restored(site.database.empty().await).await;
    assert!(said.contains(&format!("restored {}", id(&whole))), "{said}");
    if let Some(restic) = vault.restic() {
        restic.finds_it_sound();
    }

    accept(&server, &fallen.name, "it was moved").await.unwrap();

    let said = restored(site.database.empty().await).await;
    assert!(
        said.contains(&format!("restored {}", id(&fallen))),
        "{said}"
    );
    // A cleanup leaves what says so. What would be due while the clock moves on is not this story's.
    let mut scheduler = server.client.scheduler();
    let pause = pb::PauseAllRequest {
        reason: "the clock moves on".to_owned(),
        ..pb::PauseAllRequest::default()
    };
    scheduler.pause_all(pause).await.unwrap();
    server.advance(3 * DAY);
    let resume = pb::ResumeAllRequest::default();
    scheduler.resume_all(resume).await.unwrap();
    let apply = pb::ApplyRetentionRequest {
        confirm: true,
        ..pb::ApplyRetentionRequest::default()
    };
    let applied = server.client.backups().apply_retention(apply).await;
    let run = applied.unwrap().into_inner().run.unwrap();
    server.ended(&run.name).await;
    let said = restored(site.database.empty().await).await;
    assert!(
        said.contains(&format!("restored {}", id(&fallen))),
        "{said}"
    );
    server.stop().await;
}
