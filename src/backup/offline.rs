//! A repository without its server: what is in it, and everything of it brought back.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    accept::{ACCEPTED_TAG, acceptance_in},
    child::Helpers,
    described::point_of,
    dump::{Programs, Server},
    full::{MANIFEST_TAG, snapshot_id},
    places::OpenRepository,
    read_back,
    repository::{Hand, Progress, Repository, SnapshotId},
    restore_files::{Restored, restore},
    scratch,
    work::blocking,
};
use crate::{
    config::{Secret, SecretSource},
    domain::backup::{
        manifest::{DumpRecord, Manifest},
        point::RestorePoint,
    },
};

/// A repository that was opened by its password alone.
#[derive(Debug)]
pub struct Offline {
    repository: Arc<dyn Repository>,
    password: Secret,
}

/// A restore point, as its manifest's snapshot names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: Uuid,
    pub policy: String,
    pub frozen_at: Timestamp,
    manifest: SnapshotId,
    /// What says that it was accepted.
    accepted: Option<SnapshotId>,
}

impl Found {
    /// Whether something in the repository says that what its sources have lost is as it should be.
    pub fn was_accepted(&self) -> bool {
        self.accepted.is_some()
    }
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
    ) -> anyhow::Result<Self> {
        let source = SecretSource {
            file: Some(password.to_owned()),
            env: None,
        };
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
        })
    }

    /// Every restore point that has a manifest, newest first.
    ///
    /// # Errors
    /// Where the repository cannot be read.
    pub async fn points(&self) -> anyhow::Result<Vec<Found>> {
        let of = self.repository.clone();
        let snapshots = blocking("snapshots", move || of.snapshots()).await??;
        let accepted: HashMap<String, SnapshotId> = snapshots
            .iter()
            .filter(|snapshot| snapshot.tags.iter().any(|tag| tag == ACCEPTED_TAG))
            .filter_map(|snapshot| {
                let mut tags = snapshot.tags.iter();
                let point = tags.find_map(|tag| tag.strip_prefix("point="))?;
                Some((point.to_owned(), snapshot.id.clone()))
            })
            .collect();
        let found = snapshots.into_iter().filter_map(|snapshot| {
            let tag = |name: &str| {
                let mut tags = snapshot.tags.iter();
                tags.find_map(|tag| tag.strip_prefix(name))
                    .map(str::to_owned)
            };
            if !snapshot.tags.iter().any(|tag| tag == MANIFEST_TAG) {
                return None;
            }
            Some(Found {
                id: tag("point=")?.parse().ok()?,
                policy: tag("policy=")?,
                frozen_at: snapshot.time,
                manifest: snapshot.id.clone(),
                accepted: accepted.get(&tag("point=")?).cloned(),
            })
        });
        let mut found: Vec<Found> = found.collect();
        found.sort_by_key(|found| std::cmp::Reverse((found.frozen_at, found.id)));
        Ok(found)
    }

    /// What a point says of itself; what its sources have lost and was accepted is missing in neither.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn manifest(&self, found: &Found) -> anyhow::Result<(Manifest, RestorePoint)> {
        let (of, id) = (self.repository.clone(), found.manifest.clone());
        let read = blocking("manifest", move || read_back::manifest_in(&*of, &id));
        let (mut manifest, sha256) = read.await??;
        let mut point = point_of(&manifest, manifest.frozen_at, manifest.frozen_at);
        point.manifest_snapshot.clone_from(&found.manifest.0);
        point.manifest_sha256 = sha256;
        if let Some(accepted) = found.accepted.clone() {
            let (of, id) = (self.repository.clone(), found.id);
            let read = blocking("acceptance", move || acceptance_in(&*of, &accepted, id));
            // One that cannot be read accepts nothing.
            if let Ok(acceptance) = read.await? {
                point.accept(acceptance);
                manifest.accept();
            }
        }
        Ok((manifest, point))
    }

    /// Restores everything of a point below a new directory; `told` hears how far it is.
    ///
    /// # Errors
    /// What is not about single files: those are in the answer.
    pub async fn restore(
        &self,
        manifest: Arc<Manifest>,
        directory: &Path,
        told: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> anyhow::Result<Restored> {
        let (of, directory) = (self.repository.clone(), directory.to_owned());
        let hand = Hand {
            cancel: CancellationToken::new(),
            progress: told,
        };
        blocking("restore", move || {
            let reader = of.open(&snapshot_id(&manifest.snapshot))?;
            restore(&*reader, &manifest, &[], &directory, &hand)
        })
        .await?
    }

    /// Keeps the password where a server looks for it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn keep_password(&self, file: &Path) -> anyhow::Result<()> {
        let about = || format!("could not write {}", file.display());
        if let Some(parent) = file.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .with_context(about)?;
        }
        let mut written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)
            .with_context(about)?;
        let line = format!("{}\n", self.password.expose());
        std::io::Write::write_all(&mut written, line.as_bytes()).with_context(about)
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

/// Loads a dump into an empty PostgreSQL database, and compares it with what the manifest says; says how many rows.
///
/// # Errors
/// What differs, or stands in the way.
pub async fn load(
    url: &str,
    dump: &DumpRecord,
    file: &Path,
    program: PathBuf,
) -> anyhow::Result<i64> {
    let server = Server::of_url(url, None)?;
    let (target, from) = (server.clone(), file.to_owned());
    blocking("load", move || {
        let programs = Programs::find(None, &program)?;
        let beside = tempdir_beside(&from)?;
        let hand = Hand {
            cancel: CancellationToken::new(),
            progress: Arc::new(|_| {}),
        };
        let loaded = scratch::pg_restore(&programs, &target, &from, &beside, &hand);
        drop(fs::remove_dir_all(&beside));
        loaded
    })
    .await??;
    let database = server.connect().await?;
    let facts = database.facts().await?;
    let orphans = database.orphans().await?;
    database.close().await;
    match scratch::judge(dump, &facts, &orphans) {
        scratch::Scratch::Same(rows) => Ok(rows),
        scratch::Scratch::Failed(why) | scratch::Scratch::NotPossible(why) => {
            bail!("what came into the database is not what was dumped: {why}")
        }
    }
}

fn tempdir_beside(file: &Path) -> anyhow::Result<PathBuf> {
    let directory = file.with_extension("pass");
    fs::create_dir_all(&directory)
        .with_context(|| format!("could not make {}", directory.display()))?;
    Ok(directory)
}
