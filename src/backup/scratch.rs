//! Trying a dump: the database restored into a scratch one, counted, and dropped again. Never the live one.

use std::path::Path;

use anyhow::{Context as _, bail};

use super::{
    Backups, child,
    dump::{Programs, Server},
    repository::Hand,
    scratch_names::{Maker, Whose},
    staging::PASSWORD,
    work::{Job, asked, is_stopped, make_folder},
};
use crate::{
    domain::backup::manifest::{DumpRecord, Manifest, SnapshotPath},
    error::{Error, Result, Thing},
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

impl Scratch {
    /// The number of rows.
    ///
    /// # Errors
    /// Why it is not that of the manifest, or cannot be known.
    pub(super) fn rows(self) -> anyhow::Result<i64> {
        match self {
            Self::Same(rows) => Ok(rows),
            Self::NotPossible(why) | Self::Failed(why) => bail!(why),
        }
    }
}

/// What a dump is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loading {
    /// To be used: all that is in it.
    ToStay,
    /// To be counted, and dropped again: without what holds no row, and reaches beyond the database, or is somebody else's
    /// to say.
    ToCount,
}

/// What is not loaded where a dump is but counted. A role may own no extension that it comments; tablespaces are of a
/// cluster; and a database with a subscription cannot be dropped.
const NOT_COUNTED: [&str; 5] = [
    "--no-comments",
    "--no-tablespaces",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
];
/// What `pg_restore` says of a dump that a newer `pg_dump` has made.
const TOO_NEW: &str = "unsupported version";
/// Differences that are named.
const NAMED: usize = 5;

/// Counts what is in a SQLite file, until the run is asked to stop.
pub(super) async fn try_sqlite(
    job: &Job,
    dump: &DumpRecord,
    file: &Path,
) -> anyhow::Result<Scratch> {
    let counted = count_sqlite(dump, file);
    match job.cancel().run_until_cancelled(counted).await {
        Some(counted) => counted,
        None => Err(child::Stopped.into()),
    }
}

/// Counts what is in a SQLite file that was brought back, and compares it with the manifest.
pub(super) async fn count_sqlite(dump: &DumpRecord, file: &Path) -> anyhow::Result<Scratch> {
    let database = Elsewhere::sqlite(file, false).await?;
    let checked = async {
        database.integrity_check().await?;
        facts_of(&database).await
    };
    let judged = checked.await;
    database.close().await;
    let (facts, orphans) = judged?;
    Ok(judge(dump, &facts, &orphans))
}

async fn facts_of(database: &Elsewhere) -> Result<(DumpFacts, Orphans)> {
    let facts = database.facts().await?;
    let orphans = match facts.is_ours() {
        true => database.orphans().await?,
        false => Orphans::default(),
    };
    Ok((facts, orphans))
}

/// Counts the SQLite databases that a restore has brought back: what of each is as in the manifest, or why it is not.
pub(super) async fn count_restored(
    job: &Job,
    manifest: &Manifest,
    paths: &[SnapshotPath],
    directory: &Path,
) -> anyhow::Result<Vec<std::result::Result<String, String>>> {
    let mut all = Vec::new();
    for source in manifest.sources.iter().filter(|one| one.kind == "sqlite") {
        let dump = source.dump.as_ref();
        let Some(dump) = dump.filter(|dump| dump.path.begins_with_any(paths)) else {
            continue;
        };
        let file = dump.path.below(directory);
        let is_there = asked(&file, "looking at", |file| {
            file.symlink_metadata().is_ok_and(|there| there.is_file())
        });
        if !is_there.await? {
            // It is named as what did not come back.
            continue;
        }
        let of = &source.name;
        let counted = job.wait("count", try_sqlite(job, dump, &file)).await;
        all.push(match counted {
            Ok(Scratch::Same(rows)) => Ok(format!("{rows} rows in {of}, as in the manifest")),
            Ok(Scratch::Failed(why) | Scratch::NotPossible(why)) => Err(format!(
                "what came back of {of} is not what was dumped: {why}"
            )),
            Err(error) if is_stopped(&error) => return Err(error),
            Err(error) => Err(format!("what came back of {of} cannot be read: {error:#}")),
        });
    }
    Ok(all)
}

/// That it stays says nothing of the dump; it is told, and a cleanup that cannot remove it is no success.
pub(super) async fn drop_scratch(job: &Job, admin: &Elsewhere, name: &str) {
    if let Err(error) = admin.drop_database(name).await {
        job.log(format!(
            "database {name} could not be dropped; a cleanup will: {error}"
        ));
    }
}

pub(super) async fn restore_and_judge(
    backups: &Backups,
    job: &Job,
    target: &Server,
    dump: &DumpRecord,
    file: (&Path, Loading),
) -> anyhow::Result<Scratch> {
    load(backups, job, target, file).await?;
    count_in(target, dump).await
}

/// Counts what is in a database of PostgreSQL, and compares it with the manifest.
pub(super) async fn count_in(target: &Server, dump: &DumpRecord) -> anyhow::Result<Scratch> {
    let database = target.connect().await?;
    let found = facts_of(&database).await;
    database.close().await;
    let (facts, orphans) = found?;
    Ok(judge(dump, &facts, &orphans))
}

/// Loads a dump into an empty database.
async fn load(
    backups: &Backups,
    job: &Job,
    target: &Server,
    (file, loading): (&Path, Loading),
) -> anyhow::Result<()> {
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
        let loaded = pg_restore(&programs, &target, (&file, loading), &staging, hand);
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
    (file, loading): (&Path, Loading),
    staging: &Path,
    hand: &Hand,
) -> anyhow::Result<()> {
    let passfile = super::dump::passfile(target, staging)?;
    let mut complaint = "there is no pg_restore here: install PostgreSQL's client programs (Debian: postgresql-client), \
                         or say where they are by backups.pg_bin"
        .to_owned();
    for programs in programs {
        let mut order = programs.order("pg_restore", &passfile);
        if loading == Loading::ToCount {
            order.args(NOT_COUNTED);
        }
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

fn judge(dump: &DumpRecord, facts: &DumpFacts, orphans: &Orphans) -> Scratch {
    let mut wrong = Vec::new();
    // What an extension brings is another with each of its versions, and no dump's.
    let all = dump.tables.iter();
    let compared: Vec<(&String, &i64)> = all
        .filter(|(table, _)| !facts.of_extensions.contains(*table))
        .collect();
    for &(table, rows) in &compared {
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
        // Of the dump alone: the note of a drill lies beside it, where a database is given.
        return Scratch::Same(compared.iter().map(|(_, rows)| **rows).sum());
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
    let loaded = load_named(backups, job, (&server, &admin), (dump, &file), name).await;
    admin.close().await;
    loaded
}

async fn load_named(
    backups: &Backups,
    job: &Job,
    (server, admin): (&Server, &Elsewhere),
    (dump, file): (&DumpRecord, &Path),
    name: &str,
) -> anyhow::Result<i64> {
    let same = |judged: Scratch| judged.rows().with_context(|| format!("database {name}"));
    let maker = maker(backups, admin).await?;
    let note = maker.note(job.run());
    if admin.comment(name).await? == Some(note) {
        // An attempt before had loaded it, and its process ended before that was written down.
        return same(count_in(&server.with_database(name), dump).await?);
    }
    // Under another name until it is whole: half of it is nobody's, and a cleanup drops it where this ends before it
    // can.
    let scratch = make_anew(&maker, job, admin).await?;
    let target = server.with_database(&scratch);
    let file = (file, Loading::ToStay);
    let tried = restore_and_judge(backups, job, &target, dump, file).await;
    let rows = match tried.and_then(same) {
        Ok(rows) => {
            let renamed = admin.rename_database(&scratch, name).await;
            renamed.map(|()| rows).map_err(Into::into)
        }
        Err(error) => Err(error),
    };
    if rows.is_err() {
        drop_scratch(job, admin, &scratch).await;
    }
    rows
}

/// Makes the run's scratch database, and says what it is called; of an earlier attempt one may be there.
///
/// # Errors
/// [`Error::Denied`] without the right to; [`Error::AlreadyExists`] where somebody else's is called so.
pub(super) async fn make_anew(maker: &Maker, job: &Job, admin: &Elsewhere) -> Result<String> {
    let name = maker.name(job.run());
    let note = admin.comment(&name).await?;
    if maker.whose(&name, note.as_deref()) == Whose::Others {
        return Err(Error::AlreadyExists {
            what: Thing::Database,
            id: name,
        });
    }
    admin.drop_database(&name).await?;
    admin.create_database(&name).await?;
    if let Err(error) = admin.set_comment(&name, &maker.note(job.run())).await {
        drop_scratch(job, admin, &name).await;
        return Err(error);
    }
    Ok(name)
}

/// Who makes scratch databases beside the server's own.
async fn maker(backups: &Backups, admin: &Elsewhere) -> Result<Maker> {
    Ok(Maker::new(&backups.settings().cluster, admin.name().await?))
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
    Ok(found?.iter().any(|(found, _)| found == name))
}

#[cfg(test)]
mod tests;
