//! `watchbell restore`: a whole instance from a repository and its password, on a machine that knows nothing else.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};

use super::{
    DataDir, Ports,
    serve::{location, offline_engine},
};
use crate::{
    backup::{Offline, OfflineFound, load_dump, refuse_tables, repository::Progress},
    config::{Config, DatabaseUrl, trust},
    domain::{
        Caller,
        backup::{manifest::Manifest, point::RestorePoint},
    },
    store::Store,
};

/// While it stands in a data directory, no server starts on that.
pub(super) const UNFINISHED: &str = "restore-unfinished";
const PRINCIPAL: &str = "watchbell restore";
const WHY: &str =
    "restored from a backup: the original may still live; see that it does not, then resume";

/// What is to be restored.
#[derive(Clone, Debug)]
pub struct Wish {
    pub repository: PathBuf,
    pub password: PathBuf,
    /// The beginning of a UUID; none for the newest that is complete.
    pub point: Option<String>,
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
    /// Files that did not come back whole, and why.
    pub failed: Vec<String>,
    /// What is to be told: where sources lie, what the configuration needs.
    pub remarks: Vec<String>,
}

/// Opens the repository.
///
/// # Errors
/// What stands in the way.
pub async fn open_offline(wish: &Wish, ports: &Ports) -> anyhow::Result<Offline> {
    let opener = ports.repositories.clone();
    Offline::open(
        opener,
        ports.program.clone(),
        &wish.repository,
        &wish.password,
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
    let offline = open_offline(wish, ports).await?;
    let found = offline.points().await?;
    let mut remarks = Vec::new();
    let (chosen, manifest) = choose(&offline, &found, wish, &mut remarks).await?;
    let dump = own_dump(&manifest, &config.database)?.clone();

    let data = &config.data;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("could not make {}", data.display()))?;
    let unfinished = data.join(UNFINISHED);
    let mark = format!("a restore of {} began here and has not ended\n", chosen.id);
    fs::write(&unfinished, mark)
        .with_context(|| format!("could not write {}", unfinished.display()))?;
    let advice = || {
        format!(
            "what is in {} is not complete: remove it, and restore again",
            data.display()
        )
    };
    let manifest = Arc::new(manifest);
    let staging = data.join("restored");
    let restored = offline
        .restore(manifest.clone(), &staging, told)
        .await
        .with_context(advice)?;
    let mut account = Account {
        point: chosen.id.to_string(),
        frozen_at: manifest.frozen_at.to_string(),
        files: restored.files,
        bytes: restored.bytes,
        failed: restored.failed,
        remarks,
        ..Account::default()
    };
    account.remarks.extend(restored.left_out);
    let from = staging.join(dump.path.to_text().trim_start_matches('/'));
    if !from.is_file() {
        bail!(
            "the dump of the database did not come back: {}; {}",
            account.failed.join("; "),
            advice()
        );
    }
    match &config.database {
        DatabaseUrl::Sqlite(file) => {
            fs::rename(&from, file)
                .with_context(|| format!("could not put {} in place", file.display()))?;
            account.rows = dump.tables.values().sum();
        }
        DatabaseUrl::Postgres(url) => {
            account.rows = load_dump(url, &dump, &from, ports.program.clone())
                .await
                .with_context(advice)?;
        }
    }
    put_in_place(data, &staging, &mut account)?;
    offline.keep_password(&data.join("backups/password")).ok();
    settle(config, ports, &offline, &found, &mut account)
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
    let synced = fs::File::open(data).and_then(|data| Ok(rustix::fs::syncfs(data)?));
    synced.with_context(|| format!("could not sync {}", data.display()))?;
    fs::remove_file(&unfinished)
        .with_context(|| format!("could not remove {}", unfinished.display()))?;
    Ok(account)
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
        DatabaseUrl::Sqlite(file) if file.exists() => {
            bail!("{} is there already: name another", file.display())
        }
        DatabaseUrl::Sqlite(_) => Ok(()),
        DatabaseUrl::Postgres(url) => refuse_tables(url).await,
    }
}

/// The point that is meant: the newest complete one that holds the server's own database, or the one that was named.
async fn choose(
    offline: &Offline,
    found: &[OfflineFound],
    wish: &Wish,
    remarks: &mut Vec<String>,
) -> anyhow::Result<(OfflineFound, Manifest)> {
    let named = wish.point.as_deref().filter(|point| *point != "latest");
    for one in found {
        if named.is_some_and(|named| !one.id.to_string().starts_with(named)) {
            continue;
        }
        let manifest = match offline.manifest(one).await {
            Ok((manifest, _)) => manifest,
            Err(error) if named.is_some() => return Err(error),
            // One that is damaged must not keep an older one from coming back.
            Err(error) => {
                remarks.push(unreadable(one, &error));
                continue;
            }
        };
        let has_database = manifest
            .sources
            .iter()
            .any(|source| source.name == "database");
        if named.is_some() && !has_database {
            bail!(
                "restore point {} holds no database of the server: name another",
                one.id
            );
        }
        if has_database && (named.is_some() || manifest.errors.is_empty()) {
            return Ok((one.clone(), manifest));
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

fn unreadable(found: &OfflineFound, error: &anyhow::Error) -> String {
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

/// Contents go where the server has them; what the configuration named besides stays apart.
fn put_in_place(data: &Path, staging: &Path, account: &mut Account) -> anyhow::Result<()> {
    let content = staging.join("content");
    if content.is_dir() {
        let place = data.join("contents");
        fs::rename(&content, &place)
            .with_context(|| format!("could not put {} in place", place.display()))?;
    }
    let configuration = staging.join("configuration");
    if configuration.is_dir() {
        let place = data.join("configuration");
        fs::rename(&configuration, &place)
            .with_context(|| format!("could not put {} in place", place.display()))?;
        account.remarks.push(format!(
            "the configuration file of then is {}: look through it, and start with it by --config",
            place.join("watchbell.toml").display()
        ));
    }
    drop(fs::remove_dir_all(staging.join("database")));
    let sources = staging.join("sources");
    if sources.is_dir() {
        account.remarks.push(format!(
            "further sources were restored into {}",
            sources.display()
        ));
    } else {
        drop(fs::remove_dir_all(staging));
    }
    Ok(())
}

/// Puts right what the database says of a past that has gone on without it.
async fn settle(
    config: &Config,
    ports: &Ports,
    offline: &Offline,
    found: &[OfflineFound],
    account: &mut Account,
) -> anyhow::Result<()> {
    let exclusive = matches!(config.database, DatabaseUrl::Sqlite(_));
    let data = DataDir::open_unfinished(&config.data, exclusive)?;
    let store = Store::open(&location(config), ports.clock.clone()).await?;
    data.belong_to(&store.cluster_id().await?)?;
    let mut tx = store.begin().await?;
    tx.forget_original().await?;
    tx.commit().await?;
    let known = store.points_there().await?;
    for one in found {
        if let Ok(known) = store.point(one.id).await {
            // The database may be older than what was said of the point since.
            if one.was_accepted()
                && known.accepted.is_none()
                && let Ok((_, point)) = offline.manifest(one).await
                && let Some(acceptance) = point.accepted
            {
                let mut known = known;
                known.accept(acceptance);
                put(&store, &known).await?;
            }
            continue;
        }
        let mut point = match offline.manifest(one).await {
            Ok((_, point)) => point,
            Err(error) => {
                let remark = unreadable(one, &error);
                if !account.remarks.contains(&remark) {
                    account.remarks.push(remark);
                }
                continue;
            }
        };
        // Whoever made it is another instance's run; it is verified again before it counts.
        point.run.clear();
        put(&store, &point).await?;
        account.points_found += 1;
    }
    for mut point in known {
        let is_full = point.kind == crate::domain::backup::PolicyKind::Full;
        if is_full && !found.iter().any(|one| one.id == point.id) {
            point.removed_at = Some(ports.clock.now());
            point.remove_reason =
                "it is not in the repository that the instance was restored from".to_owned();
            put(&store, &point).await?;
            account.points_gone += 1;
        }
    }
    let engine = offline_engine(config, ports, store.clone());
    let who = Caller {
        principal: PRINCIPAL.to_owned(),
    };
    let settled = engine.settle_restored(&who, WHY).await?;
    account.runs = settled.runs;
    account.tasks = settled.tasks;
    store.close().await;
    Ok(())
}

async fn put(store: &Store, point: &RestorePoint) -> anyhow::Result<()> {
    let mut tx = store.begin().await?;
    tx.point_put(point).await?;
    tx.commit().await?;
    Ok(())
}
