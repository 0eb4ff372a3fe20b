//! Whether backups could be made now: that their password can be read, and that the repository it opens can be written.
//! Found out before the night's run is.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::unistd::{AccessFlags, access};
use tokio_util::sync::CancellationToken;

use super::{
    Backups,
    places::{Place, fingerprint},
    rustic::lower_priority,
};
use crate::{
    config::SecretSource,
    domain::backup::PolicyKind,
    error::Result,
    host::{self, Question},
};

/// How long a look at a repository may take, which may open it.
pub(super) const LOOKS_WITHIN: Duration = Duration::from_secs(60);
/// Folders of a repository into which a backup writes.
const WRITTEN: [&str; 4] = ["data", "index", "locks", "snapshots"];

/// What stands in the way of backups into one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// `backups/primary` or `backups/archive`.
    pub subject: String,
    pub why: String,
}

/// Looks whether backups could be made; remembers which repositories their passwords have opened, since opening one
/// takes half a second.
#[derive(Debug)]
pub struct Readiness {
    backups: Backups,
    tried: Mutex<BTreeMap<&'static str, Tried>>,
    /// Whether it was looked for a password that opens nothing.
    looked_aside: AtomicBool,
}

/// What was tried, as it was then, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tried {
    repository: Mark,
    password: [u8; 32],
    refused: Option<String>,
}

/// Device, number and time of change of a file.
type Mark = (u64, u64, i64);

impl Readiness {
    pub fn new(backups: Backups) -> Self {
        Self {
            backups,
            tried: Mutex::default(),
            looked_aside: AtomicBool::new(false),
        }
    }

    /// Looks at each place that an enabled policy needs.
    ///
    /// # Errors
    /// Where the database is away.
    pub async fn look(&self) -> Result<Vec<Unready>> {
        let policies = self.backups.store().policies().await?;
        let needs = |kinds: &[PolicyKind]| {
            let mut enabled = policies.iter().filter(|policy| policy.enabled);
            enabled.any(|policy| kinds.contains(&policy.kind))
        };
        self.look_aside().await;
        let mut found = Vec::new();
        let archive =
            needs(&[PolicyKind::Archive]) && self.backups.settings().config.archive.is_some();
        for (place, is_needed) in [
            (
                Place::Primary,
                needs(&[PolicyKind::Full, PolicyKind::Archive]),
            ),
            (Place::Archive, archive),
        ] {
            if is_needed && let Err(error) = self.look_at(place).await {
                found.push(Unready {
                    subject: format!("backups/{}", place.as_str()),
                    why: format!("{error:#}"),
                });
            }
        }
        Ok(found)
    }

    /// Once: what is in the way of nobody is no problem.
    async fn look_aside(&self) {
        if self.looked_aside.swap(true, Ordering::Relaxed) {
            return;
        }
        match self.backups.put_password_aside().await {
            Ok(Some(aside)) => tracing::warn!(
                "the password in the data directory opens no repository, as the configuration names another: it is now \
                 {}; the one in force is in {}",
                aside.display(),
                self.backups.password_in_force()
            ),
            Ok(None) => {}
            Err(error) => tracing::warn!(
                "could not look whether the password in the data directory opens anything: {error:#}"
            ),
        }
    }

    async fn look_at(&self, place: Place) -> anyhow::Result<()> {
        let (path, source) = self.backups.location(place)?;
        let tried = self.tried().get(place.as_str()).cloned();
        let known = self.backups.points_known(place).await?;
        let (opener, helpers) = (
            self.backups.settings().opener.clone(),
            self.backups.helpers(),
        );
        let what = format!("looking at the repository at {}", path.display());
        let question = Question::of_file(&path, what).within(LOOKS_WITHIN);
        let looked = host::ask(question, move || {
            lower_priority();
            let about = || format!("the password of the {} repository", place.as_str());
            let password = source.read().with_context(about)?;
            check_writable(&path)?;
            let Some(repository) = mark(&path.join("config")) else {
                if 0 < known {
                    bail!(
                        "there is no repository at {}, where {known} restore points should be: see that its disk is mounted",
                        path.display()
                    );
                }
                return Ok(None);
            };
            let print = fingerprint(&password);
            if let Some(tried) = tried
                && tried.repository == repository
                && tried.password == print
            {
                return Ok(Some(tried));
            }
            let opened = opener.open(&path, &password, &helpers, &CancellationToken::new());
            Ok(Some(Tried {
                repository,
                password: print,
                refused: opened.err().map(|error| error.to_string()),
            }))
        });
        let Some(tried) = looked.await?? else {
            return Ok(());
        };
        let refused = tried.refused.clone();
        // What did not open may do so at the next look, whatever it was.
        match &refused {
            None => drop(self.tried().insert(place.as_str(), tried)),
            Some(_) => drop(self.tried().remove(place.as_str())),
        }
        refused.map_or(Ok(()), |refused| Err(anyhow::anyhow!(refused)))
    }

    fn tried(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Tried>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands in the way of backups by the configuration alone: for `watchbell config --check`. A password that is not
/// there yet is none. It may block.
pub fn check_places(places: &[(PathBuf, Option<SecretSource>)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, source) in places {
        let password = source.as_ref().map(SecretSource::read).transpose();
        let checked = [password.map(drop), check_writable(path)];
        let wrong = checked.into_iter().filter_map(Result::err);
        found.extend(wrong.map(|error| format!("{}: {error:#}", path.display())));
    }
    found
}

fn check_writable(path: &Path) -> anyhow::Result<()> {
    let writes = AccessFlags::W_OK | AccessFlags::X_OK;
    let refuse = |place: &Path, error| {
        anyhow::anyhow!(
            "the repository at {} cannot be written: {}: {error}",
            path.display(),
            place.display()
        )
    };
    if path.join("config").exists() {
        for folder in WRITTEN {
            let folder = path.join(folder);
            access(&folder, writes).map_err(|error| refuse(&folder, error))?;
        }
        return Ok(());
    }
    let there = path
        .ancestors()
        .find(|above| above.exists())
        .unwrap_or(path);
    access(there, writes).map_err(|error| refuse(there, error))
}

fn mark(file: &Path) -> Option<Mark> {
    let of = fs::metadata(file).ok()?;
    Some((of.dev(), of.ino(), of.mtime()))
}
