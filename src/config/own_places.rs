//! Places of what backups make, which no backup may hold: one that holds itself grows with each that is made.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::backups::{BackupsConfig, PathsConfig, SourceConfig};
use crate::domain::backup::globs::Globs;

/// How long the disks are waited for. One that hangs says nothing, and keeps no server from starting.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// The places, by the settings that they are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPlaces(Vec<(&'static str, PathBuf)>);

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// Names alone: nothing is looked at.
    Name,
    /// What is there: through links, and wherever a disk is mounted.
    Disk,
}

impl OwnPlaces {
    pub fn of(config: &BackupsConfig) -> Self {
        let mut places = vec![
            ("repository", config.repository.clone()),
            ("staging", config.staging.clone()),
            ("exports", config.exports.clone()),
        ];
        if let Some(archive) = &config.archive {
            places.push(("archive.repository", archive.repository.clone()));
        }
        Self(places)
    }

    /// # Errors
    /// Which source holds which place, or lies in it.
    pub(super) fn refuse_in(&self, config: &BackupsConfig) -> anyhow::Result<()> {
        self.refuse_by(&config.sources, By::Name)
            .map_err(anyhow::Error::msg)?;
        let (places, sources) = (self.clone(), config.sources.clone());
        let (answer, answered) = mpsc::channel();
        thread::spawn(move || {
            // Nobody may be waiting any more.
            let _ = answer.send(places.refuse_by(&sources, By::Disk));
        });
        match answered.recv_timeout(ANSWERS_WITHIN) {
            Ok(looked) => looked.map_err(anyhow::Error::msg),
            Err(_) => Ok(()),
        }
    }

    fn refuse_by<'a>(
        &self,
        sources: impl IntoIterator<Item = (&'a String, &'a SourceConfig)>,
        by: By,
    ) -> Result<(), String> {
        for (name, source) in sources {
            let SourceConfig::Paths(source) = source else {
                continue;
            };
            for path in &source.paths {
                let met = self.met(path, source, by);
                if let Some(why) = met.map_err(|why| format!("backups.sources.{name}: {why}"))? {
                    return Err(format!("backups.sources.{name}: {why}"));
                }
            }
        }
        Ok(())
    }

    /// Says which of them a path of a source holds or lies in, as the disk has them now. Blocks.
    ///
    /// # Errors
    /// Which glob is none.
    pub fn met_on_disk(&self, path: &Path, source: &PathsConfig) -> Result<Option<String>, String> {
        self.met(path, source, By::Disk)
    }

    fn met(&self, path: &Path, source: &PathsConfig, by: By) -> Result<Option<String>, String> {
        let globs = Globs::new(&source.include, &source.exclude)?;
        for (setting, place) in &self.0 {
            let why = "a backup would hold what backups make";
            if let Some(inside) = below(path, place, by)
                && globs.wants_within(&inside)
            {
                return Ok(Some(format!(
                    "{} holds {}, which is backups.{setting}: {why}; name other paths, or exclude \"/{}/\"",
                    path.display(),
                    place.display(),
                    inside.display()
                )));
            }
            if below(place, path, by).is_some_and(|inside| !inside.as_os_str().is_empty()) {
                return Ok(Some(format!(
                    "{} lies in {}, which is backups.{setting}: {why}; name other paths",
                    path.display(),
                    place.display()
                )));
            }
        }
        Ok(None)
    }
}

/// Where a place lies below a folder, which may be the same; none where it does not.
fn below(folder: &Path, place: &Path, by: By) -> Option<PathBuf> {
    if by == By::Name {
        return place.strip_prefix(folder).ok().map(Path::to_owned);
    }
    let is = |path: &Path| {
        let found = fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    let wanted = is(folder)?;
    let real = real(place);
    let mut above = real.ancestors();
    let met = above.find(|above| is(above) == Some(wanted))?;
    real.strip_prefix(met).ok().map(Path::to_owned)
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

    #[test]
    fn a_place_is_found_through_links_and_before_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("real/inner")).unwrap();
        symlink(at("real"), at("link")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        let found = |source: &str, place: &str| below(&at(source), &at(place), By::Disk);
        let some = |path: &str| Some(PathBuf::from(path));
        assert_eq!(found("real", "link/vault/of/all"), some("vault/of/all"));
        assert_eq!(found("link", "real/vault"), some("vault"));
        assert_eq!(found("link/inner", "real/inner"), some(""));
        assert_eq!(found("real/inner", "link"), None);
        assert_eq!(found("real", "dangling/vault"), None);
        assert_eq!(found("nowhere", "real"), None);
        assert_eq!(below(&at("real"), &at("link/vault"), By::Name), None);
    }

    #[test]
    fn what_is_excluded_may_be_there_and_a_source_in_a_place_may_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("real/vault/data")).unwrap();
        symlink(at("real"), at("link")).unwrap();
        let places = OwnPlaces(vec![("exports", at("link/vault"))]);
        let met = |path: &str, exclude: &[&str]| {
            let source = PathsConfig {
                exclude: exclude.iter().map(|one| (*one).to_owned()).collect(),
                ..PathsConfig::default()
            };
            places.met_on_disk(&at(path), &source).unwrap()
        };
        let why = met("real", &[]).unwrap();
        assert!(
            why.contains("backups.exports") && why.contains("\"/vault/\""),
            "{why}"
        );
        assert_eq!(met("real", &["/vault/"]), None);
        let why = met("real/vault/data", &["/vault/"]).unwrap();
        assert!(why.contains("lies in"), "{why}");
    }
}
