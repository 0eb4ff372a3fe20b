//! Where the repositories are, and what opens them.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    Backups,
    child::Helpers,
    repository::{self, Repository, RepositoryError},
    rustic::{Apart, Rustic, lower_priority},
    work::{Job, asked, make_folder},
};
use crate::{
    config::{Secret, SecretSource, once},
    domain::backup::PolicyKind,
    host::{self, Question, Unanswered},
    store::{LeaseMode, Leased},
};

/// How long it may take to open a repository, or to make it: its key takes a moment, a large index longer.
const OPENS_WITHIN: Duration = Duration::from_secs(600);
/// Bytes of a password that is made.
const PASSWORD_BYTES: usize = 32;

/// Which repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Primary,
    /// The second location.
    Archive,
}

impl Place {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Archive => "archive",
        }
    }

    /// Where points of a kind lie; an export is a file of its own.
    pub(super) fn of(kind: PolicyKind) -> Option<Self> {
        match kind {
            PolicyKind::Full => Some(Self::Primary),
            PolicyKind::Archive => Some(Self::Archive),
            PolicyKind::Export => None,
        }
    }

    /// The kind of the points that lie there.
    pub(super) fn kind(self) -> PolicyKind {
        match self {
            Self::Primary => PolicyKind::Full,
            Self::Archive => PolicyKind::Archive,
        }
    }
}

/// Opens repositories: the port's other half.
pub trait OpenRepository: std::fmt::Debug + Send + Sync {
    /// Opens one.
    ///
    /// # Errors
    /// What stands in the way.
    fn open(
        &self,
        place: &Path,
        password: &Secret,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> repository::Result<Arc<dyn Repository>>;

    /// Makes one where nothing is.
    ///
    /// # Errors
    /// What stands in the way.
    fn create(
        &self,
        place: &Path,
        password: &Secret,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> repository::Result<Arc<dyn Repository>>;
}

/// Repositories in directories of this host. What is heavy of the work on them is done by other processes.
#[derive(Clone, Copy, Debug)]
pub struct Directories;

/// The same, of a process in which nothing else is done.
#[derive(Clone, Copy, Debug)]
pub struct DirectoriesHere;

impl OpenRepository for Directories {
    fn open(
        &self,
        place: &Path,
        password: &Secret,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> repository::Result<Arc<dyn Repository>> {
        let opened = Rustic::open(place, password.expose(), helpers, cancel)?;
        Ok(Arc::new(Apart::of(opened, helpers)))
    }

    fn create(
        &self,
        place: &Path,
        password: &Secret,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> repository::Result<Arc<dyn Repository>> {
        // Another server may be at it, too: one makes it, and the others open it.
        let made = Rustic::open_or_create(place, password.expose(), helpers, cancel)?;
        Ok(Arc::new(Apart::of(made, helpers)))
    }
}

impl OpenRepository for DirectoriesHere {
    fn open(
        &self,
        place: &Path,
        password: &Secret,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> repository::Result<Arc<dyn Repository>> {
        let opened = Rustic::open(place, password.expose(), helpers, cancel)?;
        Ok(Arc::new(opened))
    }

    fn create(
        &self,
        place: &Path,
        password: &Secret,
        helpers: &Helpers,
        cancel: &CancellationToken,
    ) -> repository::Result<Arc<dyn Repository>> {
        let made = Rustic::open_or_create(place, password.expose(), helpers, cancel)?;
        Ok(Arc::new(made))
    }
}

/// Repositories that are open: opening one takes half a second and 128 MB, once.
#[derive(Debug, Default)]
pub(super) struct OpenPlaces {
    primary: tokio::sync::Mutex<Option<Open>>,
    archive: tokio::sync::Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    repository: Arc<dyn Repository>,
    /// Which file its configuration was.
    config: (u64, u64),
    /// Of the password that has opened it.
    password: [u8; 32],
}

/// The hash of a password, by which a changed one is told.
pub(super) fn fingerprint(password: &Secret) -> [u8; 32] {
    Sha256::digest(password.expose()).into()
}

/// Device and number of the file that every repository has, once.
fn config_of(place: &Path) -> Option<(u64, u64)> {
    let config = fs::metadata(place.join("config")).ok()?;
    Some((config.dev(), config.ino()))
}

impl Backups {
    pub(super) fn helpers(&self) -> Helpers {
        Helpers {
            program: self.settings().program.clone(),
        }
    }

    /// Where a repository lies, and what its password is read from.
    ///
    /// # Errors
    /// For an archive that is not configured.
    pub(super) fn location(&self, place: Place) -> anyhow::Result<(PathBuf, SecretSource)> {
        let config = &self.settings().config;
        match place {
            Place::Primary => Ok((config.repository.clone(), config.password.clone())),
            Place::Archive => {
                let archive = config.archive.as_ref().context(
                    "the configuration has no second location, [backups.archive]; an archive on the same disk would \
                     protect nothing",
                )?;
                Ok((archive.repository.clone(), archive.password.clone()))
            }
        }
    }

    /// A repository, open; made where its place is empty.
    ///
    /// # Errors
    /// What stands in the way: see [`RepositoryError`].
    pub(super) async fn repository(
        &self,
        place: Place,
        cancel: &CancellationToken,
    ) -> anyhow::Result<Arc<dyn Repository>> {
        let slot = match place {
            Place::Primary => &self.inner.open.primary,
            Place::Archive => &self.inner.open.archive,
        };
        let mut slot = slot.lock().await;
        let (path, source) = self.location(place)?;
        // One that was removed, or another in its place, is not the one that is open.
        let config = asked(&path, "looking at the repository at", config_of).await?;
        // Read each time: one that was overwritten or lost meanwhile must not first be missed after the next start.
        let question = source.question("of backups");
        let password = host::ask(question, move || source.read())
            .await?
            .with_context(|| format!("the password of the {} repository", place.as_str()))?;
        let print = fingerprint(&password);
        if let Some(open) = &*slot
            && config == Some(open.config)
            && print == open.password
        {
            return Ok(open.repository.clone());
        }
        *slot = None;
        let place_of = path.clone();
        let (opener, helpers, cancel) = (
            self.settings().opener.clone(),
            self.helpers(),
            cancel.clone(),
        );
        // Where points are known to be, an empty place is a disk that is away, and no place for a new repository.
        let known = self.points_known(place).await?;
        let what = format!("opening the repository at {}", path.display());
        let question = Question::of_file(&path, what).within(OPENS_WITHIN);
        let opened = host::ask(question, move || {
            lower_priority();
            match opener.open(&path, &password, &helpers, &cancel) {
                Err(RepositoryError::Missing { place }) if 0 < known => bail!(
                    "there is no repository at {place}, where {known} restore points should be: see that its disk is \
                     mounted, or bring it back"
                ),
                Err(RepositoryError::Missing { .. }) => {
                    Ok(opener.create(&path, &password, &helpers, &cancel)?)
                }
                opened => Ok(opened?),
            }
        });
        let opened = opened.await??;
        let config = asked(&place_of, "looking at the repository at", config_of).await?;
        *slot = config.map(|config| Open {
            repository: opened.clone(),
            config,
            password: print,
        });
        Ok(opened)
    }

    /// How many points should be in a repository.
    pub(super) async fn points_known(&self, place: Place) -> crate::error::Result<i64> {
        self.store().points_of_kind_count(place.kind()).await
    }

    /// Takes the repository for a run, and looks whether another program holds it.
    ///
    /// # Errors
    /// Who holds it; it is tried again.
    pub(super) async fn lease(
        &self,
        job: &Job,
        place: Place,
        mode: LeaseMode,
    ) -> anyhow::Result<()> {
        let mut tx = job.begin().await?;
        let leased = tx
            .repository_lease(place.as_str(), job.run(), job.attempt(), mode)
            .await?;
        if let Leased::HeldBy(holder) = leased {
            bail!(
                "the {} repository is in use by {holder}; it is tried again",
                place.as_str()
            );
        }
        tx.commit().await?;
        Ok(())
    }

    /// Looks whether another program is alone in the repository, and keeps a lock of the run's own there until it ends.
    /// A lock that is stale is told of, and ignored.
    ///
    /// # Errors
    /// [`RepositoryError::Locked`]
    pub(super) async fn refuse_foreign_locks(
        &self,
        job: &Job,
        repository: &Arc<dyn Repository>,
    ) -> anyhow::Result<()> {
        let (repository, now) = (repository.clone(), self.clock().now());
        let place = repository.place();
        let (locks, claimed) = job
            .step("locks", 0, move |_| {
                Ok((repository.foreign_locks(now)?, repository.claim()?))
            })
            .await?;
        for lock in locks {
            let by = lock.by;
            if lock.stale {
                job.log(format!(
                    "a lock is ignored, as whoever took it has not renewed it for 30 minutes, or is no more: {by}; `restic \
                     unlock` removes it"
                ));
            } else if lock.exclusive {
                return Err(RepositoryError::Locked { place, by }.into());
            }
        }
        job.keep(claimed);
        Ok(())
    }
}

/// Makes the password of the repository at a first start: where the configuration names no file of its own, none is
/// there, and neither is a repository that it might belong to.
///
/// # Errors
/// Where it cannot be written.
pub fn make_password(data: &Path, repository: &Path, source: &SecretSource) -> anyhow::Result<()> {
    let Some(file) = &source.file else {
        return Ok(());
    };
    if !file.starts_with(data) || file.exists() || repository.join("config").exists() {
        return Ok(());
    }
    let about = || format!("could not make the password of backups, {}", file.display());
    if let Some(parent) = file.parent() {
        make_folder(parent).with_context(about)?;
    }
    let mut random = [0; PASSWORD_BYTES];
    getrandom::fill(&mut random)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(about)?;
    let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    // The first of two servers that start at once makes it.
    once::make(file, &format!("{password}\n")).with_context(about)
}

/// Bytes free where something lies, or would.
///
/// # Errors
/// Where no answer comes.
pub(super) async fn free_bytes(path: &Path) -> Result<Option<u64>, Unanswered> {
    asked(path, "looking how much is free at", free_at).await
}

/// The same; it blocks.
pub(super) fn free_at(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    let about = nix::sys::statvfs::statvfs(there).ok()?;
    Some(about.blocks_available() as u64 * about.fragment_size() as u64)
}
