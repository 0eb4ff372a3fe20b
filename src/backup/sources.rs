//! What a backup is made of: dumps of databases, what is in documents, and what the configuration names besides.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use futures_util::future::join_all;
use jiff::Timestamp;
use rustix::fs::CWD;

use super::{
    Backups, configuration,
    dump::{self, Dumped},
    losses::{Judged, below},
    occupied::is_mount,
    repository::Source,
    staging::Staging,
    work::{Job, asked},
};
use crate::{
    config::{Found, OwnPlaces, PathsConfig, SourceConfig},
    domain::backup::{
        manifest::{FileError, SnapshotPath, SourceRecord},
        policy::{OWN_DATABASE, Policy},
        table::Table,
    },
};

const CONTENT: &str = "/content";
/// Below the directory of contents: what is not content yet, or no more.
const NOT_CONTENT: [&str; 3] = ["/incoming", "/damaged", "/swept"];

/// Sources that are ready to be archived.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The instant as of which the server's own database is; without it, when the preparing began.
    pub(super) frozen_at: Timestamp,
    pub(super) sources: Vec<Source>,
    parts: Vec<Part>,
    references: Vec<(String, u64)>,
    content: bool,
    /// What sources demand and is not there, or may not hold.
    unmet: Vec<FileError>,
}

#[derive(Debug)]
struct Part {
    name: String,
    kind: &'static str,
    root: SnapshotPath,
    dump: Option<Dumped>,
    /// Of a source of the configuration.
    judged: Option<Judged>,
    skipped: bool,
}

impl Backups {
    /// `database`, `content`, `paths`, `sqlite` or `postgresql`.
    pub fn source_type(&self, name: &str) -> &'static str {
        match name {
            "database" => "database",
            "content" => "content",
            other => self
                .settings()
                .config
                .sources
                .get(other)
                .map_or("unknown", kind_of),
        }
    }

    /// Freezes and dumps what a policy names.
    pub(super) async fn prepare(
        &self,
        job: &Job,
        policy: &Policy,
        staging: &Staging,
    ) -> anyhow::Result<Prepared> {
        let mut prepared = Prepared {
            frozen_at: self.clock().now(),
            sources: Vec::new(),
            parts: Vec::new(),
            references: Vec::new(),
            content: false,
            unmet: Vec::new(),
        };
        // The database first: content is written before what refers to it, so that what is archived later is a
        // superset of what the dump refers to.
        let mut names: Vec<&String> = policy.sources.iter().collect();
        names.sort_by_key(|name| name.as_str() != "database");
        let mut places = None;
        for name in names {
            match name.as_str() {
                "database" => {
                    let own = job
                        .wait("dump", dump::own(self, job, staging.path()))
                        .await?;
                    prepared.frozen_at = own.frozen_at;
                    prepared.references = own.references;
                    prepared.add_dump(name, own.kind, "/database".into(), own.dumped);
                }
                "content" => {
                    let from = self.settings().data.join("contents");
                    let is_there = asked(&from, "looking at", Path::is_dir).await?;
                    prepared.add_content(from, is_there);
                }
                _ => {
                    self.prepare_other(job, name, staging, &mut prepared, &mut places)
                        .await?
                }
            }
        }
        if let (true, Some(file)) = (prepared.has_own_database(), &self.settings().file) {
            let configuration = configuration::staged(file, staging.path()).await?;
            prepared.sources.extend(configuration.sources);
            prepared.unmet.extend(configuration.missing);
        }
        if !prepared.content {
            // Without content among the sources, its absence is no fault.
            prepared.references.clear();
        }
        Ok(prepared)
    }

    async fn prepare_other(
        &self,
        job: &Job,
        name: &str,
        staging: &Staging,
        prepared: &mut Prepared,
        places: &mut Option<OwnPlaces>,
    ) -> anyhow::Result<()> {
        let config = self.settings().config.sources.get(name).with_context(|| {
            format!("source {name:?} is not in the configuration any more, below [backups.sources]")
        })?;
        let root = SnapshotPath::from(format!("/sources/{name}").as_str());
        match config {
            SourceConfig::Paths(config) => {
                let places = match places {
                    Some(places) => places,
                    None => places.insert(self.own_places(job).await),
                };
                prepared.add_paths(name, root, config, places).await?;
            }
            database => {
                let dumped = job
                    .wait(
                        "dump",
                        dump::other(self, job, name, database, staging.path()),
                    )
                    .await?;
                prepared.add_dump(name, kind_of(database), root, dumped);
                if let Some(part) = prepared.parts.last_mut() {
                    part.judged = Some(Judged::database());
                }
            }
        }
        Ok(())
    }

    /// The places of what backups make, as they are now: links and mounts may be others than when the configuration was
    /// read. Each is asked about by itself, and of one whose disk hangs the name is compared: no source need be on it.
    async fn own_places(&self, job: &Job) -> OwnPlaces {
        let mut places = OwnPlaces::of(&self.settings().config);
        let looks = places.paths().into_iter().map(|path| async move {
            let found = asked(&path, "looking at", Found::of).await;
            (path, found)
        });
        for (path, found) in join_all(looks).await {
            match found {
                Ok(found) => places.learn(&path, &found),
                Err(error) => job.log(format!(
                    "{error}: whether a source holds it is looked at by its name alone"
                )),
            }
        }
        places
    }
}

fn kind_of(source: &SourceConfig) -> &'static str {
    match source {
        SourceConfig::Paths(_) => "paths",
        SourceConfig::Sqlite(_) => "sqlite",
        SourceConfig::Postgres { .. } => "postgresql",
    }
}

/// What a source demands of a path, and is not there.
fn demand_unmet(path: &Path, config: &PathsConfig) -> Option<String> {
    if config.must_be_mount && !is_mount(CWD, path) {
        return Some(
            "no disk is mounted there, as must_be_mount demands: it was not read".to_owned(),
        );
    }
    let sentinel = config.sentinel.as_ref()?;
    if path.join(sentinel).symlink_metadata().is_ok() {
        return None;
    }
    Some(format!(
        "{} is not in it, as sentinel demands: it was not read",
        sentinel.display()
    ))
}

impl Prepared {
    async fn add_paths(
        &mut self,
        name: &str,
        root: SnapshotPath,
        config: &PathsConfig,
        places: &OwnPlaces,
    ) -> anyhow::Result<()> {
        let judged = Judged::paths(&root, config)?;
        let mut skipped = false;
        for path in &config.paths {
            let what = format!("source {name:?}: looking at");
            let demands = config.clone();
            let look = move |path: &Path| {
                let is_there = path.symlink_metadata().is_ok();
                is_there.then(|| (Found::of(path), demand_unmet(path, &demands)))
            };
            let to = below(&root, path);
            let Some((found, unmet)) = asked(path, &what, look).await? else {
                anyhow::bail!("source {name:?}: {} is not there", path.display());
            };
            let met = places.met(path, Some(&found), config);
            let met = met.unwrap_or_else(Some);
            let met = met.map(|why| format!("{why}: it was not read"));
            match met.or(unmet) {
                Some(message) => {
                    skipped = true;
                    self.unmet.push(FileError { path: to, message });
                }
                None => self.sources.push(Source {
                    from: path.clone(),
                    to,
                    include: config.include.clone(),
                    exclude: config.exclude.clone(),
                    all_or_nothing: false,
                    name_special: true,
                    own: places.folders(),
                }),
            }
        }
        self.parts.push(Part {
            name: name.to_owned(),
            kind: "paths",
            root,
            dump: None,
            judged: Some(judged),
            skipped,
        });
        Ok(())
    }

    fn has_own_database(&self) -> bool {
        self.parts.iter().any(|part| part.name == OWN_DATABASE)
    }

    /// What sources demand and is not there: they were not read.
    pub(super) fn unmet(&self) -> &[FileError] {
        &self.unmet
    }

    /// Sources of the configuration, and what is in the snapshot of each.
    pub(super) fn judged<'a>(
        &'a self,
        records: &'a [SourceRecord],
    ) -> Vec<(&'a Judged, &'a SourceRecord)> {
        let parts = self.parts.iter().zip(records);
        parts
            .filter_map(|(part, record)| Some((part.judged.as_ref()?, record)))
            .collect()
    }

    fn add_dump(&mut self, name: &str, kind: &'static str, root: SnapshotPath, dumped: Dumped) {
        let (from, to) = (dumped.file.clone(), dumped.record.path.clone());
        self.sources.push(Source::file(from, to));
        self.parts.push(Part {
            name: name.to_owned(),
            kind,
            root,
            dump: Some(dumped),
            judged: None,
            skipped: false,
        });
    }

    fn add_content(&mut self, from: PathBuf, is_there: bool) {
        // A server that never had a content has no directory for it, and nothing to back up.
        if is_there {
            self.sources.push(Source {
                from,
                to: CONTENT.into(),
                include: Vec::new(),
                exclude: NOT_CONTENT.map(str::to_owned).to_vec(),
                all_or_nothing: false,
                name_special: true,
                own: Vec::new(),
            });
        }
        self.content = true;
        self.parts.push(Part {
            name: "content".to_owned(),
            kind: "content",
            root: CONTENT.into(),
            dump: None,
            judged: None,
            skipped: false,
        });
    }

    /// Where contents lie in the snapshot, where they are backed up.
    pub(super) fn content_root(&self) -> Option<SnapshotPath> {
        self.content.then(|| CONTENT.into())
    }

    /// What documents refer to, with its size.
    pub(super) fn references(&self) -> &[(String, u64)] {
        &self.references
    }

    /// What the manifest says of each source.
    pub(super) fn records(&self, files: &Table) -> Vec<SourceRecord> {
        let record = |part: &Part| {
            let own = files.below(&part.root);
            let judged = part.judged.as_ref();
            let (count, bytes) = own.fold((0, 0), |(count, bytes), file| {
                (count + 1, bytes + file.size)
            });
            SourceRecord {
                name: part.name.clone(),
                kind: part.kind.to_owned(),
                root: part.root.clone(),
                files: count,
                bytes,
                dump: part.dump.as_ref().map(|dump| dump.record.clone()),
                rules: judged.map_or_else(String::new, |judged| judged.rules().to_owned()),
                empty: judged.map_or_else(Vec::new, |judged| judged.empty(files)),
                skipped: part.skipped,
            }
        };
        self.parts.iter().map(record).collect()
    }
}

/// Where a content lies in a snapshot: as in the data directory.
pub(super) fn content_path(root: &SnapshotPath, sha256: &str) -> SnapshotPath {
    let shelf = sha256.get(..2).unwrap_or("00");
    root.join(shelf.as_bytes()).join(sha256.as_bytes())
}
