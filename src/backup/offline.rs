//! A repository without its server: what is in it, and everything of it brought back.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    accept::ACCEPTED,
    child::Helpers,
    described::{judge, point_of},
    dump::{Programs, Server},
    full::snapshot_id,
    leftovers::is_marked,
    manifests::{Stored, manifest_in},
    marker::Marker,
    pairs,
    places::OpenRepository,
    repository::{Hand, Progress, Repository, SnapshotId},
    restore_files::{Restored, Wanted, fresh, restore},
    scratch,
    verdicts::verdict_in,
    work::{blocking, make_directory, make_folder},
};
use crate::{
    config::{Secret, SecretSource, once},
    domain::backup::{
        loss::Acceptance,
        manifest::{DumpRecord, SnapshotPath},
        point::RestorePoint,
        verdict::{Sound, Verdict},
    },
};

/// A repository that was opened by its password alone.
#[derive(Debug)]
pub struct Offline {
    repository: Arc<dyn Repository>,
    password: Secret,
    /// Where large manifests lie while they are used; without, they are in memory.
    beside: Option<PathBuf>,
}

/// A restore point, as its manifest's snapshot names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub id: Uuid,
    pub policy: String,
    pub frozen_at: Timestamp,
    /// Whose it is; none where a server of an older version has made it.
    pub cluster: Option<String>,
    pub standing: Standing,
    manifest: SnapshotId,
    verdict: Option<Marker>,
    /// What says that what its sources have lost is as it should be.
    accepted: Option<Marker>,
    /// None where the data is not there, or nobody can say which it is.
    data: Option<SnapshotId>,
}

impl Found {
    /// The snapshots of its data and of its manifest, as this repository has them; none where the data is not there.
    pub fn ids(&self) -> Option<(&str, &str)> {
        let data = self.data.as_ref()?;
        Some((data.0.as_str(), self.manifest.0.as_str()))
    }

    /// Whether the repository says more of it than its manifest, and than that it was verified.
    pub fn was_judged(&self) -> bool {
        let is_sound =
            |of: &Standing| !matches!(of, Standing::Found(Sound::Partial | Sound::Damaged, _));
        self.accepted.is_some() || !is_sound(&self.standing)
    }
}

/// What the repository says of a point beside its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: a server of an older version has made it, and only its manifest tells.
    Unknown,
    /// It was made by a run that has not come to its end: nothing of it was read back.
    Unverified,
    /// The verdict, and how much was found missing or damaged after the manifest was written.
    Found(Sound, u64),
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown => f.write_str("not known"),
            Self::Unverified => f.write_str("never verified"),
            Self::Found(sound, 0) => write!(f, "{sound}"),
            Self::Found(sound, names) => write!(f, "{sound}, {names} files"),
        }
    }
}

impl Offline {
    /// Opens a repository that is there.
    ///
    /// # Errors
    /// Where there is none, or the password is another's.
    pub async fn open(
        opener: Arc<dyn OpenRepository>,
        program: PathBuf,
        place: &Path,
        password: &Path,
        beside: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let source = SecretSource::of_file(password);
        let place = place.to_owned();
        let opened = blocking("open", move || {
            let password = source.read()?;
            let never = CancellationToken::new();
            let repository = opener.open(&place, &password, &Helpers { program }, &never)?;
            Ok::<_, anyhow::Error>((repository, password))
        });
        let (repository, password) = opened.await??;
        Ok(Self {
            repository,
            password,
            beside,
        })
    }

    /// Every restore point that has a manifest, newest first.
    ///
    /// # Errors
    /// Where the repository cannot be read.
    pub async fn points(&self) -> anyhow::Result<Vec<Found>> {
        let of = self.repository.clone();
        let snapshots = blocking("snapshots", move || of.snapshots()).await??;
        let manifests = snapshots.iter().filter(|one| pairs::is_manifest(one));
        let found = manifests.filter_map(|snapshot| {
            let tag = |name: &str| snapshot.word(name).map(str::to_owned);
            let id = tag("point")?.parse().ok()?;
            let data = pairs::data_of(snapshot, &snapshots);
            let verdict = verdict_in(&snapshots, id);
            Some(Found {
                id,
                policy: tag("policy")?,
                frozen_at: data.map_or(snapshot.time, |data| data.time),
                cluster: tag("cluster"),
                standing: match &verdict {
                    Some((_, sound, names)) => Standing::Found(*sound, *names),
                    None if is_marked(snapshot) => Standing::Unverified,
                    None => Standing::Unknown,
                },
                manifest: snapshot.id.clone(),
                accepted: Marker::newest(&snapshots, ACCEPTED, id),
                verdict: verdict.map(|(marker, ..)| marker),
                data: data.map(|data| data.id.clone()),
            })
        });
        let mut found: Vec<Found> = found.collect();
        found.sort_by_key(|found| std::cmp::Reverse((found.frozen_at, found.id)));
        Ok(found)
    }

    /// What a point says of itself; what its sources have lost and was accepted is missing in neither.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn manifest(&self, found: &Found) -> anyhow::Result<(Stored, RestorePoint)> {
        let (of, id) = (self.repository.clone(), found.manifest.clone());
        let beside = self.beside.clone();
        let read = blocking("manifest", move || {
            manifest_in(&*of, &id, beside.as_deref())
        });
        let mut stored = read.await??;
        let manifest = &mut stored.manifest;
        let Some(data) = &found.data else {
            bail!(
                "its data is not in the repository: snapshot {} was removed, or never copied",
                manifest.snapshot
            );
        };
        // In a copy it has an id of its own.
        manifest.snapshot.clone_from(&data.0);
        let frozen_at = manifest.frozen_at;
        let mut point = point_of(manifest, stored.totals, frozen_at, frozen_at);
        point.manifest_snapshot.clone_from(&found.manifest.0);
        point.manifest_sha256.clone_from(&stored.sha256);
        if let Some(marker) = found.accepted.clone() {
            let of = self.repository.clone();
            let read = blocking("acceptance", move || marker.read::<Acceptance>(&*of));
            // One that cannot be read accepts nothing.
            if let Ok(acceptance) = read.await? {
                point.accept(acceptance);
                manifest.accept();
            }
        }
        if let Some(verdict) = self.verdict(found).await? {
            judge(&mut point, &verdict);
        }
        Ok((stored, point))
    }

    /// The verdict beside the manifest of a point in full, where one says more than that it is sound.
    ///
    /// # Errors
    /// Where it cannot be read.
    async fn verdict(&self, found: &Found) -> anyhow::Result<Option<Verdict>> {
        let says_more = |of: &Standing| !matches!(of, Standing::Found(Sound::Verified, _));
        let marker = found.verdict.clone().filter(|_| says_more(&found.standing));
        let Some(marker) = marker else {
            return Ok(None);
        };
        let of = self.repository.clone();
        let read = blocking("verdict", move || marker.read(&*of));
        let verdict = match read.await? {
            Ok(verdict) => verdict,
            // What cannot be read in full stands in its tags all the same.
            Err(error) => unread(found, &error),
        };
        Ok(Some(verdict))
    }

    /// Restores what begins with one of `paths`, or everything, of a point below a new directory; `told` hears how far
    /// it is.
    ///
    /// # Errors
    /// What is not about single files: those are in the answer.
    pub async fn restore(
        &self,
        stored: Arc<Stored>,
        paths: Vec<SnapshotPath>,
        directory: &Path,
        told: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> anyhow::Result<Restored> {
        let (of, directory) = (self.repository.clone(), directory.to_owned());
        let hand = Hand {
            cancel: CancellationToken::new(),
            progress: told,
        };
        blocking("restore", move || {
            let reader = of.open(&snapshot_id(&stored.manifest.snapshot))?;
            let into = fresh(&directory)?;
            let wanted = Wanted::Beginning(&paths);
            restore(&*reader, &stored, wanted, &into, &hand)
        })
        .await?
    }

    /// Keeps the password in a file, where there is none. One that says the same stays as it is.
    ///
    /// # Errors
    /// Where it cannot be written, or holds another.
    pub fn keep_password(&self, file: &Path) -> anyhow::Result<()> {
        let about = || format!("could not write {}", file.display());
        let line = format!("{}\n", self.password.expose());
        match fs::read_to_string(file) {
            Ok(there) if there.trim() == line.trim() => return Ok(()),
            Ok(_) => bail!(
                "{} holds another password than the one that opened the repository",
                file.display()
            ),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("could not read {}", file.display()));
            }
            Err(_) => {}
        }
        if let Some(parent) = file.parent() {
            make_folder(parent).with_context(about)?;
        }
        once::make(file, &line).with_context(about)?;
        // What has come to stand there meanwhile stays, as does a link that leads nowhere.
        match fs::read_to_string(file) {
            Ok(there) if there == line => Ok(()),
            _ => Err(io::Error::from(Errno::EXIST)).with_context(about),
        }
    }
}

/// A verdict of which only its tags can be read.
fn unread(found: &Found, error: &anyhow::Error) -> Verdict {
    let (sound, count) = match found.standing {
        Standing::Found(sound, count) => (sound, count),
        Standing::Unknown | Standing::Unverified => (Sound::Damaged, 0),
    };
    Verdict {
        sound,
        at: found.frozen_at,
        run: String::new(),
        message: format!("{sound}, {count} files; what they are cannot be read: {error:#}"),
        names: Vec::new(),
        more: count,
        missing: Vec::new(),
        missing_more: 0,
    }
}

/// Refuses a PostgreSQL database that holds anything.
///
/// # Errors
/// Where it does, or cannot be reached.
pub async fn refuse_tables(url: &str) -> anyhow::Result<()> {
    let database = Server::of_url(url, None)?.connect().await?;
    let facts = database.facts().await;
    database.close().await;
    match facts?.tables.keys().next() {
        None => Ok(()),
        Some(table) => bail!(
            "the database is not empty: it has a table {table:?}; a restore never writes over anything, so name an \
             empty one"
        ),
    }
}

/// Loads a dump into an empty PostgreSQL database by the client programs in `pg_bin`, or those that fit its server, and
/// compares it with what the manifest says; says how many rows. Where the load fails, the database is as empty as before.
///
/// # Errors
/// What differs, or stands in the way.
pub async fn load(
    url: &str,
    dump: &DumpRecord,
    file: &Path,
    pg_bin: Option<PathBuf>,
    program: PathBuf,
) -> anyhow::Result<i64> {
    let server = Server::of_url(url, None)?;
    let version = server.version().await?;
    let (target, from) = (server.clone(), file.to_owned());
    blocking("load", move || {
        let programs = Programs::all(pg_bin.as_deref(), &program, version)?;
        let beside = tempdir_beside(&from)?;
        let hand = Hand {
            cancel: CancellationToken::new(),
            progress: Arc::new(|_| {}),
        };
        let loaded = scratch::pg_restore(&programs, &target, &from, &beside, &hand);
        drop(fs::remove_dir_all(&beside));
        loaded
    })
    .await??;
    let database = server.connect().await?;
    let facts = database.facts().await?;
    let orphans = database.orphans().await?;
    database.close().await;
    match scratch::judge(dump, &facts, &orphans) {
        scratch::Scratch::Same(rows) => Ok(rows),
        scratch::Scratch::Failed(why) | scratch::Scratch::NotPossible(why) => {
            bail!("what came into the database is not what was dumped: {why}")
        }
    }
}

fn tempdir_beside(file: &Path) -> anyhow::Result<PathBuf> {
    let directory = file.with_extension("pass");
    make_directory(&directory)?;
    Ok(directory)
}
