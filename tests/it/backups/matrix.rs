//! Everything that a policy holds, brought back by each way that there is, and all of it compared: bytes, links, owners,
//! permissions, times, attributes, names of one file, and every row of the documents.
//!
//! | where it lies | what | by the server | by `watchbell restore` | by stock tools alone |
//! |---|---|---|---|---|
//! | repository | files | here; `restores` | here; `alone` (single ones), `landed` | here: restic; `restores` |
//! | repository | SQLite | here; `sources` | here; `made` | here: restic, sqlite3 |
//! | repository | PostgreSQL | here; `sources`, `loading` | here; `made`, `loading` | here: restic, pg_restore |
//! | archive | files | here | here; `alone` | here: restic |
//! | archive | SQLite | here | here; `alone` | here: restic, sqlite3 |
//! | archive | PostgreSQL | here | here; `alone` | here: restic, pg_restore |
//! | export | files | none | none | here: tar, zstd; `restores` |
//! | export | SQLite | none | none | here: tar, zstd, sqlite3; `keeping` |
//! | export | PostgreSQL | none | none | here: tar, zstd, pg_restore |
//!
//! An export is for who has nothing of ours: what brings back an export is stock tools alone.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use watchbell_client::pb;

use super::{
    alone::{Elsewhere, back_up_everything, restore, said},
    likeness::{Likeness, assert_same, fill, likeness_of, restored_at, source},
    restic::{Restic, everything_in},
    vault::Vault,
};
use crate::support::{Database, Server, Site, on_both, skip};

on_both!(
    everything_comes_back_from_a_repository_by_the_server,
    everything_comes_back_from_a_repository_by_watchbell_restore,
    everything_comes_back_from_a_repository_by_restic,
    everything_comes_back_from_an_archive_by_the_server,
    everything_comes_back_from_an_archive_by_watchbell_restore,
    everything_comes_back_from_an_archive_by_restic,
    everything_comes_back_from_an_export_by_stock_tools,
);

/// All of a document's row, in one order.
const ROWS: &str = "SELECT number, major, minor, title, status, author, content_sha256, content_size, content_name, \
                    created_at, updated_at, revision FROM documents ORDER BY number, major, minor";

/// What one way has brought back.
struct Back {
    /// The folder of the source.
    files: PathBuf,
    /// The folder of the documents' contents.
    contents: PathBuf,
    rows: String,
    /// Whether it leaves room empty that nothing was written to.
    makes_holes: bool,
}

/// Where a database was brought to.
enum Place<'a> {
    File(PathBuf),
    Postgresql(&'a Database),
}

impl Place<'_> {
    /// Its documents, by its own stock program.
    fn rows(&self) -> String {
        let mut command = match self {
            Self::File(file) => {
                let mut command = Command::new("sqlite3");
                command.arg(file).arg(ROWS);
                command
            }
            Self::Postgresql(database) => {
                let mut command = Command::new("psql");
                command
                    .args(["-X", "-A", "-t", "-d"])
                    .arg(database.url())
                    .args(["-c", ROWS]);
                command
            }
        };
        ran(&mut command)
    }
}

/// What a program writes; that it works is asserted.
#[track_caller]
fn ran(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {complaint}");
    String::from_utf8(done.stdout).unwrap()
}

/// Contents by their names, which are their hashes.
fn contents_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = everything_in(folder).into_iter();
    let named = all.filter_map(|(path, bytes)| {
        let name = path.file_name()?.to_str()?.to_owned();
        (name.len() == 64).then_some((name, bytes))
    });
    named.collect()
}

/// Where all of it lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Repository,
    Archive,
    Export,
}

/// An instance of which everything was backed up.
struct Made {
    files: tempfile::TempDir,
    elsewhere: Elsewhere,
    site: Site,
    server: Server,
    /// What there is of the wanted kind.
    point: pb::RestorePoint,
}

/// Makes one; none, with a word, where a program is not there that the way takes.
async fn made(database: Database, from: Kept, tools: &[&str]) -> Option<Made> {
    let of_database = match database.is_postgresql() {
        true => &["psql", "pg_restore"][..],
        false => &["sqlite3"],
    };
    let missing = |tool: &&&str| Command::new(tool).arg("--version").output().is_err();
    if let Some(tool) = tools.iter().chain(of_database).find(missing) {
        skip(
            "a way to bring back all",
            &format!("{tool} is not installed"),
        );
        return None;
    }
    let files = tempfile::tempdir().unwrap();
    fill(files.path());
    let elsewhere = Elsewhere::new();
    let toml = format!("{}{}", elsewhere.toml(), source("all", files.path()));
    let site = Site::configured(database, &toml).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    back_up_everything(&vault).await;
    let (policy, kind) = match from {
        Kept::Repository => (None, pb::BackupKind::Full),
        Kept::Archive => (Some("monthly-archive"), pb::BackupKind::Archive),
        Kept::Export => (Some("weekly-export"), pb::BackupKind::Export),
    };
    if let Some(policy) = policy {
        let run = vault.back_up(policy).await;
        assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    }
    let point = vault.newest_of(kind).await;
    Some(Made {
        files,
        elsewhere,
        site,
        server,
        point,
    })
}

impl Made {
    /// A repository, and its password's file.
    fn place(&self, from: Kept) -> (PathBuf, PathBuf) {
        match from {
            Kept::Archive => (self.elsewhere.repository(), self.elsewhere.password()),
            _ => {
                let backups = self.site.data().join("backups");
                (backups.join("repository"), backups.join("password"))
            }
        }
    }

    /// Compares what came back with what there is.
    async fn compare(self, one: Back) {
        self.server.stop().await;
        let data = self.site.data();
        let live = match self.site.database.is_postgresql() {
            true => Place::Postgresql(&self.site.database),
            false => Place::File(data.join("watchbell.db")),
        };
        let rows = live.rows();
        assert_eq!(rows.lines().count(), 7, "{rows}");
        assert_eq!(one.rows, rows);
        let contents = contents_in(&data.join("contents"));
        assert_eq!(contents.len(), 7);
        assert!(contents_in(&one.contents) == contents);
        let (mut is, mut was) = (likeness_of(&one.files), likeness_of(self.files.path()));
        if !one.makes_holes {
            for all in [&mut is, &mut was] {
                all.values_mut().for_each(Likeness::fill_holes);
            }
        }
        assert_same(&is, &was);
    }
}

async fn everything_comes_back_from_a_repository_by_the_server(database: Database) {
    comes_back_by_the_server(database, Kept::Repository).await;
}

async fn everything_comes_back_from_an_archive_by_the_server(database: Database) {
    comes_back_by_the_server(database, Kept::Archive).await;
}

async fn comes_back_by_the_server(database: Database, from: Kept) {
    let Some(made) = made(database, from, &[]).await else {
        return;
    };
    let vault = Vault::of(&made.server, &made.site);
    let back = by_the_server(&vault, &made.site, &made.point, made.files.path()).await;
    made.compare(back).await;
}

async fn everything_comes_back_from_a_repository_by_watchbell_restore(database: Database) {
    comes_back_by_command(database, Kept::Repository).await;
}

async fn everything_comes_back_from_an_archive_by_watchbell_restore(database: Database) {
    comes_back_by_command(database, Kept::Archive).await;
}

async fn comes_back_by_command(database: Database, from: Kept) {
    let Some(made) = made(database, from, &[]).await else {
        return;
    };
    let next = Site::bare(made.site.database.empty().await);
    let (repository, password) = made.place(from);
    let back = by_command(&next, &repository, &password, made.files.path());
    made.compare(back).await;
}

async fn everything_comes_back_from_a_repository_by_restic(database: Database) {
    comes_back_by_restic(database, Kept::Repository).await;
}

async fn everything_comes_back_from_an_archive_by_restic(database: Database) {
    comes_back_by_restic(database, Kept::Archive).await;
}

async fn comes_back_by_restic(database: Database, from: Kept) {
    let Some(made) = made(database, from, &["restic"]).await else {
        return;
    };
    let (repository, password) = made.place(from);
    let password = fs::read_to_string(password).unwrap();
    let restic = Restic::at(&repository, password.trim()).unwrap();
    let restored = restic.restore(&made.point.snapshot);
    let at = restored.path();
    let mut back = by_stock_tools(&made.site, at, &at.join("database"), made.files.path()).await;
    // Older ones cannot, and newer ones are to be asked for it.
    back.makes_holes = false;
    made.compare(back).await;
}

async fn everything_comes_back_from_an_export_by_stock_tools(database: Database) {
    let Some(made) = made(database, Kept::Export, &["tar", "zstd"]).await else {
        return;
    };
    let exports = made.site.data().join("backups/exports");
    let unpacked = unpacked(&exports.join(&made.point.file));
    let (laid, dumps) = (
        unpacked.path().join("files"),
        unpacked.path().join("database"),
    );
    let back = by_stock_tools(&made.site, &laid, &dumps, made.files.path()).await;
    made.compare(back).await;
}

/// Into a new directory and, on PostgreSQL, a new database.
async fn by_the_server(
    vault: &Vault<'_>,
    site: &Site,
    point: &pb::RestorePoint,
    files: &Path,
) -> Back {
    let directory = point.name.rsplit('/').next().unwrap().to_owned();
    let new = match &site.database {
        Database::Sqlite => None,
        Database::Postgresql { server, .. } => Some(Database::Postgresql {
            server: server.clone(),
            name: format!("restored_{}", uuid::Uuid::now_v7().simple()),
        }),
    };
    let request = pb::PlanRestoreRequest {
        restore_point: point.name.clone(),
        directory: directory.clone(),
        new_database: match &new {
            Some(Database::Postgresql { name, .. }) => name.clone(),
            _ => String::new(),
        },
        ..pb::PlanRestoreRequest::default()
    };
    let mut backups = vault.server.client.backups();
    let plan = backups.plan_restore(request).await.unwrap().into_inner();
    let run = vault.execute(&plan.token).await;
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    let restored = site.data().join("restores").join(directory);
    let place = match &new {
        Some(database) => Place::Postgresql(database),
        None => Place::File(restored.join("database/watchbell.db")),
    };
    Back {
        files: restored_at(&restored, "all", files),
        contents: restored.join("content"),
        rows: place.rows(),
        makes_holes: true,
    }
}

/// Onto a new machine, which has nothing else.
fn by_command(next: &Site, repository: &Path, password: &Path, files: &Path) -> Back {
    let (data, url) = (next.data().display().to_string(), next.database.url());
    let to = ["--data", data.as_str(), "--database", url.as_str()];
    let told = said(&restore(repository, password, &to));
    assert!(told.contains("7 documents, 7 contents"), "{told}");
    let place = match next.database.is_postgresql() {
        true => Place::Postgresql(&next.database),
        false => Place::File(next.data().join("watchbell.db")),
    };
    Back {
        files: restored_at(&next.data().join("restored"), "all", files),
        contents: next.data().join("contents"),
        rows: place.rows(),
        makes_holes: true,
    }
}

/// Of files and a dump that stock tools have laid there.
async fn by_stock_tools(site: &Site, laid: &Path, dumps: &Path, files: &Path) -> Back {
    let rows = match site.database.is_postgresql() {
        false => Place::File(dumps.join("watchbell.db")).rows(),
        true => {
            let empty = site.database.empty().await;
            let mut load = Command::new("pg_restore");
            load.args(["--exit-on-error", "--no-owner", "-d"])
                .arg(empty.url())
                .arg(dumps.join("watchbell.dump"));
            ran(&mut load);
            Place::Postgresql(&empty).rows()
        }
    };
    Back {
        files: restored_at(laid, "all", files),
        contents: laid.join("content"),
        rows,
        makes_holes: true,
    }
}

/// An export, by tar and zstd.
fn unpacked(export: &Path) -> tempfile::TempDir {
    let into = tempfile::tempdir().unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "-xpf"])
        .arg(export)
        .arg("-C")
        .arg(into.path())
        .args(["--numeric-owner", "--xattrs", "--xattrs-include=*"]);
    ran(&mut tar);
    into
}
