//! Whether a source of the configuration seems to have lost something: what it holds now is compared with the newest
//! point that is believed of it. The server's own content is none of these: it is judged by what the database refers to.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{
    manifests::{Stored, manifest_of},
    repository::Repository,
};
use crate::{
    config::PathsConfig,
    domain::backup::{
        PolicyKind,
        globs::{Globs, MEANING},
        loss::{Loss, LossKind, SourceFigures, fall},
        manifest::{SnapshotPath, SourceRecord},
        point::RestorePoint,
        table::Table,
    },
};

/// Manifests of points that an older server has made and that say nothing of their sources by themselves.
const READ_AT_MOST: usize = 3;
/// Files that are named where rules leave them out.
const NAMED: usize = 3;

/// What a source is judged by.
#[derive(Debug)]
pub(super) struct Judged {
    /// Where each of its paths lies in the snapshot; none for a database.
    pub(super) paths: Vec<SnapshotPath>,
    pub(super) may_be_empty: bool,
    globs: Option<Globs>,
    rules: String,
}

impl Judged {
    /// # Errors
    /// Where a pattern cannot be used.
    pub(super) fn paths(root: &SnapshotPath, config: &PathsConfig) -> anyhow::Result<Self> {
        let globs = Globs::new(&config.include, &config.exclude).map_err(anyhow::Error::msg)?;
        Ok(Self {
            paths: config.paths.iter().map(|path| below(root, path)).collect(),
            may_be_empty: config.may_be_empty,
            globs: Some(globs),
            rules: fingerprint(config)?,
        })
    }

    pub(super) fn database() -> Self {
        Self {
            paths: Vec::new(),
            may_be_empty: false,
            globs: None,
            rules: String::new(),
        }
    }

    pub(super) fn rules(&self) -> &str {
        &self.rules
    }

    /// Its paths that no file is in.
    pub(super) fn empty(&self, files: &Table) -> Vec<SnapshotPath> {
        let is_empty = |path: &&SnapshotPath| files.below(path).next().is_none();
        self.paths.iter().filter(is_empty).cloned().collect()
    }

    fn leaves_out(&self, file: &SnapshotPath) -> bool {
        let Some(path) = self.paths.iter().find(|path| path.contains(file)) else {
            return true;
        };
        let rest = file.as_bytes().get(path.as_bytes().len() + 1..);
        match (rest, &self.globs) {
            (Some(rest), Some(globs)) => !globs.wants_file(Path::new(OsStr::from_bytes(rest))),
            _ => false,
        }
    }
}

/// Where a path of the disk lies in a snapshot, below where its source does.
pub(super) fn below(root: &SnapshotPath, path: &Path) -> SnapshotPath {
    let mut to = root.0.clone();
    to.extend_from_slice(path.as_os_str().as_bytes());
    SnapshotPath(to)
}

/// What is to be read of a source, and what its patterns mean, as a text that changes with it.
fn fingerprint(config: &PathsConfig) -> anyhow::Result<String> {
    let mut paths: Vec<&PathBuf> = config.paths.iter().collect();
    paths.sort();
    let paths: Vec<String> = paths
        .iter()
        .map(|path| SnapshotPath(path.as_os_str().as_bytes().to_vec()).to_text())
        .collect();
    let text = serde_json::to_vec(&(MEANING, paths, &config.include, &config.exclude))?;
    let digest = Sha256::digest(&text);
    Ok(digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Points that new ones are compared with.
pub(super) struct Bases<'a> {
    repository: &'a dyn Repository,
    /// Newest first.
    points: &'a [RestorePoint],
    /// Where manifests lie while they are read.
    beside: &'a Path,
    /// Of points that say nothing of their sources.
    read: Vec<(uuid::Uuid, Stored)>,
    left: usize,
}

/// What is believed of a source.
struct Base<'a> {
    point: &'a RestorePoint,
    figures: SourceFigures,
}

impl<'a> Bases<'a> {
    pub(super) fn new(
        repository: &'a dyn Repository,
        points: &'a [RestorePoint],
        beside: &'a Path,
    ) -> Self {
        Self {
            repository,
            points,
            beside,
            read: Vec::new(),
            left: READ_AT_MOST,
        }
    }

    /// What sources seem to have lost.
    pub(super) fn judge(&mut self, sources: &[(&Judged, &SourceRecord)]) -> Vec<Loss> {
        let mut losses = Vec::new();
        for (judged, record) in sources {
            // That it was not read is missing already.
            if !record.skipped {
                self.judge_one(judged, record, &mut losses);
            }
        }
        losses
    }

    fn judge_one(&mut self, judged: &Judged, record: &SourceRecord, losses: &mut Vec<Loss>) {
        let now = SourceFigures::of(record);
        let base = self.base_of(&record.name);
        let lost = |kind, path: &SnapshotPath, message: String| Loss {
            source: record.name.clone(),
            kind,
            path: path.clone(),
            message,
        };
        let believed = base
            .as_ref()
            .map_or(&[][..], |base| base.figures.empty.as_slice());
        let new = now.empty.iter().filter(|path| !believed.contains(path));
        let new: Vec<&SnapshotPath> = new.filter(|_| !judged.may_be_empty).collect();
        if let Some(first) = new.first() {
            let further = match new.len() {
                1 => String::new(),
                count => format!(", nor in {} further paths of its source", count - 1),
            };
            let message = format!(
                "there is no file in it{further}: see that its disk is mounted; if that is as it should be, accept the \
                 restore point, or set may_be_empty"
            );
            losses.push(lost(LossKind::Empty, first, message));
        }
        let Some(Base { point, figures }) = base else {
            return;
        };
        if now.files == 0 {
            return;
        }
        let mut against = figures;
        if judged.globs.is_some() && against.rules != now.rules {
            let message = match self.left_out(point, judged, record) {
                Ok(left) => {
                    against.files = against.files.saturating_sub(left.files);
                    against.bytes = against.bytes.saturating_sub(left.bytes);
                    left.message(point)
                }
                Err(error) => Some(format!(
                    "the rules of the source have changed, and what they leave out is not known: {} cannot be read: \
                     {error:#}",
                    point.resource_name()
                )),
            };
            losses.extend(message.map(|told| lost(LossKind::LeftOut, &record.root, told)));
        }
        if let Some(kind) = fall(&now, &against, judged.globs.is_none()) {
            let message = format!(
                "it has {} files and {} bytes; {} had {} and {}",
                now.files,
                now.bytes,
                point.resource_name(),
                against.files,
                against.bytes
            );
            losses.push(lost(kind, &record.root, message));
        }
    }

    /// The newest point in which a source had lost nothing, or that was accepted.
    fn base_of(&mut self, name: &str) -> Option<Base<'a>> {
        let points = self.points;
        for point in points {
            let in_doubt = point.open_losses().iter().any(|loss| loss.source == name);
            if point.kind != PolicyKind::Full || in_doubt {
                continue;
            }
            let own = point.sources.iter().find(|figures| figures.name == name);
            let figures = match own {
                Some(figures) => Some(figures.clone()),
                None if point.sources.is_empty() => self.figures_of_old(point, name),
                None => None,
            };
            if let Some(figures) = figures {
                return Some(Base { point, figures });
            }
        }
        None
    }

    /// What a point of an older server holds of a source. Where it is nothing, nobody has looked whether that was right.
    fn figures_of_old(&mut self, point: &RestorePoint, name: &str) -> Option<SourceFigures> {
        let manifest = &self.stored(point).ok()?.manifest;
        let record = manifest.sources.iter().find(|source| source.name == name)?;
        (0 < record.files).then(|| SourceFigures::of(record))
    }

    fn stored(&mut self, point: &RestorePoint) -> anyhow::Result<&Stored> {
        if let Some(at) = self.read.iter().position(|(id, _)| *id == point.id) {
            return Ok(&self.read[at].1);
        }
        anyhow::ensure!(0 < self.left, "enough manifests were read");
        self.left -= 1;
        let stored = manifest_of(self.repository, point, self.beside)?;
        self.read.push((point.id, stored));
        Ok(&self.read[self.read.len() - 1].1)
    }

    fn left_out(
        &mut self,
        point: &RestorePoint,
        judged: &Judged,
        record: &SourceRecord,
    ) -> anyhow::Result<LeftOut> {
        // One that was read for its figures has been counted; another is read whatever was read before.
        self.left = self.left.max(1);
        let stored = self.stored(point)?;
        let mut left = LeftOut::default();
        for file in stored.files()? {
            let file = file?;
            if !record.root.contains(&file.path) || !judged.leaves_out(&file.path) {
                continue;
            }
            left.files += 1;
            left.bytes += file.size;
            if left.named.len() < NAMED {
                left.named.push(file.path.to_text());
            }
        }
        Ok(left)
    }
}

/// What rules leave out of what an earlier point has.
#[derive(Default)]
struct LeftOut {
    files: u64,
    bytes: u64,
    named: Vec<String>,
}

impl LeftOut {
    /// Nothing where nothing is.
    fn message(&self, point: &RestorePoint) -> Option<String> {
        (0 < self.files).then(|| {
            format!(
                "{} files that {} has are left out by the rules of the source now, such as {}",
                self.files,
                point.resource_name(),
                self.named.join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::backup::table::{Origin, Row};

    fn files(paths: &[&str]) -> Table {
        let mut files = Table::default();
        for path in paths {
            files.add(Row {
                path: path.as_bytes(),
                size: 1,
                mtime: 0,
                sha256: [0; 32],
                origin: Origin::Read,
            });
        }
        files.sort();
        files
    }

    #[test]
    fn paths_without_files_are_found_beside_names_that_begin_like_them() {
        let config = PathsConfig {
            paths: ["/srv/www", "/srv/x", "/srv/none"]
                .map(PathBuf::from)
                .to_vec(),
            ..PathsConfig::default()
        };
        let root = SnapshotPath::from("/sources/a");
        let judged = Judged::paths(&root, &config).unwrap();
        let files = files(&[
            "/sources/a/srv/www-old",
            "/sources/a/srv/www/b",
            "/sources/a/srv/x",
        ]);
        let empty = judged.empty(&files);
        assert_eq!(empty, ["/sources/a/srv/none".into()]);
    }

    #[test]
    fn rules_leave_out_what_they_exclude_and_what_lies_in_no_path_any_more() {
        let config = PathsConfig {
            paths: vec!["/srv/www".into(), "/etc/hosts".into()],
            exclude: vec!["*.html".to_owned()],
            ..PathsConfig::default()
        };
        let judged = Judged::paths(&"/sources/a".into(), &config).unwrap();
        for (path, left_out) in [
            ("/sources/a/srv/www/deep/index.html", true),
            ("/sources/a/srv/www/deep/index.txt", false),
            ("/sources/a/etc/hosts", false),
            ("/sources/a/srv/other/x", true),
        ] {
            assert_eq!(judged.leaves_out(&path.into()), left_out, "{path}");
        }
    }

    #[test]
    fn rules_have_a_fingerprint_that_changes_with_them() {
        let config = |exclude: &[&str]| PathsConfig {
            exclude: exclude.iter().map(|text| (*text).to_owned()).collect(),
            ..PathsConfig::default()
        };
        let of = |exclude: &[&str]| fingerprint(&config(exclude)).unwrap();
        assert_eq!(of(&["a"]), of(&["a"]));
        assert_ne!(of(&["a"]), of(&["b"]));
        assert_eq!(of(&[]).len(), 16);
    }
}
