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
use crate::support::{Database, Site, on_both, skip};

on_both!(everything_comes_back_by_each_way);

/// All of a document's row, in one order.
const ROWS: &str = "SELECT number, major, minor, title, status, author, content_sha256, content_size, content_name, \
                    created_at, updated_at, revision FROM documents ORDER BY number, major, minor";

/// What one way has brought back.
struct Back {
    way: &'static str,
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

async fn everything_comes_back_by_each_way(database: Database) {
    let tools = ["restic", "sqlite3", "psql", "pg_restore", "zstd"];
    let missing = |tool: &&&str| Command::new(tool).arg("--version").output().is_err();
    if let Some(tool) = tools.iter().find(missing) {
        return skip(
            "each way to bring back all",
            &format!("{tool} is not installed"),
        );
    }
    let files = tempfile::tempdir().unwrap();
    fill(files.path());
    let elsewhere = Elsewhere::new();
    let toml = format!("{}{}", elsewhere.toml(), source("all", files.path()));
    let site = Site::configured(database, &toml).with_repository();
    let server = site.start().await;
    let vault = Vault::of(&server, &site);
    back_up_everything(&vault).await;
    for policy in ["monthly-archive", "weekly-export"] {
        let run = vault.back_up(policy).await;
        assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{run:?}");
    }
    let full = vault.newest_of(pb::BackupKind::Full).await;
    let archived = vault.newest_of(pb::BackupKind::Archive).await;
    let export = vault.newest_of(pb::BackupKind::Export).await;
    let password = fs::read_to_string(site.data().join("backups/password")).unwrap();
    let own = [
        ("repository", site.data().join("backups/repository"), &full),
        ("archive", elsewhere.repository(), &archived),
    ];

    let mut back = Vec::new();
    for (name, _, point) in &own {
        let way = match *name {
            "archive" => "an archive, by the server",
            _ => "a repository, by the server",
        };
        back.push(by_the_server(&vault, &site, point, files.path(), way).await);
    }
    let unpacked = unpacked(&site.data().join("backups/exports").join(&export.file));
    let of_export = unpacked.path();
    back.push(
        by_stock_tools(
            &site,
            "an export, by stock tools",
            &of_export.join("files"),
            &of_export.join("database"),
            files.path(),
        )
        .await,
    );
    server.stop().await;
    let passwords = [
        (site.data().join("backups/password"), password.trim()),
        (elsewhere.password(), "of the vault"),
    ];
    let mut kept = Vec::new();
    for ((name, place, point), (file, secret)) in own.iter().zip(&passwords) {
        let is_archive = *name == "archive";
        let restic = Restic::at(place, secret).unwrap();
        let by_restic = restic.restore(&point.snapshot);
        let (ours, theirs) = match is_archive {
            true => ("an archive, by watchbell restore", "an archive, by restic"),
            false => (
                "a repository, by watchbell restore",
                "a repository, by restic",
            ),
        };
        let at = by_restic.path();
        back.push(by_stock_tools(&site, theirs, at, &at.join("database"), files.path()).await);
        let next = Site::bare(site.database.empty().await);
        back.push(by_command(&next, place, file, files.path(), ours));
        kept.push((by_restic, next));
    }

    let live = match site.database.is_postgresql() {
        true => Place::Postgresql(&site.database),
        false => Place::File(site.data().join("watchbell.db")),
    };
    let rows = live.rows();
    assert_eq!(rows.lines().count(), 7, "{rows}");
    let contents = contents_in(&site.data().join("contents"));
    assert_eq!(contents.len(), 7);
    assert_eq!(back.len(), 7);
    for one in back {
        compare(&one, files.path(), &rows, &contents);
    }
}

fn compare(one: &Back, files: &Path, rows: &str, contents: &BTreeMap<String, Vec<u8>>) {
    let way = one.way;
    assert_eq!(one.rows, rows, "the documents of {way}");
    assert!(
        contents_in(&one.contents) == *contents,
        "the contents of {way}"
    );
    let (mut is, mut was) = (likeness_of(&one.files), likeness_of(files));
    if !one.makes_holes {
        for all in [&mut is, &mut was] {
            all.values_mut().for_each(Likeness::fill_holes);
        }
    }
    eprintln!("{way}: {} entries", is.len());
    assert_same(&is, &was);
}

/// Into a new directory and, on PostgreSQL, a new database.
async fn by_the_server(
    vault: &Vault<'_>,
    site: &Site,
    point: &pb::RestorePoint,
    files: &Path,
    way: &'static str,
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
    assert_eq!(run.outcome(), pb::RunOutcome::Worked, "{way}: {run:?}");
    let restored = site.data().join("restores").join(directory);
    let place = match &new {
        Some(database) => Place::Postgresql(database),
        None => Place::File(restored.join("database/watchbell.db")),
    };
    Back {
        way,
        files: restored_at(&restored, "all", files),
        contents: restored.join("content"),
        rows: place.rows(),
        makes_holes: true,
    }
}

/// Onto a new machine, which has nothing else.
fn by_command(
    next: &Site,
    repository: &Path,
    password: &Path,
    files: &Path,
    way: &'static str,
) -> Back {
    let (data, url) = (next.data().display().to_string(), next.database.url());
    let to = ["--data", data.as_str(), "--database", url.as_str()];
    let told = said(&restore(repository, password, &to));
    assert!(told.contains("7 documents, 7 contents"), "{way}: {told}");
    let place = match next.database.is_postgresql() {
        true => Place::Postgresql(&next.database),
        false => Place::File(next.data().join("watchbell.db")),
    };
    Back {
        way,
        files: restored_at(&next.data().join("restored"), "all", files),
        contents: next.data().join("contents"),
        rows: place.rows(),
        makes_holes: true,
    }
}

/// Of files and a dump that stock tools have laid there.
async fn by_stock_tools(
    site: &Site,
    way: &'static str,
    laid: &Path,
    dumps: &Path,
    files: &Path,
) -> Back {
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
        way,
        files: restored_at(laid, "all", files),
        contents: laid.join("content"),
        rows,
        makes_holes: false,
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
