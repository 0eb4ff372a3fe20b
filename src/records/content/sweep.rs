//! Clearing contents away that no document holds, and uploads that nobody went on with.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    as_size, away, blocking,
    files::{Files, is_same, listed, remove},
};
use crate::{error::Result, records::Documents, store::StoredContent};

/// How long an upload that broke off waits to be gone on with.
const UPLOAD_KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);

/// A content on the disk of which no row tells: whoever brought it in got no further.
pub type Orphan = StoredContent;

/// What was cleared away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub count: u64,
    pub bytes: u64,
    /// What could not be, and why.
    pub failed: Vec<String>,
}

impl Removed {
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.failed.extend(other.failed);
    }

    fn note(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// Contents that were taken out of their places, and are to be removed once their rows are gone.
#[derive(Debug, Default)]
pub struct TakenAway {
    files: Vec<(StoredContent, PathBuf)>,
    removed: Removed,
}

impl TakenAway {
    /// Contents whose files are out of their places.
    pub fn contents(&self) -> Vec<StoredContent> {
        self.files
            .iter()
            .map(|(content, _)| content.clone())
            .collect()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl Documents {
    /// What was not touched since then has had its grace.
    pub fn contents_kept_since(&self) -> Timestamp {
        let keep_for = self.settings().content.keep_unused_for;
        before(self.clock().now(), keep_for)
    }

    /// The directories that hold contents.
    ///
    /// # Errors
    /// Where the disk is away.
    pub async fn content_shelves(&self) -> Result<Vec<String>> {
        let files = self.files();
        blocking(move || files.shelves().map_err(away)).await
    }

    /// What lies in one of them without a row, as old as its file says.
    ///
    /// # Errors
    /// Where the disk or the database is away.
    pub async fn content_orphans(&self, shelf: &str) -> Result<Vec<Orphan>> {
        let (files, of) = (self.files(), shelf.to_owned());
        let on_disk = blocking(move || files.shelf(&of).map_err(away)).await?;
        let sha256s: Vec<String> = on_disk.iter().map(|(sha256, _)| sha256.clone()).collect();
        let known = self.store().contents_known(&sha256s).await?;
        let known: BTreeSet<String> = known.into_iter().collect();
        let now = self.clock().now();
        let mut orphans = Vec::new();
        for (sha256, about) in on_disk {
            if known.contains(&sha256) {
                continue;
            }
            let written = about.modified().map_err(away)?;
            let touched_at = Timestamp::try_from(written).map_or(now, |at| at.min(now));
            orphans.push(Orphan {
                sha256,
                size: as_size(about.len()),
                touched_at,
            });
        }
        Ok(orphans)
    }

    /// Takes contents that leave out of their places. Nothing of the database waits for that.
    ///
    /// # Errors
    /// Where the disk is away: then they may be gone from their places, and their rows still there. The next sweep sees
    /// to it, and puts back what is held by then.
    pub async fn take_contents_away(&self, leaving: Vec<StoredContent>) -> Result<TakenAway> {
        let files = self.files();
        blocking(move || Ok(take_away(&files, leaving))).await
    }

    /// What sweeps before this one had taken out of its place when they broke off; or what one takes that was held up.
    ///
    /// # Errors
    /// Where the disk is away.
    pub async fn contents_taken_away(&self) -> Result<TakenAway> {
        let files = self.files();
        let taken = blocking(move || files.taken().map_err(away)).await?;
        let files = taken.into_iter().map(|(sha256, size, path)| {
            let content = StoredContent {
                sha256,
                size: as_size(size),
                touched_at: StoredContent::LONG_AGO,
            };
            (content, path)
        });
        Ok(TakenAway {
            files: files.collect(),
            ..TakenAway::default()
        })
    }

    /// Removes what was taken away and is forgotten. What is not, someone holds, and it is put back.
    ///
    /// # Errors
    /// Where the disk is away: the next sweep removes it.
    pub async fn remove_taken(&self, taken: TakenAway, forgotten: Vec<String>) -> Result<Removed> {
        let files = self.files();
        let forgotten: BTreeSet<String> = forgotten.into_iter().collect();
        blocking(move || {
            let mut removed = taken.removed;
            for (content, path) in taken.files {
                let done = match forgotten.contains(&content.sha256) {
                    true => remove(&path).map(|()| removed.note(content.size.unsigned_abs())),
                    false => files.put_back(&path, &content.sha256),
                };
                if let Err(error) = done {
                    removed.failed.push(told(&path, &error));
                }
            }
            Ok(removed)
        })
        .await
    }

    /// Removes uploads that nobody went on with for a day.
    ///
    /// # Errors
    /// Where the disk is away.
    pub async fn remove_leftovers(&self, dry_run: bool) -> Result<Removed> {
        let files = self.files();
        let day_ago = self.clock().now().saturating_sub(UPLOAD_KEPT_FOR);
        let day_ago = day_ago.unwrap_or(Timestamp::MIN);
        blocking(move || {
            let mut removed = Removed::default();
            for path in listed(&files.incoming()).map_err(away)? {
                match left_over(&path, day_ago, dry_run) {
                    Ok(Some(bytes)) => removed.note(bytes),
                    Ok(None) => {}
                    Err(error) => removed.failed.push(told(&path, &error)),
                }
            }
            Ok(removed)
        })
        .await
    }
}

/// Takes contents out of their places.
fn take_away(files: &Files, leaving: Vec<StoredContent>) -> TakenAway {
    let mut taken = TakenAway::default();
    for content in leaving {
        match files.take_away(&content.sha256) {
            Ok(Some(path)) => taken.files.push((content, path)),
            // Somebody has removed it by hand, or another sweep.
            Ok(None) => taken.removed.note(0),
            // It stays without a row, until the next sweep finds it.
            Err(error) => taken
                .removed
                .failed
                .push(told(&files.place(&content.sha256), &error)),
        }
    }
    taken
}

/// Removes an upload that nobody went on with since then, and nobody is going on with now; says its size.
fn left_over(path: &Path, since: Timestamp, dry_run: bool) -> std::io::Result<Option<u64>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    let written = Timestamp::try_from(about.modified()?).unwrap_or(Timestamp::MAX);
    // Whoever is at it holds its lock; and whoever was may have moved it away.
    if !about.is_file() || since < written || file.try_lock().is_err() {
        return Ok(None);
    }
    let is_there = fs::symlink_metadata(path).is_ok_and(|there| is_same(&there, &about));
    if !is_there {
        return Ok(None);
    }
    if !dry_run {
        fs::remove_file(path)?;
    }
    Ok(Some(about.len()))
}

fn told(path: &Path, error: &std::io::Error) -> String {
    let name = super::name_of(path).unwrap_or("?");
    format!("{name} could not be removed: {error}")
}

fn before(now: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    now.saturating_sub(span).unwrap_or(Timestamp::MIN)
}
