//! Trying a dump as a drill does: in a scratch database of the server's own, or in the one that is given.

use std::path::Path;

use anyhow::bail;

use super::{
    Backups,
    dump::Server,
    scratch::{Scratch, drop_scratch, make_anew, restore_and_judge, try_sqlite},
    scratch_given::try_in_given,
    work::Job,
};
use crate::{
    domain::backup::manifest::{DumpRecord, SourceRecord},
    error::Error,
};

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
    if let Some(name) = &backups.settings().config.drill_database {
        return try_in_given(backups, job, (&server, name), dump, file).await;
    }
    let admin = server.connect().await?;
    let tried = match make_anew(backups, job, &admin).await {
        Ok(name) => {
            let target = server.with_database(&name);
            let tried = restore_and_judge(backups, job, &target, dump, file).await;
            // Whatever came of it.
            drop_scratch(job, &admin, &name).await;
            tried
        }
        Err(Error::Denied(why)) => Ok(Scratch::NotPossible(format!(
            "no right to create a database: {why}; give the role CREATEDB, or name an empty database by \
             backups.drill_database"
        ))),
        Err(error) => Err(error.into()),
    };
    admin.close().await;
    tried
}
