//! Servers of PostgreSQL that drills restore into: the server's own, and those of sources, where the own one cannot
//! take what they hold.

use std::collections::BTreeSet;

use super::{Backups, Settings, dump::Server, scratch_names::Maker, work::Job};
use crate::{config::SourceConfig, error::Result, host, store::Elsewhere};

/// Sources on whose servers drills have made databases.
const MADE_AT_KEY: &str = "backup_scratch_sources";

/// A server of PostgreSQL that drills restore into.
pub(super) struct Spot {
    pub(super) server: Server,
    /// The database that the configuration gives to drills; without it each makes one of its own.
    pub(super) given: Option<String>,
    /// The setting that gives one.
    pub(super) setting: String,
    /// The source whose server it is; none of the server's own.
    pub(super) source: Option<String>,
}

impl Spot {
    /// The server's own; none where that is not on PostgreSQL.
    ///
    /// # Errors
    /// Where its URL cannot be understood.
    pub(super) fn own(settings: &Settings) -> anyhow::Result<Option<Self>> {
        let Some(url) = &settings.postgres else {
            return Ok(None);
        };
        Ok(Some(Self {
            server: Server::of_url(url, None)?,
            given: settings.config.drill_database.clone(),
            setting: "backups.drill_database".to_owned(),
            source: None,
        }))
    }

    /// The server of a source; none where the configuration has no source of PostgreSQL of that name.
    ///
    /// # Errors
    /// Where its password cannot be read, such as for a disk that hangs.
    pub(super) async fn of_source(settings: &Settings, name: &str) -> anyhow::Result<Option<Self>> {
        let Some(SourceConfig::Postgres {
            url,
            password,
            drill_database,
        }) = settings.config.sources.get(name)
        else {
            return Ok(None);
        };
        let server = match password.clone() {
            None => Server::of_source(url, None)?,
            Some(secret) => {
                let question = secret.question(&format!("of source {name}"));
                let url = url.clone();
                host::ask(question, move || Server::of_source(&url, Some(&secret))).await??
            }
        };
        Ok(Some(Self {
            server,
            given: drill_database.clone(),
            setting: format!("backups.sources.{name}.drill_database"),
            source: Some(name.to_owned()),
        }))
    }

    /// For people: follows what lies on it.
    pub(super) fn shown(&self) -> String {
        match &self.source {
            None => "on the server's own PostgreSQL".to_owned(),
            Some(source) => format!("on the PostgreSQL of source {source}"),
        }
    }

    /// Who makes scratch databases there. `home`: a connection to the database that its URL names.
    pub(super) async fn maker(&self, settings: &Settings, home: &Elsewhere) -> Result<Maker> {
        let home = match &self.source {
            None => home.name().await?,
            // What is on SQLite has no database there that tells it from its copies.
            Some(source) => format!("{} for source {source}", settings.data.display()),
        };
        Ok(Maker::new(&settings.cluster, home))
    }
}

impl Backups {
    /// Notes that a drill makes a database there, so that one that it leaves is looked for.
    pub(super) async fn note_scratch(&self, job: &Job, spot: &Spot) -> anyhow::Result<()> {
        let Some(source) = &spot.source else {
            return Ok(());
        };
        let mut known = self.made_at().await?;
        if known.insert(source.clone()) {
            let mut tx = job.begin().await?;
            tx.set_value(MADE_AT_KEY, &known).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Sources on whose servers drills have made databases.
    pub(super) async fn made_at(&self) -> Result<BTreeSet<String>> {
        Ok(self.store().value(MADE_AT_KEY).await?.unwrap_or_default())
    }
}
