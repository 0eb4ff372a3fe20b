//! A repository without its server: what is in it, and everything of it brought back.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::{
    child::Helpers,
    dump::{Programs, Server},
    full::snapshot_id,
    manifests::Stored,
    places::OpenRepository,
    repository::{Hand, Progress, Repository},
    restore_files::{Restored, Wanted, fresh, restore},
    scratch,
    standing::{Found, found_in},
    work::{blocking, make_directory, make_folder},
};
use crate::{
    config::{Secret, SecretSource, once},
    domain::backup::{
        manifest::{DumpRecord, SnapshotPath},
        point::RestorePoint,
    },
};

/// A repository that was opened by its password alone.
#[derive(Debug)]
pub struct Offline {
    repository: Arc<dyn Repository>,
    password: Secret,
    /// Where large manifests lie while they are used; without, they are in memory.
    beside: Option<PathBuf>,
}

impl Offline {
    /// Opens a repository that is there.
    ///
    /// # Errors
    /// Where there is none, or the password is another's.
    pub async fn open(
        opener: Arc<dyn OpenRepository>,
        program: PathBuf,
        place: &Path,
        password: &Path,
        beside: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let source = SecretSource::of_file(password);
        let place = place.to_owned();
        let opened = blocking("open", move || {
            let password = source.read()?;
            let never = CancellationToken::new();
            let repository = opener.open(&place, &password, &Helpers { program }, &never)?;
            Ok::<_, anyhow::Error>((repository, password))
        });
        let (repository, password) = opened.await??;
        Ok(Self {
            repository,
            password,
            beside,
        })
    }

    /// Every restore point that has a manifest, newest first.
    ///
    /// # Errors
    /// Where the repository cannot be read.
    pub async fn points(&self) -> anyhow::Result<Vec<Found>> {
        let of = self.repository.clone();
        let snapshots = blocking("snapshots", move || of.snapshots()).await??;
        Ok(found_in(&snapshots))
    }

    /// What a point says of itself; what its sources have lost and was accepted is missing in neither.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn manifest(&self, found: &Found) -> anyhow::Result<(Stored, RestorePoint)> {
        let (of, found) = (self.repository.clone(), found.clone());
        let beside = self.beside.clone();
        blocking("manifest", move || found.read(&*of, beside.as_deref())).await?
    }

    /// Restores what begins with one of `paths`, or everything, of a point below a new directory, and sees to it that it
    /// is on the disk; `told` hears how far it is.
    ///
    /// # Errors
    /// What is not about single files: those are in the answer. Where the disk fails.
    pub async fn restore(
        &self,
        stored: Arc<Stored>,
        paths: Vec<SnapshotPath>,
        directory: &Path,
        told: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> anyhow::Result<Restored> {
        let (of, directory) = (self.repository.clone(), directory.to_owned());
        let hand = Hand {
            cancel: CancellationToken::new(),
            progress: told,
        };
        blocking("restore", move || {
            let reader = of.open(&snapshot_id(&stored.manifest.snapshot))?;
            let into = fresh(&directory)?;
            let wanted = Wanted::Beginning(&paths);
            let restored = restore(&*reader, &stored, wanted, &into, &hand)?;
            // By what was open before anything was written: whoever opens it now is told of no failure until now.
            let synced = into.sync();
            synced.with_context(|| format!("could not sync {}", directory.display()))?;
            Ok(restored)
        })
        .await?
    }

    /// Keeps the password in a file, where there is none. One that says the same stays as it is.
    ///
    /// # Errors
    /// Where it cannot be written, or holds another.
    pub fn keep_password(&self, file: &Path) -> anyhow::Result<()> {
        let about = || format!("could not write {}", file.display());
        let line = format!("{}\n", self.password.expose());
        match fs::read_to_string(file) {
            Ok(there) if there.trim() == line.trim() => return Ok(()),
            Ok(_) => bail!(
                "{} holds another password than the one that opened the repository",
                file.display()
            ),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("could not read {}", file.display()));
            }
            Err(_) => {}
        }
        if let Some(parent) = file.parent() {
            make_folder(parent).with_context(about)?;
        }
        once::make(file, &line).with_context(about)?;
        // What has come to stand there meanwhile stays, as does a link that leads nowhere.
        match fs::read_to_string(file) {
            Ok(there) if there == line => Ok(()),
            _ => Err(io::Error::from(Errno::EXIST)).with_context(about),
        }
    }
}

/// Refuses a PostgreSQL database that holds anything.
///
/// # Errors
/// Where it does, or cannot be reached.
pub async fn refuse_tables(url: &str) -> anyhow::Result<()> {
    let database = Server::of_url(url, None)?.connect().await?;
    let facts = database.facts().await;
    database.close().await;
    match facts?.tables.keys().next() {
        None => Ok(()),
        Some(table) => bail!(
            "the database is not empty: it has a table {table:?}; a restore never writes over anything, so name an \
             empty one"
        ),
    }
}

/// Loads a dump into an empty PostgreSQL database by the client programs in `pg_bin`, or those that fit its server, and
/// compares it with what the manifest says; says how many rows. Where the load fails, the database is as empty as before.
///
/// # Errors
/// What differs, or stands in the way.
pub async fn load(
    url: &str,
    dump: &DumpRecord,
    file: &Path,
    pg_bin: Option<PathBuf>,
    program: PathBuf,
) -> anyhow::Result<i64> {
    let server = Server::of_url(url, None)?;
    let version = server.version().await?;
    let (target, from) = (server.clone(), file.to_owned());
    blocking("load", move || {
        let programs = Programs::all(pg_bin.as_deref(), &program, version)?;
        let beside = tempdir_beside(&from)?;
        let hand = Hand {
            cancel: CancellationToken::new(),
            progress: Arc::new(|_| {}),
        };
        let from = (from.as_path(), scratch::Loading::ToStay);
        let loaded = scratch::pg_restore(&programs, &target, from, &beside, &hand);
        drop(fs::remove_dir_all(&beside));
        loaded
    })
    .await??;
    let counted = scratch::count_in(&server, dump).await?.rows();
    counted.context("what came into the database is not what was dumped")
}

/// Counts what is in a SQLite file that was brought back, and compares it with what the manifest says; says how many rows.
///
/// # Errors
/// What differs, or that it cannot be read.
pub async fn count_rows(dump: &DumpRecord, file: &Path) -> anyhow::Result<i64> {
    scratch::count_sqlite(dump, file).await?.rows()
}

fn tempdir_beside(file: &Path) -> anyhow::Result<PathBuf> {
    let directory = file.with_extension("pass");
    make_directory(&directory)?;
    Ok(directory)
}
