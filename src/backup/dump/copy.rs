//! SQLite: `VACUUM INTO` a fresh file, in a process that can be ended; checked and counted there, too, so that the counts
//! are of the copy.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::Raw;
use crate::{
    backup::{Backups, read_back::Hashing, rustic::lower_priority, work::Job},
    error::Error,
    store::{DumpFacts, Elsewhere},
};

/// The helper's step.
pub(in crate::backup) const COPY_DATABASE: &str = "copy-database";

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    from: PathBuf,
    to: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    size: u64,
    sha256: String,
    facts: DumpFacts,
}

/// Copies a database file.
pub(super) async fn dump(
    backups: &Backups,
    job: &Job,
    database: &Path,
    file: &Path,
) -> anyhow::Result<Raw> {
    if !database.is_file() {
        bail!("{} is not there, or is no file", database.display());
    }
    let order = Order {
        from: database.to_owned(),
        to: file.to_owned(),
    };
    let helpers = backups.helpers();
    let answer: Answer = job
        .step("dump", 0, move |hand| {
            helpers.ask(COPY_DATABASE, &order, &hand.cancel)
        })
        .await?;
    Ok(Raw {
        size: answer.size,
        sha256: answer.sha256,
        facts: answer.facts,
    })
}

/// What the helper does.
///
/// # Errors
/// What stands in the way.
pub(in crate::backup) fn help(order: &[u8]) -> anyhow::Result<Vec<u8>> {
    let Order { from, to } = serde_json::from_slice(order).context("the order cannot be read")?;
    lower_priority();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let facts = runtime.block_on(copy(&from, &to))?;
    let about = || format!("could not read {}", to.display());
    let mut copied = File::open(&to).with_context(about)?;
    let mut hashed = Hashing::new(io::sink());
    io::copy(&mut copied, &mut hashed).with_context(about)?;
    copied.sync_all().with_context(about)?;
    let (_, sha256, size) = hashed.into_all();
    Ok(serde_json::to_vec(&Answer {
        size,
        sha256,
        facts,
    })?)
}

async fn copy(from: &Path, to: &Path) -> anyhow::Result<DumpFacts> {
    let about = || format!("could not copy {}", from.display());
    let source = Elsewhere::sqlite(from, true)
        .await
        .map_err(plain)
        .with_context(about)?;
    source
        .vacuum_into(to)
        .await
        .map_err(plain)
        .with_context(about)?;
    source.close().await;
    // Of a database in memory nothing is written, and no error is told.
    let written = fs::metadata(to).with_context(|| format!("{} was not written", to.display()))?;
    if written.len() == 0 {
        bail!("the copy of {} is empty", from.display());
    }
    fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let copy = Elsewhere::sqlite(to, false)
        .await
        .map_err(plain)
        .with_context(about)?;
    copy.integrity_check()
        .await
        .map_err(plain)
        .with_context(about)?;
    let facts = copy.facts().await.map_err(plain).with_context(about)?;
    copy.close().await;
    Ok(facts)
}

/// Without the words that are for callers of the API.
fn plain(error: Error) -> anyhow::Error {
    match error {
        Error::Internal(cause) => anyhow::anyhow!("{cause}"),
        Error::Unavailable { source, .. } => anyhow::anyhow!("{source}"),
        error => error.into(),
    }
}
