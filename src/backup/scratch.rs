//! Trying a dump: the database restored into a scratch one, counted, and dropped again. Never the live one.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::{
    Backups, child,
    dump::{Programs, Server},
    repository::Hand,
    staging::PASSWORD,
    work::{Job, make_folder},
};
use crate::{
    domain::{
        RunId,
        backup::manifest::{DumpRecord, Manifest, SourceRecord},
    },
    error::{Error, Result},
    store::{DumpFacts, Elsewhere, Orphans},
};

/// What trying a dump came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scratch {
    /// So many rows, as in the manifest.
    Same(i64),
    NotPossible(String),
    Failed(String),
}

/// What `pg_restore` says of a dump that a newer `pg_dump` has made.
const TOO_NEW: &str = "unsupported version";
/// Differences that are named.
const NAMED: usize = 5;

/// Restores a dump that lies in a file, and compares it with the manifest.
pub(super) async fn try_dump(
    backups: &Backups,
    job: &Job,
    source: &SourceRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    let Some(dump) = &source.dump else {
        bail!("source {:?} has no dump", source.name);
    };
    match source.kind.as_str() {
        "sqlite" => try_sqlite(job, dump, file).await,
        "postgresql" => try_postgres(backups, job, dump, file).await,
        other => Ok(Scratch::NotPossible(format!(
            "a dump of kind {other} cannot be tried here"
        ))),
    }
}

async fn try_sqlite(job: &Job, dump: &DumpRecord, file: &Path) -> anyhow::Result<Scratch> {
    let database = Elsewhere::sqlite(file, false).await?;
    let checked = async {
        database.integrity_check().await?;
        let facts = database.facts().await?;
        let orphans = match facts.is_ours() {
            true => database.orphans().await?,
            false => Orphans::default(),
        };
        Ok::<_, Error>((facts, orphans))
    };
    let checked = job.cancel().run_until_cancelled(checked).await;
    let Some(checked) = checked else {
        return Err(child::Stopped.into());
    };
    let judged = checked.map(|(facts, orphans)| judge(dump, &facts, &orphans));
    database.close().await;
    Ok(judged?)
}

async fn try_postgres(
    backups: &Backups,
    job: &Job,
    dump: &DumpRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    let Some(url) = &backups.settings().postgres else {
        return Ok(Scratch::NotPossible(
            "this server is not on PostgreSQL, and has nowhere to restore it".to_owned(),
        ));
    };
    let server = Server::of_url(url, None)?;
    let name = scratch_name(&backups.settings().cluster, job.run());
    let admin = server.connect().await?;
    match make_anew(&admin, &name).await {
        Err(Error::Denied(why)) => {
            admin.close().await;
            return Ok(Scratch::NotPossible(format!(
                "no right to create a database: {why}"
            )));
        }
        made => made?,
    }
    let tried = restore_and_judge(backups, job, &server.with_database(&name), dump, file).await;
    // Whatever came of it.
    let dropped = admin.drop_database(&name).await;
    admin.close().await;
    let tried = tried?;
    dropped.with_context(|| format!("could not drop the scratch database {name}"))?;
    Ok(tried)
}

async fn restore_and_judge(
    backups: &Backups,
    job: &Job,
    target: &Server,
    dump: &DumpRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    load(backups, job, target, file).await?;
    let database = target.connect().await?;
    let facts = database.facts().await?;
    let orphans = match facts.is_ours() {
        true => database.orphans().await?,
        false => Orphans::default(),
    };
    database.close().await;
    Ok(judge(dump, &facts, &orphans))
}

/// Loads a dump into an empty database.
async fn load(backups: &Backups, job: &Job, target: &Server, file: &Path) -> anyhow::Result<()> {
    let settings = backups.settings();
    let programs = Programs::all(
        settings.config.pg_bin.as_deref(),
        &settings.program,
        target.version().await?,
    )?;
    let (target, file) = (target.clone(), file.to_owned());
    let staging = settings
        .config
        .staging
        .join(format!("{}{PASSWORD}", job.run()));
    job.step("load", 0, move |hand| {
        make_folder(&staging)?;
        let loaded = pg_restore(&programs, &target, &file, &staging, hand);
        drop(std::fs::remove_dir_all(&staging));
        loaded
    })
    .await
}

/// All of it or nothing, by the programs that fit the server best. A dump may have been made by newer ones, which alone
/// can read it.
pub(super) fn pg_restore(
    programs: &[Programs],
    target: &Server,
    file: &Path,
    staging: &Path,
    hand: &Hand,
) -> anyhow::Result<()> {
    let passfile = super::dump::passfile(target, staging)?;
    let mut complaint = "there is no pg_restore here: install PostgreSQL's client programs (Debian: postgresql-client), \
                         or say where they are by backups.pg_bin"
        .to_owned();
    for programs in programs {
        let mut order = programs.order("pg_restore", &passfile);
        order
            .args([
                "--single-transaction",
                "--exit-on-error",
                "--no-owner",
                "--no-privileges",
                "--no-password",
            ])
            .args([format!("--dbname={}", target.url())])
            .args([file.as_os_str().to_owned()]);
        let ended = programs.run(order, &mut std::io::sink(), &hand.cancel)?;
        if ended.status.success() {
            return Ok(());
        }
        let said = ended.complaint.trim();
        complaint = format!("pg_restore failed ({}): {said}", ended.status);
        if !said.contains(TOO_NEW) {
            break;
        }
    }
    bail!(complaint)
}

pub(super) fn judge(dump: &DumpRecord, facts: &DumpFacts, orphans: &Orphans) -> Scratch {
    let mut wrong = Vec::new();
    for (table, rows) in &dump.tables {
        match facts.tables.get(table) {
            Some(found) if found == rows => {}
            Some(found) => wrong.push(format!("{table} has {found} rows and had {rows}")),
            None => wrong.push(format!("table {table} is not there")),
        }
    }
    if facts.schema != dump.schema {
        wrong.push(format!(
            "its schema is {:?} and was {:?}",
            facts.schema, dump.schema
        ));
    }
    if 0 < orphans.count() {
        wrong.push(format!(
            "{} references to contents, {} of history and {} of dependants lead nowhere",
            orphans.contents, orphans.history, orphans.dependants
        ));
    }
    if wrong.is_empty() {
        return Scratch::Same(facts.tables.values().sum());
    }
    let more = wrong.len().saturating_sub(NAMED);
    wrong.truncate(NAMED);
    if 0 < more {
        wrong.push(format!("and {more} more"));
    }
    Scratch::Failed(wrong.join("; "))
}

/// Restores the server's own database from what a restore has brought back, into a new one; says how many rows.
pub(super) async fn load_new(
    backups: &Backups,
    job: &Job,
    manifest: &Manifest,
    directory: &Path,
    name: &str,
) -> anyhow::Result<i64> {
    let own = manifest
        .sources
        .iter()
        .find(|source| source.name == "database");
    let dump = own
        .filter(|own| own.kind == "postgresql")
        .and_then(|own| own.dump.as_ref())
        .context("the restore point holds no dump of PostgreSQL")?;
    let url = backups
        .settings()
        .postgres
        .as_ref()
        .context("this server is not on PostgreSQL")?;
    let server = Server::of_url(url, None)?;
    let file = dump.path.below(directory);
    let admin = server.connect().await?;
    // Under another name until it is whole: half of it is nobody's, and a cleanup drops it where this ends before it
    // can.
    let scratch = scratch_name(&backups.settings().cluster, job.run());
    let made = make_anew(&admin, &scratch).await;
    if let Err(error) = made {
        admin.close().await;
        return Err(error.into());
    }
    let tried = restore_and_judge(backups, job, &server.with_database(&scratch), dump, &file).await;
    let rows = match tried {
        Ok(Scratch::Same(rows)) => {
            let renamed = admin.rename_database(&scratch, name).await;
            renamed.map(|()| rows).map_err(Into::into)
        }
        Ok(Scratch::Failed(why) | Scratch::NotPossible(why)) => {
            Err(anyhow::anyhow!("database {name}: {why}"))
        }
        Err(error) => Err(error),
    };
    if rows.is_err()
        && let Err(error) = admin.drop_database(&scratch).await
    {
        job.log(format!(
            "database {scratch} could not be dropped; a cleanup will: {error}"
        ));
    }
    admin.close().await;
    rows
}

/// Of an earlier attempt one may be there.
async fn make_anew(admin: &Elsewhere, name: &str) -> Result<()> {
    admin.drop_database(name).await?;
    admin.create_database(name).await
}

/// Whether there is such a database beside the server's own.
pub(super) async fn database_exists(backups: &Backups, name: &str) -> Result<bool> {
    let Some(url) = &backups.settings().postgres else {
        return Ok(false);
    };
    let away = |error: anyhow::Error| Error::unavailable("the database", format!("{error:#}"));
    let server = Server::of_url(url, None).map_err(away)?;
    let admin = server.connect().await.map_err(away)?;
    let found = admin.databases(name).await;
    admin.close().await;
    Ok(found?.iter().any(|found| found == name))
}

/// Drops scratch databases of this cluster whose run is not under way; says how many.
pub(super) async fn sweep(backups: &Backups, job: &Job, alive: &[RunId]) -> anyhow::Result<u64> {
    let Some(url) = &backups.settings().postgres else {
        return Ok(0);
    };
    let admin = Server::of_url(url, None)?.connect().await?;
    let own: Vec<String> = alive
        .iter()
        .map(|run| scratch_name(&backups.settings().cluster, *run))
        .collect();
    let mut swept = 0;
    for name in admin
        .databases(&prefix(&backups.settings().cluster))
        .await?
    {
        if own.contains(&name) {
            continue;
        }
        job.log(format!("database {name} was left by a drill, and goes"));
        swept += 1;
        if !job.dry_run() {
            admin.drop_database(&name).await?;
        }
    }
    admin.close().await;
    Ok(swept)
}

/// Names hold the cluster and the run, so that nobody's database is mistaken for one.
fn scratch_name(cluster: &str, run: RunId) -> String {
    format!("{}{}", prefix(cluster), run.0.simple())
}

fn prefix(cluster: &str) -> String {
    let cluster: String = cluster
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(12)
        .collect();
    format!("watchbell_drill_{cluster}_")
}
