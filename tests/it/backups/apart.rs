//! Processes that work on a repository: one that dies costs its run, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use watchbell_client::pb;

use super::{engine::stage::noise, vault::Vault};
use crate::support::{Database, Server, Site, on_both, until};

on_both!(
    a_backup_whose_process_is_killed_fails_in_words_and_the_next_attempt_succeeds,
    a_restore_whose_process_is_killed_fails_in_words,
    a_process_that_hangs_is_ended_with_its_run,
);

/// Files that take a while.
const FILES: u64 = 40;
const FILE_BYTES: usize = 2 << 20;

/// What is said of a process that was killed.
const WORDS: &str = "was killed (signal 9): perhaps out of memory";

/// Processes that work on a repository: they hold its lock among those of this host.
pub(crate) fn workers(repository: &Path) -> Vec<i32> {
    let lock = PathBuf::from(format!("{}.lock", repository.display()));
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .filter(|id| is_worker(*id, &lock))
        .collect()
}

fn is_worker(id: i32, lock: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{id}"));
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let files = fs::read_dir(process.join("fd"));
    command.ends_with(b"\0helper\0repository\0")
        && files
            .into_iter()
            .flatten()
            .flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|to| to == lock))
}

/// A server with a policy of one large source.
struct Large {
    site: Site,
    server: Server,
    _source: tempfile::TempDir,
}

impl Large {
    async fn on(database: Database) -> Self {
        let source = tempfile::tempdir().unwrap();
        for number in 0..FILES {
            let path = source.path().join(number.to_string());
            fs::write(path, noise(number, FILE_BYTES)).unwrap();
        }
        let toml = format!("[backups.sources.large]\npaths = [{:?}]\n", source.path());
        let site = Site::configured(database, &toml).with_repository();
        let server = site.start().await;
        let policy = pb::BackupPolicy {
            kind: pb::BackupKind::Full.into(),
            sources: vec!["large".to_owned()],
            retention: Some(pb::RetentionPolicy {
                keep_last: 3,
                ..pb::RetentionPolicy::default()
            }),
            ..pb::BackupPolicy::default()
        };
        let vault = Vault::of(&server, &site);
        vault.create_policy("files", policy).await.unwrap();
        Self {
            site,
            server,
            _source: source,
        }
    }

    fn vault(&self) -> Vault<'_> {
        Vault::of(&self.server, &self.site)
    }

    /// A process that works on its repository.
    async fn worker(&self) -> i32 {
        let repository = self.vault().repository();
        until("a process to work", async || {
            workers(&repository).first().copied()
        })
        .await
    }

    fn locks(&self) -> usize {
        let locks = self.vault().repository().join("locks");
        fs::read_dir(locks).into_iter().flatten().count()
    }

    async fn restore(&self, to: &str) -> pb::Run {
        let plan = self.vault().plan(to).await.unwrap();
        // What has read for the plan is not what restores.
        let repository = self.vault().repository();
        until("the plan's process to end", async || {
            workers(&repository).is_empty().then_some(())
        })
        .await;
        let request = pb::ExecuteRestoreRequest {
            token: plan.token,
            ..pb::ExecuteRestoreRequest::default()
        };
        let mut backups = self.server.client.backups();
        let answer = backups.execute_restore(request).await.unwrap();
        answer.into_inner().run.unwrap()
    }
}

fn send(to: i32, signal: Signal) {
    kill(Pid::from_raw(to), signal).unwrap();
}

async fn a_backup_whose_process_is_killed_fails_in_words_and_the_next_attempt_succeeds(
    database: Database,
) {
    let large = Large::on(database).await;
    let vault = large.vault();
    let run = vault.begin("files").await.unwrap();
    let worker = large.worker().await;
    let shown = |what: &str| fs::read_to_string(format!("/proc/{worker}/{what}")).unwrap();
    let arguments = shown("cmdline");
    assert_eq!(arguments.split_terminator('\0').count(), 3, "{arguments}");
    assert_eq!(shown("environ"), "", "it is told no secret by either");
    let sooner = shown("oom_score_adj");
    assert_eq!(sooner.trim(), "500", "it is taken before the server");
    send(worker, Signal::SIGKILL);

    let waiting = vault.settled(&run.name).await;
    assert_eq!(waiting.state(), pb::RunState::RetryWait, "{waiting:?}");
    assert!(waiting.message.contains(WORDS), "{waiting:?}");
    assert!(vault.points().await.is_empty());
    until("its lock to be gone: it holds up nobody", async || {
        (large.locks() == 0).then_some(())
    })
    .await;
    vault.leaves_nothing_behind(&large.site).await;

    large.server.advance(61);
    let run = large.server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let points = vault.points().await;
    assert_eq!(points.len(), 1);
    assert_eq!(points[0].file_count, i64::try_from(FILES).unwrap());
    // That has to be alone in the repository.
    let cleanup = large.server.trigger("backup-cleanup").await;
    let cleanup = large.server.ended(&cleanup.name).await;
    assert_eq!(cleanup.state(), pb::RunState::Succeeded, "{cleanup:?}");
    if let Some(restic) = vault.restic() {
        restic.finds_it_sound();
    }
    large.server.stop().await;
}

async fn a_restore_whose_process_is_killed_fails_in_words(database: Database) {
    let large = Large::on(database).await;
    let vault = large.vault();
    let run = vault.back_up("files").await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    let run = large.restore("friday").await;
    send(large.worker().await, Signal::SIGKILL);
    let ended = vault.settled(&run.name).await;
    assert_ne!(ended.state(), pb::RunState::Succeeded, "{ended:?}");
    assert!(ended.message.contains(WORDS), "{ended:?}");
    assert!(!large.site.data().join("restores/friday").exists());
    assert_eq!(vault.newest().await.damage, "", "it says nothing of that");

    let run = large.restore("saturday").await;
    let run = large.server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{run:?}");
    large.server.stop().await;
}

async fn a_process_that_hangs_is_ended_with_its_run(database: Database) {
    let large = Large::on(database).await;
    let vault = large.vault();
    let run = vault.begin("files").await.unwrap();
    send(large.worker().await, Signal::SIGSTOP);
    let cancel = pb::CancelRunRequest {
        name: run.name.clone(),
        ..pb::CancelRunRequest::default()
    };
    large.server.client.runs().cancel_run(cancel).await.unwrap();
    let run = large.server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Cancelled, "{run:?}");
    assert!(vault.points().await.is_empty());
    let repository = vault.repository();
    until("it to be ended", async || {
        workers(&repository).is_empty().then_some(())
    })
    .await;

    let next = vault.back_up("files").await;
    assert_eq!(next.state(), pb::RunState::Succeeded, "{next:?}");
    if let Some(restic) = vault.restic() {
        restic.finds_it_sound();
    }
    large.server.stop().await;
}
