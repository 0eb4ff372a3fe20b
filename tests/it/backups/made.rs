//! The machine is lost: a repository and its password bring everything back, on a new one, however it was made.

use std::fs;

use watchbell_client::pb;

use super::{
    alone::said,
    archives::archive_toml,
    disaster::Saved,
    neighbours::{cluster_of, into, with_password},
    passwords::{rotate, secret},
    restic::Restic,
    vault::Vault,
};
use crate::{
    contents::desk::bytes,
    support::{
        Database, Site, TaskExt as _, instant, on_both, refused,
        repository::{self, PASSWORD},
    },
};

on_both!(
    everything_is_back_after_the_machine_was_lost,
    everything_is_back_from_a_repository_that_restic_has_made,
    everything_is_back_by_a_password_that_was_rotated,
    everything_is_back_from_the_archive_that_two_share,
);

/// How the repository was made of which everything is brought back.
enum Made {
    ByTheServer,
    ByRestic,
    /// By the server; its password was rotated since.
    Rotated,
    /// The second location of two servers, which share the first as well.
    ArchiveOfTwo(tempfile::TempDir),
}

impl Made {
    /// A site whose server goes by it; none where that cannot be made here.
    async fn site(&self, database: Database) -> Option<Site> {
        let vaults = match self {
            Self::ByTheServer | Self::Rotated => return Some(Site::new(database)),
            Self::ByRestic => {
                // It has the password already.
                let site = with_password(Site::new(database));
                let place = site.data().join("backups/repository");
                Restic::at(&place, PASSWORD)?.must(&["init"]);
                return Some(site);
            }
            Self::ArchiveOfTwo(vaults) => vaults.path(),
        };
        let first = vaults.join("first");
        repository::lay(&first);
        repository::lay(&vaults.join("repository"));
        secret(&vaults.join("password"), PASSWORD);
        let toml = format!("{}{}", into(&first), archive_toml(vaults));
        let other = with_password(Site::configured(Database::sqlite(), &toml));
        let server = other.start().await;
        let vault = Vault::of(&server, &other);
        vault.document("SOP-1", b"of the other").await;
        vault.back_up("daily-full").await;
        let run = vault.back_up("monthly-archive").await;
        assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
        server.stop().await;
        Some(with_password(Site::configured(database, &toml)))
    }

    /// Backs up by a policy into what is saved.
    async fn back_up(&self, vault: &Vault<'_>, policy: &str) -> pb::RestorePoint {
        let run = vault.back_up(policy).await;
        assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
        if matches!(self, Self::ArchiveOfTwo(_)) {
            vault.drill().await;
            let run = vault.back_up("monthly-archive").await;
            assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
        }
        vault.newest_of(pb::BackupKind::Full).await
    }

    fn saved(&self, site: &Site) -> Saved {
        match self {
            Self::ArchiveOfTwo(vaults) => Saved::from(
                &vaults.path().join("repository"),
                &vaults.path().join("password"),
            ),
            _ => Saved::of(site),
        }
    }
}

async fn everything_is_back_after_the_machine_was_lost(database: Database) {
    everything_is_back(database, Made::ByTheServer).await;
}

async fn everything_is_back_from_a_repository_that_restic_has_made(database: Database) {
    everything_is_back(database, Made::ByRestic).await;
}

async fn everything_is_back_by_a_password_that_was_rotated(database: Database) {
    everything_is_back(database, Made::Rotated).await;
}

async fn everything_is_back_from_the_archive_that_two_share(database: Database) {
    let vaults = tempfile::tempdir().unwrap();
    everything_is_back(database, Made::ArchiveOfTwo(vaults)).await;
}

async fn everything_is_back(database: Database, made: Made) {
    let Some(site) = made.site(database).await else {
        return;
    };
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    for number in 1..=7 {
        vault
            .document(&format!("SOP-{number}"), &bytes(30_000, number))
            .await;
    }
    server.create("every-minute", instant().every(60)).await;
    server.advance(180);
    let run = server.trigger("every-minute").await;
    server.ended(&run.name).await;
    let watch = pb::WatchRunsRequest::default();
    let mut watch = server
        .client
        .runs()
        .watch_runs(watch)
        .await
        .unwrap()
        .into_inner();
    let token = watch.message().await.unwrap().unwrap().resume_token;
    let documents = listed(&server.client).await;
    let first = made.back_up(&vault, "daily-full").await;
    if let Made::Rotated = made {
        let new = site.data().join("new-password");
        secret(&new, "battery staple");
        said(&rotate(&site, &new, &[]));
        fs::remove_file(new).unwrap();
    }
    // A second point, which the first one's database cannot know.
    server.advance(60);
    let second = made.back_up(&vault, "pre-deployment").await;
    let cluster = cluster_of(&server).await;
    let saved = made.saved(&site);
    drop(watch);
    server.stop().await;

    let next = Site::bare(site.database.empty().await);
    let data = next.data().to_owned();
    let id = first.name.strip_prefix("restorePoints/").unwrap();
    let mut more = vec!["--point", id];
    if let Made::ArchiveOfTwo(_) = made {
        more.extend(["--cluster", &cluster]);
    }
    let done = saved.restore(&data, &next.database.url(), &more);
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    assert!(said.contains("7 documents, 7 contents"), "{said}");
    assert!(
        said.contains("2 restore points that the database did not know"),
        "{said}"
    );
    // The machine comes back with its configuration.
    let configuration = data.join("configuration/watchbell.toml");
    assert!(configuration.is_file(), "{said}");
    let remarks = String::from_utf8_lossy(&done.stderr);
    assert!(
        remarks.contains(&configuration.display().to_string()),
        "{remarks}"
    );
    fs::rename(saved.repository(), data.join("backups/repository")).unwrap();

    // The command reads the machine's clock.
    next.clock.set(watchbell::clock::wall_now());
    let server = next.start().await;
    let vault = Vault::of(&server, &next);
    assert_eq!(listed(&server.client).await, documents);
    for document in &documents {
        let request = pb::DownloadContentRequest {
            name: document.0.clone(),
            ..pb::DownloadContentRequest::default()
        };
        let mut download = server
            .client
            .documents()
            .download_content(request)
            .await
            .unwrap()
            .into_inner();
        while download.message().await.unwrap().is_some() {}
    }
    let status = server.status().await;
    assert_eq!(
        status.pause.as_ref().unwrap().principal,
        "watchbell restore",
        "{status:?}"
    );
    // Nothing is done until someone says so, and that is no green.
    let paused = server.problem("paused").await;
    assert_eq!(paused.subject, "scheduler");
    assert_eq!(paused.severity(), pb::Severity::Warning);
    assert!(paused.message.contains("watchbell restore"), "{paused:?}");
    let (code, reason, _) = refused(vault.begin("daily-full").await);
    assert_eq!(
        (code, reason.as_str()),
        (tonic::Code::FailedPrecondition, "PAUSED")
    );
    // The backup was under way when its own database was frozen.
    let abandoned = server.runs_of("backup-daily-full").await;
    assert_eq!(
        abandoned[0].state(),
        pb::RunState::Abandoned,
        "{abandoned:?}"
    );
    assert_eq!(abandoned[0].reason, "RESTORED");
    let rows = server.slots_of("every-minute").await;
    // A minute of the host's clock may have begun since, and with it a slot.
    let skipped = |row: &pb::Slot| row.outcome() == pb::SlotOutcome::SkippedRestored;
    assert!(rows.iter().rev().take(2).any(skipped), "{rows:?}");
    let resumed = pb::WatchRunsRequest {
        resume_token: token,
        ..pb::WatchRunsRequest::default()
    };
    let refused = server.client.runs().watch_runs(resumed).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::OutOfRange, "{refused:?}");
    let points: Vec<String> = vault
        .points()
        .await
        .into_iter()
        .map(|point| point.name)
        .collect();
    assert!(
        points.contains(&second.name),
        "the later point is known again: {points:?}"
    );

    // It goes on from there.
    server
        .client
        .scheduler()
        .resume_all(pb::ResumeAllRequest::default())
        .await
        .unwrap();
    let run = vault.back_up("daily-full").await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let drill = vault.drill().await;
    assert_eq!(drill.state(), pb::RunState::Succeeded, "{drill:?}");
    server.stop().await;
}

/// Names and hashes of every document's content.
async fn listed(client: &watchbell_client::client::Client) -> Vec<(String, String)> {
    let request = pb::ListDocumentsRequest::default();
    let answer = client.documents().list_documents(request).await.unwrap();
    let documents = answer.into_inner().documents.into_iter();
    documents
        .map(|document| (document.name, document.content.unwrap().sha256))
        .collect()
}
