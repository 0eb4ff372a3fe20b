//! `watchbell restore`: a whole instance from a repository and its password, on a machine that knows nothing else.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};

use super::{
    Ports,
    candidates::{objection, of_cluster},
    restore_contents::put_in_place,
    restore_disks::{COPY, Disks, put_database},
    restore_paths::tell_missing,
    restore_settle::settle,
};
use crate::{
    backup::{
        Offline, OfflineFound, Stored, count_rows, load_dump, refuse_tables, repository::Progress,
    },
    config::{Config, DatabaseUrl, trust},
    domain::backup::{manifest::Manifest, point::RestorePoint},
};

/// While it stands in a data directory, no server starts on that.
pub(super) const UNFINISHED: &str = "restore-unfinished";

/// What is to be restored.
#[derive(Clone, Debug)]
pub struct Wish {
    pub repository: PathBuf,
    pub password: PathBuf,
    /// The beginning of a UUID; none for the newest that is complete.
    pub point: Option<String>,
    /// The beginning of a cluster's id; none where the repository is of one alone.
    pub cluster: Option<String>,
    /// Beginnings of paths of which files alone come back, without an instance; none for an instance.
    pub paths: Vec<String>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub point: String,
    pub frozen_at: String,
    pub files: u64,
    pub bytes: u64,
    pub rows: i64,
    pub contents: i64,
    pub documents: i64,
    /// Runs that were under way, and tasks whose ledger was closed.
    pub runs: usize,
    pub tasks: usize,
    /// Restore points that the database did not know, and those that are not in the repository any more.
    pub points_found: usize,
    pub points_gone: usize,
    /// What of the files is not as it was, line by line, and how much that is.
    pub lacks: Vec<String>,
    pub lacking: u64,
    /// What is to be told: where sources lie, what the configuration needs.
    pub remarks: Vec<String>,
}

/// Opens the repository; `into` is where a restore goes, and what is large may lie beside that meanwhile.
///
/// # Errors
/// What stands in the way.
pub async fn open_offline(
    wish: &Wish,
    ports: &Ports,
    into: Option<&Path>,
) -> anyhow::Result<Offline> {
    let opener = ports.repositories.clone();
    let there = into.and_then(|into| into.ancestors().find(|above| above.is_dir()));
    Offline::open(
        opener,
        ports.program.clone(),
        &wish.repository,
        &wish.password,
        there.map(Path::to_owned),
    )
    .await
}

/// Restores an instance: into the configuration's data directory, and its database.
///
/// # Errors
/// What stands in the way. What is half there says so itself, and no server starts on it.
pub async fn restore(
    config: &Config,
    ports: &Ports,
    wish: &Wish,
    told: Arc<dyn Fn(Progress) + Send + Sync>,
) -> anyhow::Result<Account> {
    refuse_occupied(config).await?;
    let offline = open_offline(wish, ports, Some(&config.data)).await?;
    let found = of_cluster(offline.points().await?, wish.cluster.as_deref())?;
    let mut remarks = Vec::new();
    let (chosen, stored, point) = choose(&offline, &found, wish, &mut remarks).await?;
    let stored = Arc::new(stored);
    let manifest = &stored.manifest;
    let dump = own_dump(manifest, &config.database)?.clone();

    let data = &config.data;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("could not make {}", data.display()))?;
    // Open before anything is written: a disk that fails meanwhile is told to whoever has it open since then.
    let disks = Disks::open(config)?;
    let unfinished = data.join(UNFINISHED);
    let mark = format!("a restore of {} began here and has not ended\n", chosen.id);
    fs::write(&unfinished, mark)
        .with_context(|| format!("could not write {}", unfinished.display()))?;
    // It is there, whatever becomes of this machine, before what it speaks of.
    disks.sync()?;
    let advice = || {
        format!(
            "what is in {} is not complete: remove it, and restore again",
            data.display()
        )
    };
    let staging = data.join("restored");
    let restored = offline
        .restore(stored.clone(), Vec::new(), &staging, told)
        .await
        .with_context(advice)?;
    let mut account = Account {
        point: chosen.id.to_string(),
        frozen_at: manifest.frozen_at.to_string(),
        files: restored.files,
        bytes: restored.bytes,
        lacks: restored.lines().collect(),
        lacking: restored.lacking(),
        remarks,
        ..Account::default()
    };
    account.lacking += tell_missing(manifest, &[], &mut account.remarks);
    let from = dump.path.below(&staging);
    let is_there = from.symlink_metadata().is_ok_and(|there| there.is_file());
    if !is_there {
        bail!(
            "the dump of the database did not come back: {}; {}",
            restored.shortfall().unwrap_or_default(),
            advice()
        );
    }
    match &config.database {
        DatabaseUrl::Sqlite(file) => {
            match count_rows(&dump, &from).await {
                Ok(rows) => account.rows = rows,
                Err(error) => {
                    let what = "what came back of the database is not what was dumped";
                    account.lacks.push(format!("damaged: {what}: {error:#}"));
                    account.lacking += 1;
                }
            }
            put_database(&from, file)
                .with_context(|| format!("could not put {} in place", file.display()))?;
        }
        DatabaseUrl::Postgres(url) => {
            account.rows = {
                let pg_bin = config.backups.pg_bin.clone();
                load_dump(url, &dump, &from, pg_bin, ports.program.clone())
                    .await
                    .with_context(advice)?
            };
        }
    }
    account.remarks.extend(put_in_place(data, &staging)?);
    keep_password(config, &offline, &mut account);
    let read = (&chosen, manifest.cluster.as_str(), &point);
    settle(config, ports, &offline, &found, read, &mut account)
        .await
        .with_context(advice)?;
    account.documents = dump.tables.get("documents").copied().unwrap_or(0);
    account.contents = dump.tables.get("contents").copied().unwrap_or(0);
    let own = data.join("backups/repository");
    if wish.repository != own && config.backups.repository == own {
        account.remarks.push(format!(
            "the repository stays at {}: move it to {}, or name it in the configuration:\n\n  [backups]\n  repository = {:?}\n",
            wish.repository.display(),
            own.display(),
            wish.repository.display().to_string(),
        ));
    }
    // Until it is on the disk it has not ended, either.
    disks.sync()?;
    fs::remove_file(&unfinished)
        .with_context(|| format!("could not remove {}", unfinished.display()))?;
    Ok(account)
}

/// Where the server that is started next looks for it.
fn keep_password(config: &Config, offline: &Offline, account: &mut Account) {
    match &config.backups.password.file {
        Some(file) => {
            if let Err(error) = offline.keep_password(file) {
                account.remarks.push(format!(
                    "the repository's password was not kept: {error:#}; the server opens the repository once it stands there"
                ));
            }
        }
        None => account.remarks.push(
            "the repository's password is taken from the environment, as backups.password says: the server needs it there"
                .to_owned(),
        ),
    }
}

async fn refuse_occupied(config: &Config) -> anyhow::Result<()> {
    let data = &config.data;
    let occupied = match fs::read_dir(data) {
        Ok(mut entries) => {
            trust::check_directory(data, "data directory")?;
            // A new disk has a lost+found from its making.
            entries.any(|entry| !entry.is_ok_and(|entry| entry.file_name() == "lost+found"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => {
            return Err(error).with_context(|| format!("could not look at {}", data.display()));
        }
    };
    if occupied {
        bail!(
            "{} is not empty: a restore never writes over anything, so name a new directory by --data",
            data.display()
        );
    }
    match &config.database {
        DatabaseUrl::Sqlite(file) => {
            // What another database has left beside it would be taken for this one's last writes; and a copy of one that
            // is there would be found out once everything else is.
            for end in ["", "-wal", "-shm", "-journal", COPY] {
                let mut name = file.clone().into_os_string();
                name.push(end);
                let path = Path::new(&name);
                if path.symlink_metadata().is_ok() {
                    bail!(
                        "{} is there already: name another, or move it away",
                        path.display()
                    );
                }
            }
            // It would be found out once everything else is there.
            let above = file.parent().unwrap_or(Path::new("/"));
            if !above.starts_with(data) && !above.is_dir() {
                bail!(
                    "{} is not there, and {} is to be in it: make it first",
                    above.display(),
                    file.display()
                );
            }
            Ok(())
        }
        DatabaseUrl::Postgres(url) => refuse_tables(url).await,
    }
}

/// The point that is meant, and what it says of itself: the newest complete one that holds the server's own database, or
/// the one that was named.
pub(super) async fn choose(
    offline: &Offline,
    found: &[OfflineFound],
    wish: &Wish,
    remarks: &mut Vec<String>,
) -> anyhow::Result<(OfflineFound, Stored, RestorePoint)> {
    let named = wish.point.as_deref().filter(|point| *point != "latest");
    // Points of an older version say in their manifest alone whose they are.
    let cluster = found.iter().find_map(|one| one.cluster.as_ref());
    for one in found {
        if named.is_some_and(|named| !one.id.to_string().starts_with(named)) {
            continue;
        }
        if let Some(objection) = objection(one, named.is_some()) {
            remarks.push(objection);
            if named.is_none() {
                continue;
            }
        }
        let (stored, point) = match offline.manifest(one).await {
            Ok(read) => read,
            Err(error) if named.is_some() => return Err(error),
            // One that is damaged must not keep an older one from coming back.
            Err(error) => {
                remarks.push(unreadable(one, &error));
                continue;
            }
        };
        let manifest = &stored.manifest;
        if let Some(cluster) = cluster.filter(|cluster| **cluster != manifest.cluster) {
            let (id, of) = (one.id, &manifest.cluster);
            let what = format!("restore point {id} is of {of} and not of {cluster}");
            if named.is_some() && wish.cluster.is_some() {
                bail!("{what}");
            }
            if named.is_none() {
                remarks.push(format!("{what}, and is left out"));
                continue;
            }
        }
        let has_database = manifest
            .sources
            .iter()
            .any(|source| source.name == "database");
        if named.is_some() && !has_database && wish.paths.is_empty() {
            bail!(
                "restore point {} holds no database of the server: name another",
                one.id
            );
        }
        let fits = has_database || !wish.paths.is_empty();
        if fits && (named.is_some() || manifest.errors.is_empty()) {
            return Ok((one.clone(), stored, point));
        }
    }
    match named {
        Some(named) => bail!(
            "there is no restore point {named} in {}: --list shows those that are",
            wish.repository.display()
        ),
        None => bail!(
            "there is no complete restore point with the server's database in {}: --list shows what is",
            wish.repository.display()
        ),
    }
}

pub(super) fn unreadable(found: &OfflineFound, error: &anyhow::Error) -> String {
    format!(
        "restore point {} as of {} cannot be read, and is left out: {error:#}",
        found.id, found.frozen_at
    )
}

fn own_dump<'a>(
    manifest: &'a Manifest,
    database: &DatabaseUrl,
) -> anyhow::Result<&'a crate::domain::backup::manifest::DumpRecord> {
    let own = manifest
        .sources
        .iter()
        .find(|source| source.name == "database");
    let own = own.context("the restore point holds no database of the server")?;
    let dump = own
        .dump
        .as_ref()
        .context("its manifest describes no dump")?;
    match (own.kind.as_str(), database) {
        ("sqlite", DatabaseUrl::Sqlite(_)) | ("postgresql", DatabaseUrl::Postgres(_)) => Ok(dump),
        ("sqlite", _) => bail!("the restore point is of a server on SQLite: leave --database out"),
        ("postgresql", _) => bail!(
            "the restore point is of a server on PostgreSQL: name an empty database by --database postgres://…"
        ),
        (other, _) => bail!("a database of kind {other} cannot be restored by this version"),
    }
}
