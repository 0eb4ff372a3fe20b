//! Where backups lie, and what policies may name besides the server's own database and content.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::{database_name::database_name, secret::SecretSource};
use crate::domain::backup::globs::Globs;

const NAME_MAX: usize = 63;
/// Paths and globs of a source.
const PATHS_MAX: usize = 1000;
/// What is the server's own.
const OWN: [&str; 2] = ["database", "content"];

/// `[backups]` as it is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBackups {
    #[serde(skip_serializing_if = "Option::is_none")]
    repository: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    staging: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exports: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<SecretSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_roots: Option<Vec<PathBuf>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pg_bin: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drill_database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<RawArchive>,
    sources: BTreeMap<String, RawSource>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArchive {
    repository: PathBuf,
    password: SecretSource,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSource {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<PathBuf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    may_be_empty: bool,
    #[serde(skip_serializing_if = "is_false")]
    must_be_mount: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentinel: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlite: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postgres: Option<String>,
    /// Name of a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<NamedSecret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drill_database: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedSecret {
    secret: String,
}

/// Where backups lie, and what there is to back up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupsConfig {
    pub repository: PathBuf,
    pub password: SecretSource,
    /// Dumps lie here until they are stored.
    pub staging: PathBuf,
    pub exports: PathBuf,
    /// Restores go below one of these; at least one.
    pub restore_roots: Vec<PathBuf>,
    /// Where `pg_dump` and `pg_restore` are; without it they are looked for.
    pub pg_bin: Option<PathBuf>,
    /// A database that drills restore into and empty again; without it each makes one of its own.
    pub drill_database: Option<String>,
    pub archive: Option<ArchiveConfig>,
    pub sources: BTreeMap<String, SourceConfig>,
}

/// The second location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveConfig {
    pub repository: PathBuf,
    pub password: SecretSource,
}

/// Something to back up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    Paths(PathsConfig),
    Sqlite(PathBuf),
    Postgres {
        /// Without a password, where one is named.
        url: String,
        password: Option<SecretSource>,
        /// A database of the same server that drills restore into and empty again.
        drill_database: Option<String>,
    },
}

/// Files and directories to back up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathsConfig {
    /// None lies in another.
    pub paths: Vec<PathBuf>,
    /// Patterns as in a `.gitignore`.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Whether a path with no file in it is as it should be.
    pub may_be_empty: bool,
    /// Whether each path must be where a disk is mounted.
    pub must_be_mount: bool,
    /// What must be in each path: a relative path.
    pub sentinel: Option<PathBuf>,
}

impl RawBackups {
    /// # Errors
    /// Which setting is wrong, and what was expected.
    pub(super) fn check(
        &self,
        data: &Path,
        secrets: &BTreeMap<String, SecretSource>,
    ) -> anyhow::Result<BackupsConfig> {
        let own = data.join("backups");
        let place = |name: &str, given: &Option<PathBuf>, default: PathBuf| match given {
            None => Ok(default),
            Some(path) => absolute(&format!("backups.{name}"), path),
        };
        let password = match &self.password {
            Some(password) => {
                one_of("backups.password", password)?;
                password.clone()
            }
            None => SecretSource::of_file(own.join("password")),
        };
        let repository = place("repository", &self.repository, own.join("repository"))?;
        let restore_roots = match &self.restore_roots {
            None => vec![data.join("restores")],
            Some(roots) if roots.is_empty() => {
                bail!("backups.restore_roots: expected at least one directory")
            }
            Some(roots) => roots
                .iter()
                .map(|root| absolute("backups.restore_roots", root))
                .collect::<anyhow::Result<_>>()?,
        };
        let archive = match &self.archive {
            None => None,
            Some(archive) => {
                one_of("backups.archive.password", &archive.password)?;
                let path = absolute("backups.archive.repository", &archive.repository)?;
                if path.starts_with(&repository) || repository.starts_with(&path) {
                    bail!(
                        "backups.archive.repository: {} is the place of backups.repository, or in it; expected a second \
                         location",
                        path.display()
                    );
                }
                Some(ArchiveConfig {
                    repository: path,
                    password: archive.password.clone(),
                })
            }
        };
        let mut sources = BTreeMap::new();
        for (name, source) in &self.sources {
            let checked = source
                .check(name, secrets)
                .with_context(|| format!("backups.sources.{}", name.escape_debug()))?;
            sources.insert(name.clone(), checked);
        }
        Ok(BackupsConfig {
            repository,
            password,
            staging: place("staging", &self.staging, own.join("staging"))?,
            exports: place("exports", &self.exports, own.join("exports"))?,
            restore_roots,
            pg_bin: match &self.pg_bin {
                None => None,
                Some(path) => Some(absolute("backups.pg_bin", path)?),
            },
            drill_database: match &self.drill_database {
                None => None,
                Some(name) => Some(database_name(
                    "backups.drill_database",
                    "the server's own",
                    name,
                )?),
            },
            archive,
            sources,
        })
    }
}

impl RawSource {
    fn check(
        &self,
        name: &str,
        secrets: &BTreeMap<String, SecretSource>,
    ) -> anyhow::Result<SourceConfig> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || NAME_MAX < name.len() || !name.bytes().all(plain) {
            bail!("expected a name of 1 to {NAME_MAX} of a-z, 0-9 and -");
        }
        if OWN.contains(&name) {
            bail!("the name is that of the server's own; expected another");
        }
        let kinds = [
            !self.paths.is_empty(),
            self.sqlite.is_some(),
            self.postgres.is_some(),
        ];
        if kinds.iter().filter(|given| **given).count() != 1 {
            bail!("expected one of paths, sqlite and postgres");
        }
        let globs = self.include.len() + self.exclude.len();
        let of_paths = self.may_be_empty || self.must_be_mount || self.sentinel.is_some();
        if self.paths.is_empty() && (0 < globs || of_paths) {
            bail!("include, exclude, may_be_empty, must_be_mount and sentinel go with paths alone");
        }
        if PATHS_MAX < self.paths.len() + globs {
            bail!("expected at most {PATHS_MAX} paths and globs");
        }
        let of_postgres = self.password.is_some() || self.drill_database.is_some();
        if of_postgres && self.postgres.is_none() {
            bail!("password and drill_database go with postgres alone");
        }
        if let Some(file) = &self.sqlite {
            return Ok(SourceConfig::Sqlite(absolute("sqlite", file)?));
        }
        if let Some(url) = &self.postgres {
            if !["postgres://", "postgresql://"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
            {
                // What was given is not shown: it may hold a password.
                bail!("postgres: expected postgres://user@host/database");
            }
            let password = match &self.password {
                None => None,
                Some(named) => Some(secrets.get(&named.secret).cloned().with_context(|| {
                    let known: Vec<&str> = secrets.keys().map(String::as_str).collect();
                    format!(
                        "password.secret: expected the name of a table of [secrets], of which there are: {}",
                        known.join(", ")
                    )
                })?),
            };
            return Ok(SourceConfig::Postgres {
                url: url.clone(),
                password,
                drill_database: match &self.drill_database {
                    None => None,
                    Some(name) => Some(database_name("drill_database", "the source", name)?),
                },
            });
        }
        Ok(SourceConfig::Paths(self.check_paths()?))
    }

    fn check_paths(&self) -> anyhow::Result<PathsConfig> {
        let paths: Vec<PathBuf> = self
            .paths
            .iter()
            .map(|path| absolute("paths", path))
            .collect::<anyhow::Result<_>>()?;
        let mut sorted: Vec<&PathBuf> = paths.iter().collect();
        sorted.sort();
        for pair in sorted.windows(2) {
            if pair[1].starts_with(pair[0]) {
                bail!(
                    "paths: {} lies in {}, or is it; expected paths that are apart",
                    pair[1].display(),
                    pair[0].display()
                );
            }
        }
        Globs::new(&self.include, &[]).map_err(|why| anyhow::anyhow!("include: {why}"))?;
        Globs::new(&[], &self.exclude).map_err(|why| anyhow::anyhow!("exclude: {why}"))?;
        if let Some(sentinel) = &self.sentinel {
            let mut parts = sentinel.components();
            let plain = parts.all(|part| matches!(part, Component::Normal(_)));
            if sentinel.as_os_str().is_empty() || !plain {
                bail!(
                    "sentinel: {} given; expected the name of a file in each of the paths",
                    sentinel.display()
                );
            }
        }
        Ok(PathsConfig {
            paths,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            may_be_empty: self.may_be_empty,
            must_be_mount: self.must_be_mount,
            sentinel: self.sentinel.clone(),
        })
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// Refuses a secret that is not in one place.
pub(super) fn one_of(name: &str, source: &SecretSource) -> anyhow::Result<()> {
    match source.file.is_some() == source.env.is_some() {
        true => bail!("{name}: expected either file = \"/path\" or env = \"NAME\""),
        false => Ok(()),
    }
}

fn absolute(name: &str, path: &Path) -> anyhow::Result<PathBuf> {
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain {
        bail!(
            "{name}: {} given; expected an absolute path without ..",
            path.display()
        );
    }
    Ok(path.to_owned())
}
