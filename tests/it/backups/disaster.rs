//! The machine is lost: what was saved before, and what a restore from it refuses.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use watchbell_client::pb;

use super::{
    vault::Vault,
    verifying::{flip_in, packs},
};
use crate::{
    contents::desk::bytes,
    support::{Database, Site, on_both},
};

on_both!(
    what_cannot_be_restored_is_refused_and_named,
    a_point_that_cannot_be_read_does_not_keep_an_older_one_from_coming_back,
);

/// What was saved before the machine was lost: the repository, and the copy of its password that was kept elsewhere.
pub(super) struct Saved {
    files: tempfile::TempDir,
}

impl Saved {
    pub(super) fn of(site: &Site) -> Self {
        let own = site.data().join("backups");
        Self::from(&own.join("repository"), &own.join("password"))
    }

    pub(super) fn from(repository: &Path, password: &Path) -> Self {
        let files = tempfile::tempdir().unwrap();
        copy(repository, &files.path().join("repository"));
        std::fs::copy(password, files.path().join("password")).unwrap();
        Self { files }
    }

    pub(super) fn repository(&self) -> PathBuf {
        self.files.path().join("repository")
    }

    pub(super) fn password(&self) -> PathBuf {
        self.files.path().join("password")
    }

    pub(super) fn restore(&self, data: &Path, database: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watchbell"));
        command
            .arg("restore")
            .args(["--repository".as_ref(), self.repository().as_os_str()])
            .args(["--password-file".as_ref(), self.password().as_os_str()])
            .args(["--data".as_ref(), data.as_os_str()])
            .args(["--database", database])
            .args(more);
        command.output().unwrap()
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

async fn what_cannot_be_restored_is_refused_and_named(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    vault.back_up("daily-full").await;
    let saved = Saved::of(&site);
    server.stop().await;

    let next = Site::bare(site.database.empty().await);
    let url = next.database.url();
    let fails = |data: &Path, more: &[&str], message: &str| {
        let done = saved.restore(data, &url, more);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{said}");
        assert!(said.contains(message), "{message}: {said}");
    };
    let taken = tempfile::tempdir().unwrap();
    std::fs::write(taken.path().join("mine"), "mine").unwrap();
    fails(
        taken.path(),
        &[],
        "is not empty: a restore never writes over anything",
    );
    assert_eq!(std::fs::read_dir(taken.path()).unwrap().count(), 1);
    let free = taken.path().join("free");
    fails(
        &free,
        &["--point", "ffffffff"],
        "there is no restore point ffffffff",
    );
    let right = std::fs::read(saved.password()).unwrap();
    std::fs::write(saved.password(), "another\n").unwrap();
    fails(&free, &[], "the password does not open the repository");
    std::fs::write(saved.password(), right).unwrap();
    let listed = saved.restore(&free, &url, &["--list"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("daily-full"));
    assert!(!free.exists(), "nothing was made");
    match next.database.is_postgresql() {
        // The other database is the first one's, which holds tables.
        true => {
            let done = saved.restore(&free, &site.database.url(), &[]);
            assert!(String::from_utf8_lossy(&done.stderr).contains("the database is not empty"));
        }
        false => {
            let beside = taken.path().join("elsewhere.db");
            let url = format!("sqlite://{}", beside.display());
            for name in ["elsewhere.db-wal", "elsewhere.db.unfinished"] {
                let other = taken.path().join(name);
                std::fs::write(&other, "another's last writes").unwrap();
                let done = saved.restore(&free, &url, &[]);
                let said = String::from_utf8_lossy(&done.stderr);
                let expected = format!("{name} is there already");
                assert!(said.contains(&expected), "{said}");
                assert!(!beside.exists() && !free.exists(), "nothing was made");
                std::fs::remove_file(other).unwrap();
            }
            let done = saved.restore(&free, "postgres://nobody@127.0.0.1:1/none", &[]);
            assert_eq!(done.status.code(), Some(1));
        }
    }
    let wrong = std::fs::rename(saved.repository(), saved.files.path().join("away"));
    wrong.unwrap();
    fails(&free, &[], "there is no repository at");
    std::fs::create_dir(saved.repository()).unwrap();
    std::fs::write(saved.repository().join("holiday.jpg"), "a picture").unwrap();
    fails(&free, &[], "is not a repository that can be used");
}

async fn a_point_that_cannot_be_read_does_not_keep_an_older_one_from_coming_back(
    database: Database,
) {
    let site = Site::new(database);
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    vault.document("SOP-1", &bytes(30_000, 1)).await;
    vault.back_up("daily-full").await;
    let first = vault.newest().await;
    server.advance(60);
    vault.back_up("pre-deployment").await;
    let second = vault.newest().await;
    let saved = Saved::of(&site);
    server.stop().await;
    spoil_manifest(&site.data().join("backups/repository"), &saved.repository());

    let next = Site::bare(site.database.empty().await);
    let done = saved.restore(next.data(), &next.database.url(), &[]);

    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}{told}");
    let id = |point: &pb::RestorePoint| point.name["restorePoints/".len()..].to_owned();
    assert!(said.contains(&format!("restored {}", id(&first))), "{said}");
    let remark = format!("restore point {} as of", id(&second));
    assert_eq!(told.matches(&remark).count(), 1, "{told}");
    assert!(told.contains("cannot be read, and is left out"), "{told}");
}

/// Changes a byte in each of the four packs that were written last: what the newest manifest and its verdict lie in.
fn spoil_manifest(original: &Path, copy: &Path) {
    for pack in last_packs(original) {
        flip_in(&copy.join(pack.strip_prefix(original).unwrap()));
    }
}

/// The four packs that were written last, in which the newest manifest and its verdict lie.
pub(super) fn last_packs(repository: &Path) -> Vec<PathBuf> {
    let written = |pack: &PathBuf| pack.metadata().unwrap().modified().unwrap();
    let mut packs = packs(repository);
    packs.sort_by_key(written);
    packs.split_off(packs.len() - 4)
}
