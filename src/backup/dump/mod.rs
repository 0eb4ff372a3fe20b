//! Dumps of databases: each is one file in staging, with what it must bring back.

mod copy;
mod postgres;
mod server;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;

pub(super) use self::{
    copy::{COPY_DATABASE, help},
    postgres::{Programs, major_of},
    server::{Server, passfile},
};
use super::{Backups, work::Job};
use crate::{
    config::SourceConfig,
    domain::backup::manifest::{DumpRecord, SnapshotPath},
    store::DumpFacts,
};

/// A dump that is ready to be archived.
#[derive(Debug)]
pub(super) struct Dumped {
    pub(super) file: PathBuf,
    pub(super) record: DumpRecord,
}

/// The server's own database, dumped.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) frozen_at: Timestamp,
    /// `sqlite` or `postgresql`.
    pub(super) kind: &'static str,
    pub(super) dumped: Dumped,
    /// What documents referred to at that instant.
    pub(super) references: Vec<(String, u64)>,
}

/// A dump before it is named: its file's size and hash, and the facts.
#[derive(Debug)]
struct Raw {
    size: u64,
    sha256: String,
    facts: DumpFacts,
}

/// Dumps the server's own database.
///
/// # Errors
/// What stands in the way; the file is gone then.
pub(super) async fn own(backups: &Backups, job: &Job, staging: &Path) -> anyhow::Result<Own> {
    let frozen_at = backups.clock().now();
    let (kind, name) = match backups.store().file() {
        Some(_) => ("sqlite", "watchbell.db"),
        None => ("postgresql", "watchbell.dump"),
    };
    let file = staging.join(name);
    let dumped = match (backups.store().file(), &backups.settings().postgres) {
        (Some(database), _) => copy::dump(backups, job, database, &file).await,
        (None, Some(url)) => {
            let server = Server::of_url(url, None)?;
            postgres::dump(backups, job, &server, &file).await
        }
        (None, None) => bail!("the server's own database is neither a file nor known by its URL"),
    };
    let raw = dumped
        .inspect_err(|_| drop(fs::remove_file(&file)))
        .context("could not dump the server's database")?;
    if !raw.facts.is_ours() {
        bail!("the dump holds no database of this server: its tables are not there");
    }
    let path = format!("/database/{name}");
    let (dumped, references) = raw.named(file, &path);
    Ok(Own {
        frozen_at,
        kind,
        dumped,
        references,
    })
}

/// Dumps a database that the configuration names.
///
/// # Errors
/// What stands in the way; the file is gone then.
pub(super) async fn other(
    backups: &Backups,
    job: &Job,
    name: &str,
    source: &SourceConfig,
    staging: &Path,
) -> anyhow::Result<Dumped> {
    let about = || format!("could not dump source {name:?}");
    let (file, dumped) = match source {
        SourceConfig::Sqlite(database) => {
            let file = staging.join(format!("{name}.db"));
            let dumped = copy::dump(backups, job, database, &file).await;
            (file, dumped)
        }
        SourceConfig::Postgres { url, password, .. } => {
            let file = staging.join(format!("{name}.dump"));
            let server = Server::of_source(url, password.as_ref()).with_context(about)?;
            let dumped = postgres::dump(backups, job, &server, &file).await;
            (file, dumped)
        }
        SourceConfig::Paths(_) => bail!("source {name:?} is no database"),
    };
    let raw = dumped
        .inspect_err(|_| drop(fs::remove_file(&file)))
        .with_context(about)?;
    let last = file
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(raw.named(file, &format!("/sources/{name}/{last}")).0)
}

impl Raw {
    /// The dump, and what documents refer to.
    fn named(self, file: PathBuf, path: &str) -> (Dumped, Vec<(String, u64)>) {
        let Self {
            size,
            sha256,
            facts,
        } = self;
        let bytes = facts.references.iter().map(|(_, size)| size).sum();
        let dumped = Dumped {
            file,
            record: DumpRecord {
                path: SnapshotPath::from(path),
                size,
                sha256,
                server_version: facts.server_version,
                tables: facts.tables,
                schema: facts.schema,
                references: facts.references.len() as u64,
                referenced_bytes: bytes,
            },
        };
        (dumped, facts.references)
    }
}
