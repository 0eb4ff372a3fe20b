//! Places of what backups make, which no backup may hold: one that holds itself grows with each that is made.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::backups::{BackupsConfig, PathsConfig, SourceConfig};
use crate::{clock::Stopwatch, domain::backup::globs::Globs};

/// How long the disks are waited for. One that hangs says nothing, and keeps no server from starting.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Device and inode.
type Identity = (u64, u64);

/// The places, by the settings that they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPlaces(Vec<OwnPlace>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct OwnPlace {
    setting: &'static str,
    path: PathBuf,
    /// Whether it is a repository, of which all that lies in it is a part.
    is_repository: bool,
    /// As the disk has it; without it the name alone is compared.
    found: Option<Found>,
}

/// One of the places as who walks over a disk meets it, by whatever name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnFolder {
    /// Below `backups`.
    pub setting: String,
    pub device: u64,
    pub inode: u64,
}

/// Where a path really lies: what was asked of its disk once is compared with what others have said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Without links, as far as it is there.
    real: PathBuf,
    /// None where nothing is there.
    itself: Option<Identity>,
    /// What is there of it and of the folders that it lies in, innermost first.
    above: Vec<(PathBuf, Identity)>,
}

impl Found {
    /// Asks the disk. Blocks.
    pub fn of(path: &Path) -> Self {
        let real = real(path);
        let above = real.ancestors();
        let above = above.filter_map(|above| Some((above.to_owned(), identity(above)?)));
        Self {
            above: above.collect(),
            itself: identity(path),
            real,
        }
    }

    /// Where it lies below a folder, which may be the same.
    fn below(&self, folder: &Self) -> Option<PathBuf> {
        let wanted = folder.itself?;
        let (met, _) = self.above.iter().find(|(_, is)| *is == wanted)?;
        self.real.strip_prefix(met).ok().map(Path::to_owned)
    }
}

impl OwnPlaces {
    pub fn of(config: &BackupsConfig) -> Self {
        let place = |setting, path: &Path, is_repository| OwnPlace {
            setting,
            path: path.to_owned(),
            is_repository,
            found: None,
        };
        let mut places = vec![
            place("repository", &config.repository, true),
            place("staging", &config.staging, false),
            place("exports", &config.exports, false),
        ];
        if let Some(archive) = &config.archive {
            places.push(place("archive.repository", &archive.repository, true));
        }
        Self(places)
    }

    /// Where they are: the disk of each is to be asked by itself, as one may hang.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.iter().map(|place| place.path.clone()).collect()
    }

    /// Takes what the disk of one has said.
    pub fn learn(&mut self, path: &Path, found: &Found) {
        let places = self.0.iter_mut();
        for place in places.filter(|place| place.path == path) {
            place.found = Some(found.clone());
        }
    }

    /// Those that are there, as far as their disks have said so.
    pub fn folders(&self) -> Vec<OwnFolder> {
        let folder = |place: &OwnPlace| {
            let (device, inode) = place.found.as_ref()?.itself?;
            Some(OwnFolder {
                setting: place.setting.to_owned(),
                device,
                inode,
            })
        };
        self.0.iter().filter_map(folder).collect()
    }

    /// Compares names alone, and asks no disk.
    ///
    /// # Errors
    /// Which source holds which place, or lies in it.
    pub(super) fn refuse_by_name(&self, config: &BackupsConfig) -> anyhow::Result<()> {
        for (name, source) in of_paths(config) {
            self.refuse(name, source, &HashMap::new())?;
        }
        Ok(())
    }

    /// Asks the disks, of each place and each source once. Blocks.
    ///
    /// # Errors
    /// As by name, through whatever link or mount.
    pub(super) fn refuse_on_disk(&self, config: &BackupsConfig) -> anyhow::Result<()> {
        let by_source = of_paths(config);
        if by_source.is_empty() {
            return Ok(());
        }
        let own = self.paths().into_iter().map(|path| vec![path]);
        let of_sources = by_source.iter().map(|(_, source)| source.paths.clone());
        let found = found(own.chain(of_sources).collect());
        let mut places = self.clone();
        for path in self.paths() {
            match found.get(&path) {
                Some(found) => places.learn(&path, found),
                None => warn(&path),
            }
        }
        for (name, source) in by_source {
            let unseen = source
                .paths
                .iter()
                .filter(|path| !found.contains_key(*path));
            unseen.for_each(|path| warn(path));
            places.refuse(name, source, &found)?;
        }
        Ok(())
    }

    fn refuse(
        &self,
        name: &str,
        source: &PathsConfig,
        found: &HashMap<PathBuf, Found>,
    ) -> anyhow::Result<()> {
        for path in &source.paths {
            let met = self.met(path, found.get(path), source);
            if let Some(why) = met.unwrap_or_else(Some) {
                anyhow::bail!("backups.sources.{name}: {why}");
            }
        }
        Ok(())
    }

    /// Says which of them a path of a source holds, or in which repository it lies: by their names, and by what their
    /// disks have said.
    ///
    /// # Errors
    /// Which glob is none.
    pub fn met(
        &self,
        path: &Path,
        found: Option<&Found>,
        source: &PathsConfig,
    ) -> Result<Option<String>, String> {
        let globs = Globs::new(&source.include, &source.exclude)?;
        for place in &self.0 {
            let (is, setting) = (place.path.display(), place.setting);
            let both = place.found.as_ref().zip(found);
            let held = [
                place.path.strip_prefix(path).ok().map(Path::to_owned),
                both.and_then(|(place, found)| place.below(found)),
            ];
            let mut held = held.into_iter().flatten();
            if let Some(inside) = held.find(|inside| globs.wants_within(inside)) {
                return Ok(Some(format!(
                    "{} holds {is}, which is backups.{setting}: a backup would hold what backups make; name other \
                     paths, or exclude \"/{}/\"",
                    path.display(),
                    inside.display()
                )));
            }
            let lies = [
                path.strip_prefix(&place.path).ok().map(Path::to_owned),
                both.and_then(|(place, found)| found.below(place)),
            ];
            let mut lies = lies.into_iter().flatten();
            // Exports and dumps lie in their folders themselves: what else is in these may be backed up.
            if place.is_repository && lies.any(|inside| !inside.as_os_str().is_empty()) {
                return Ok(Some(format!(
                    "{} lies in {is}, which is backups.{setting}: all that is in a repository is a part of it, and no \
                     backup holds that; name other paths, or another place for the repository",
                    path.display()
                )));
            }
        }
        Ok(None)
    }
}

/// Sources that are paths, by their names.
fn of_paths(config: &BackupsConfig) -> Vec<(&String, &PathsConfig)> {
    let of_paths = config.sources.iter().filter_map(|(name, source)| {
        let SourceConfig::Paths(source) = source else {
            return None;
        };
        Some((name, source))
    });
    of_paths.collect()
}

/// What disks say of lists of paths. Each list is asked for by itself, and nobody waits for long.
fn found(lists: Vec<Vec<PathBuf>>) -> HashMap<PathBuf, Found> {
    let (answer, answers) = mpsc::channel();
    for paths in lists {
        let answer = answer.clone();
        let look = move || {
            for path in paths {
                let found = Found::of(&path);
                if answer.send((path, found)).is_err() {
                    // Nobody waits any more.
                    return;
                }
            }
        };
        // Without a thread there is no answer, which is told.
        drop(thread::Builder::new().name("places".to_owned()).spawn(look));
    }
    drop(answer);
    let since = Stopwatch::start();
    let mut found = HashMap::new();
    while let Some(left) = ANSWERS_WITHIN.checked_sub(since.elapsed())
        && let Ok((path, one)) = answers.recv_timeout(left)
    {
        found.insert(path, one);
    }
    found
}

/// Says what was not looked at. There is no log yet where settings are checked.
fn warn(path: &Path) {
    let within = ANSWERS_WITHIN.as_secs();
    // Where nothing can be written there is nobody to hear it.
    let _ = writeln!(
        io::stderr(),
        "warning: {} has given no answer for {within} s: whether a source holds what backups make was looked at by its \
         name alone",
        path.display()
    );
}

fn identity(path: &Path) -> Option<Identity> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// A path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (fs::canonicalize(above), path.strip_prefix(above)) {
            // Joined with nothing it would end with a slash.
            return real.join(rest).components().collect();
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn places(setting: &'static str, path: &Path) -> OwnPlaces {
        OwnPlaces(vec![OwnPlace {
            setting,
            path: path.to_owned(),
            is_repository: setting == "repository",
            found: None,
        }])
    }

    fn met(places: &OwnPlaces, path: &Path, exclude: &[&str]) -> Option<String> {
        let source = PathsConfig {
            exclude: exclude.iter().map(|one| (*one).to_owned()).collect(),
            ..PathsConfig::default()
        };
        places.met(path, Some(&Found::of(path)), &source).unwrap()
    }

    #[test]
    fn a_place_is_found_through_links_and_before_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("real/inner")).unwrap();
        symlink(at("real"), at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        let of = |name: &str| Found::of(&at(name));
        let found = |source: &str, place: &str| of(place).below(&of(source));
        let some = |path: &str| Some(PathBuf::from(path));
        assert_eq!(found("real", "link/vault/of/all"), some("vault/of/all"));
        assert_eq!(found("link", "real/vault"), some("vault"));
        assert_eq!(found("link/inner", "real/inner"), some(""));
        assert_eq!(found("real/inner", "link"), None);
        assert_eq!(found("real", "dangling/vault"), None);
        assert_eq!(found("nowhere", "real"), None);
    }

    #[test]
    fn what_is_excluded_may_be_there_and_a_source_in_a_repository_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("real/vault/data")).unwrap();
        symlink(at("real"), at("link")).unwrap();
        let place = at("link/vault");
        let mut own = places("repository", &place);
        // By their names they have nothing to do with each other.
        assert_eq!(met(&own, &at("real"), &[]), None);
        assert_eq!(own.folders(), []);
        own.learn(&place, &Found::of(&place));
        let why = met(&own, &at("real"), &[]).unwrap();
        assert!(
            why.contains("backups.repository") && why.contains("\"/vault/\""),
            "{why}"
        );
        assert_eq!(met(&own, &at("real"), &["/vault/"]), None);
        let why = met(&own, &at("real/vault/data"), &["/vault/"]).unwrap();
        assert!(why.contains("lies in"), "{why}");
        assert_eq!(own.folders().len(), 1);
    }

    #[test]
    fn what_lies_beside_exports_may_be_backed_up() {
        let folder = tempfile::tempdir().unwrap();
        let nas = folder.path().join("nas");
        fs::create_dir_all(nas.join("photos")).unwrap();
        let mut own = places("exports", &nas);
        own.learn(&nas, &Found::of(&nas));
        assert_eq!(met(&own, &nas.join("photos"), &[]), None);
        assert!(met(&own, &nas, &[]).is_some());
        assert!(met(&own, folder.path(), &[]).is_some());
    }

    #[test]
    fn where_a_disk_says_nothing_names_are_compared() {
        let (srv, vault) = (Path::new("/srv"), Path::new("/srv/vault"));
        let own = places("repository", vault);
        let source = PathsConfig::default();
        let holds = own.met(srv, None, &source).unwrap().unwrap();
        assert!(holds.contains("holds /srv/vault"), "{holds}");
        let lies = own.met(&vault.join("data"), None, &source).unwrap();
        assert!(lies.unwrap().contains("lies in /srv/vault"));
        assert_eq!(own.met(Path::new("/home"), None, &source).unwrap(), None);
    }
}
