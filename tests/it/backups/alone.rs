//! A repository and its password, and nothing else, on a new machine: every way of making a repository brings back
//! everything.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use watchbell_client::pb;

use super::{
    likeness::{assert_same, fill, likeness_of, restored_at, source},
    vault::Vault,
};
use crate::{
    contents::desk::bytes,
    support::{Database, Server, Site, on_both},
};

on_both!(
    an_archive_alone_brings_everything_back,
    the_password_goes_where_the_configuration_has_it,
    single_files_come_back_without_an_instance,
    what_may_not_be_set_is_named_and_no_success,
);

/// Where the archive is, and its password's file.
pub(super) struct Elsewhere {
    files: tempfile::TempDir,
}

impl Elsewhere {
    pub(super) fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let password = files.path().join("password");
        fs::write(&password, "of the vault\n").unwrap();
        fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
        Self { files }
    }

    pub(super) fn toml(&self) -> String {
        format!(
            "[backups.archive]\nrepository = {:?}\npassword = {{ file = {:?} }}\n",
            self.repository().display(),
            self.password().display(),
        )
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.files.path().join("repository")
    }

    pub(super) fn password(&self) -> PathBuf {
        self.files.path().join("password")
    }
}

pub(super) fn restore(repository: &Path, password: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
    command
        .arg("restore")
        .args(["--repository".as_ref(), repository.as_os_str()])
        .args(["--password-file".as_ref(), password.as_os_str()])
        .args(more);
    command.output().unwrap()
}

#[track_caller]
pub(super) fn said(done: &Output) -> String {
    let said = [&done.stdout, &done.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(done.status.success(), "{}: {}", done.status, said.concat());
    said.concat()
}

pub(super) async fn back_up_everything(vault: &Vault<'_>) {
    let policy = pb::BackupPolicy {
        kind: pb::BackupKind::Full.into(),
        sources: ["database", "content", "all"].map(str::to_owned).to_vec(),
        retention: Some(pb::RetentionPolicy {
            keep_last: 3,
            ..pb::RetentionPolicy::default()
        }),
        ..pb::BackupPolicy::default()
    };
    vault.create_policy("all", policy).await.unwrap();
    for number in 1..=7 {
        let content = bytes(30_000, number);
        vault.document(&format!("SOP-{number}"), &content).await;
    }
    let run = vault.back_up("all").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
}

async fn documents(server: &Server) -> Vec<(String, String)> {
    let request = pb::ListDocumentsRequest::default();
    let mut documents = server.client.documents();
    let answer = documents.list_documents(request).await.unwrap();
    let documents = answer.into_inner().documents.into_iter();
    documents
        .map(|document| (document.name, document.content.unwrap().sha256))
        .collect()
}

async fn an_archive_alone_brings_everything_back(database: Database) {
    let files = tempfile::tempdir().unwrap();
    fill(files.path());
    let elsewhere = Elsewhere::new();
    let toml = format!("{}{}", elsewhere.toml(), source("all", files.path()));
    let site = Site::configured(database, &toml).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    back_up_everything(&vault).await;
    let was = documents(&server).await;
    let run = vault.back_up("monthly-archive").await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    server.stop().await;
    // The machine is lost, and its repository with it.
    fs::remove_dir_all(site.data().join("backups/repository")).unwrap();

    let listed = restore(&elsewhere.repository(), &elsewhere.password(), &["--list"]);
    let listed = said(&listed);
    assert!(
        listed.contains("  all  ") && listed.contains("  verified\n"),
        "{listed}"
    );
    let next = Site::bare(site.database.empty().await);
    let data = next.data().display().to_string();
    let url = next.database.url();
    let to = ["--data", data.as_str(), "--database", url.as_str()];
    let done = restore(&elsewhere.repository(), &elsewhere.password(), &to);
    let done = said(&done);
    assert!(done.contains("7 documents, 7 contents"), "{done}");
    let restored = restored_at(&next.data().join("restored"), "all", files.path());
    assert_same(&likeness_of(&restored), &likeness_of(files.path()));

    // It is the new server's repository, and its points are known there.
    fs::rename(
        elsewhere.repository(),
        next.data().join("backups/repository"),
    )
    .unwrap();
    next.clock.set(watchbell::clock::wall_now());
    let server = next.start().await;
    let vault = Vault::of(&server, &next);
    assert_eq!(documents(&server).await, was);
    let full = vault.newest_of(pb::BackupKind::Full).await;
    let resume = pb::ResumeAllRequest::default();
    server.client.scheduler().resume_all(resume).await.unwrap();
    let read = vault.verify(&full.name, pb::VerificationLevel::Read).await;
    assert_eq!(read.state(), pb::RunState::Succeeded, "{read:?}");
    let cleanup = server.trigger("backup-cleanup").await;
    server.ended(&cleanup.name).await;
    let read = vault.verify(&full.name, pb::VerificationLevel::Read).await;
    assert_eq!(
        read.state(),
        pb::RunState::Succeeded,
        "it was no orphan: {read:?}"
    );
    server.stop().await;
}

async fn the_password_goes_where_the_configuration_has_it(database: Database) {
    let site = Site::new(database).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", b"what is in it").await;
    vault.back_up("daily-full").await;
    server.stop().await;
    let own = site.data().join("backups");
    let next = Site::bare(site.database.empty().await);
    let apart = tempfile::tempdir().unwrap();
    let kept = apart.path().join("secrets/password");
    let file = apart.path().join("watchbell.toml");
    let toml = format!(
        "[backups]\nrepository = {:?}\npassword = {{ file = {:?} }}\n",
        own.join("repository").display(),
        kept.display()
    );
    fs::write(&file, toml).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let (data, url) = (next.data().display().to_string(), next.database.url());
    let file = file.display().to_string();
    let to = ["--config", &file, "--data", &data, "--database", &url];
    said(&restore(
        &own.join("repository"),
        &own.join("password"),
        &to,
    ));
    let right = fs::read_to_string(own.join("password")).unwrap();
    assert_eq!(fs::read_to_string(&kept).unwrap(), right);
    assert_eq!(
        fs::metadata(&kept).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!next.data().join("backups/password").exists());
}

async fn single_files_come_back_without_an_instance(database: Database) {
    let files = tempfile::tempdir().unwrap();
    fill(files.path());
    let site = Site::configured(database, &source("all", files.path())).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    back_up_everything(&vault).await;
    server.stop().await;
    let own = site.data().join("backups");
    let (repository, password) = (own.join("repository"), own.join("password"));
    let into = tempfile::tempdir().unwrap();
    let to = into.path().join("new").display().to_string();
    let path = format!("/sources/all{}/www/01.html", files.path().display());

    let done = said(&restore(
        &repository,
        &password,
        &["--path", &path, "--to", &to],
    ));

    assert!(done.contains("1 files"), "{done}");
    let there = restored_at(Path::new(&to), "all", files.path()).join("www");
    assert_eq!(fs::read_dir(&there).unwrap().count(), 1);
    assert_eq!(
        fs::read(there.join("01.html")).unwrap(),
        fs::read(files.path().join("www/01.html")).unwrap()
    );
    let none = ["--path", "/sources/all/nowhere", "--to", &to];
    let done = restore(&repository, &password, &none);
    assert_eq!(done.status.code(), Some(1));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("begins with /sources/all/nowhere"), "{said}");
}

async fn what_may_not_be_set_is_named_and_no_success(database: Database) {
    if !nix::unistd::geteuid().is_root() {
        return crate::support::skip("who is not root restores", "this is not run as root");
    }
    let files = tempfile::tempdir().unwrap();
    fill(files.path());
    let site = Site::configured(database, &source("all", files.path())).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    back_up_everything(&vault).await;
    server.stop().await;
    let own = site.data().join("backups");
    let into = tempfile::tempdir().unwrap();
    give(site.data());
    give(into.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
    command
        .arg("restore")
        .args(["--repository".as_ref(), own.join("repository").as_os_str()])
        .args(["--password-file".as_ref(), own.join("password").as_os_str()])
        .args(["--path", "/", "--to"])
        .arg(into.path().join("new"));
    std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
    std::os::unix::process::CommandExt::gid(&mut command, NOBODY);
    let done = command.current_dir(into.path()).output().unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(6), "{told}");
    assert!(told.contains("owner 1234:4321"), "{told}");
    assert!(told.contains("PARTIAL: "), "{told}");
    // Everything is there all the same.
    let restored = restored_at(&into.path().join("new"), "all", files.path());
    let (is, was) = (likeness_of(&restored), likeness_of(files.path()));
    assert_eq!(
        is.keys().collect::<Vec<_>>(),
        was.keys().collect::<Vec<_>>()
    );
    // What is the server's own is whoever's restores it, and nothing to be told of.
    assert!(!told.contains("/content"), "{told}");
}

const NOBODY: u32 = 65534;

/// Gives all of it away but for what goes meanwhile: the last to close a database of SQLite's takes its log with it.
fn give(path: &Path) {
    match std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        given => given.unwrap(),
    }
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}
