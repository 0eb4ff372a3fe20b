//! One file of a source: opened when its turn comes, read to its end, and hashed as it goes by. What was opened is
//! looked at before and after: a file that was changed or replaced meanwhile is read once more, after all others.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufReader, Read},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use jiff::SignedDuration;
use rustic_core::{ErrorKind, ReadSourceOpen, RusticError, RusticResult};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};
use sha2::{Digest as _, Sha256};

use super::{
    fill::fill,
    in_snapshot,
    ledger::Ledger,
    seen::{self, Seen},
};
use crate::{
    clock::{Stopwatch, wall_now},
    domain::backup::table::{Origin, Row},
};

/// What is read from the disk at once.
const READ_BYTES: usize = 256 << 10;
/// After so many bytes of a file it is told how far it is.
const TELL_EVERY: u64 = 1 << 20;
/// How often it is looked whether a file that was changed a moment ago has come to rest.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long that is waited for, in grains of the file's times, and at the most.
const REST_WITHIN: (u32, Duration) = (10, Duration::from_secs(4));

/// Where a source begins: on the disk, and in the snapshot.
pub(super) struct Place {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
    pub(super) all_or_nothing: bool,
}

/// A file of a source, whatever is known of it.
pub(super) struct Subject {
    pub(super) place: Arc<Place>,
    /// In the snapshot.
    pub(super) path: PathBuf,
    pub(super) chance: Chance,
    pub(super) ledger: Arc<Ledger>,
}

/// Which chance to be read a file has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Chance {
    /// There may be another.
    First,
    /// It cannot be added to a snapshot that has all the others. See [`super::again`].
    Only,
    /// It was put off before.
    Second,
}

/// A file that is read once more, after all others.
pub(in super::super) struct Late {
    pub(super) place: Arc<Place>,
    pub(super) path: PathBuf,
}

/// A file that may be opened. Where it goes without having been, the library has taken it from the parent.
pub(in super::super) struct Open(Option<Turn>);

enum Turn {
    First(Known),
    Second(Subject, File, Seen),
}

/// A file as it was listed.
pub(super) struct Known {
    pub(super) subject: Subject,
    /// Where its name is; none for one that is a source by itself.
    pub(super) directory: Option<Arc<OwnedFd>>,
    pub(super) name: OsString,
    pub(super) seen: Seen,
    /// How coarse the times are where it lies.
    pub(super) grain: SignedDuration,
}

impl Open {
    pub(super) fn new(known: Known) -> Self {
        known.subject.ledger.begin_file();
        Self(Some(Turn::First(known)))
    }

    /// Of a file whose turn has come again, and is open.
    pub(super) fn again(subject: Subject, file: OwnedFd, seen: Seen) -> Self {
        Self(Some(Turn::Second(subject, File::from(file), seen)))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A walk that was stopped drops files, too; then no snapshot is made.
        if let Some(Turn::First(known)) = self.0.take() {
            known.subject.ledger.finish(Row {
                path: known.subject.path.as_os_str().as_bytes(),
                size: known.seen.size,
                mtime: known.seen.mtime,
                sha256: [0; 32],
                origin: match known.subject.place.all_or_nothing {
                    true => Origin::UnhashedNeeded,
                    false => Origin::Unhashed,
                },
            });
        }
    }
}

impl ReadSourceOpen for Open {
    type Reader = Reader;

    fn open(mut self) -> RusticResult<Reader> {
        let turn = self
            .0
            .take()
            .ok_or_else(|| RusticError::new(ErrorKind::Internal, "a file was opened twice"))?;
        match turn {
            Turn::Second(subject, file, seen) => Ok(Reader::new(subject, file, seen)),
            Turn::First(known) => {
                let opened = known.open();
                let Known { subject, seen, .. } = known;
                match opened {
                    Ok(file) => Ok(Reader::new(subject, file, seen)),
                    Err(trouble) => {
                        let message = trouble.to_string();
                        subject.tell(trouble);
                        Err(RusticError::new(ErrorKind::InputOutput, message))
                    }
                }
            }
        }
    }
}

/// Why a file is not read, or not to its end.
pub(super) enum Trouble {
    /// It was changed, replaced or removed since it was looked at.
    Changed(&'static str),
    Failed(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Changed(how) => f.write_str(how),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl Subject {
    /// Puts the file off, where it may be read once more; else it is missing.
    pub(super) fn tell(self, trouble: Trouble) {
        let all_or_nothing = self.place.all_or_nothing;
        let path = in_snapshot(&self.path);
        match trouble {
            // What is all or nothing is the server's own, and nobody else changes it.
            Trouble::Changed(_)
                if self.chance == Chance::First && !all_or_nothing && self.ledger.has_room() =>
            {
                self.ledger.put_off(Late {
                    place: self.place,
                    path: self.path,
                });
            }
            Trouble::Changed(how) => {
                let times = match self.chance {
                    Chance::First | Chance::Only => "",
                    Chance::Second => ", twice",
                };
                let message = format!("it was changed while it was read{times}: {how}");
                self.ledger.fail_file(path, message, all_or_nothing);
            }
            Trouble::Failed(message) => self.ledger.fail_file(path, message, all_or_nothing),
        }
    }
}

impl Known {
    /// It may have become something else since it was listed: a link is not followed, and a fifo not waited for.
    fn open(&self) -> Result<File, Trouble> {
        let file = open_for_reading(self.directory.as_deref(), &self.name)?;
        let stat = at_rest(&file, self.grain, &self.subject.ledger)?;
        match Seen::of(&stat) == self.seen {
            true => Ok(File::from(file)),
            false => Err(Trouble::Changed("it is not the one that was listed")),
        }
    }
}

/// Opens a name in a directory, where a link is not followed; or a path, where it is.
pub(super) fn open_for_reading(
    directory: Option<&OwnedFd>,
    name: &OsString,
) -> Result<OwnedFd, Trouble> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let at = match directory {
        Some(directory) => {
            flags |= OFlags::NOFOLLOW;
            directory.as_fd()
        }
        None => CWD,
    };
    openat(at, name, flags, Mode::empty()).map_err(|error| match error {
        rustix::io::Errno::NOENT => Trouble::Changed("it is gone"),
        // A link has taken its place.
        rustix::io::Errno::LOOP => Trouble::Changed("it is no longer a file"),
        error => Trouble::Failed(format!("could not open it: {error}")),
    })
}

/// What a file is once it has not been changed for as long as a change might not show in its times.
pub(super) fn at_rest(
    file: &OwnedFd,
    of_its_kind: SignedDuration,
    ledger: &Ledger,
) -> Result<Stat, Trouble> {
    let waiting = Stopwatch::start();
    loop {
        let stat = fstat(file)
            .map_err(|error| Trouble::Failed(format!("could not look at it: {error}")))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Trouble::Changed("it is no longer a file"));
        }
        if !seen::is_fresh(&stat, of_its_kind, wall_now()) || seen::is_of_the_future(&stat) {
            return Ok(stat);
        }
        let grain = seen::grain(&stat, of_its_kind).unsigned_abs();
        let (times, at_most) = REST_WITHIN;
        if (grain * times).min(at_most.max(grain)) < waiting.elapsed() {
            return Err(Trouble::Changed("it is written all the time"));
        }
        if ledger.is_to_stop() {
            return Err(Trouble::Failed("it is to stop".to_owned()));
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Reads as many bytes as the snapshot says that the file has, and looks that there are no more.
pub(in super::super) struct Reader {
    /// None once what has become of it is told.
    subject: Option<Subject>,
    seen: Seen,
    file: BufReader<File>,
    left: u64,
    untold: u64,
    hash: Sha256,
}

impl Reader {
    fn new(subject: Subject, file: File, seen: Seen) -> Self {
        let buffer = usize::try_from(seen.size).unwrap_or(READ_BYTES);
        Self {
            subject: Some(subject),
            seen,
            file: BufReader::with_capacity(buffer.clamp(4096, READ_BYTES), file),
            left: seen.size,
            untold: 0,
            hash: Sha256::new(),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Trouble> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX);
        let wanted = wanted.min(buffer.len());
        let filled = fill(&mut self.file, &mut buffer[..wanted])
            .map_err(|error| Trouble::Failed(format!("could not read it: {error}")))?;
        match filled < wanted {
            true => Err(Trouble::Changed("it was cut off")),
            false => Ok(filled),
        }
    }

    /// Whether what was read is all, and one state of it.
    fn look_again(&mut self) -> Result<(), Trouble> {
        let failed = |error: io::Error| Trouble::Failed(format!("could not read it: {error}"));
        if fill(&mut self.file, &mut [0]).map_err(failed)? != 0 {
            return Err(Trouble::Changed("it has more than it had"));
        }
        let stat = fstat(self.file.get_ref()).map_err(|error| failed(error.into()))?;
        match self.seen.has_same_content_as(&Seen::of(&stat)) {
            true => Ok(()),
            false => Err(Trouble::Changed("it is another than it was")),
        }
    }

    fn end(&mut self) -> Result<(), Trouble> {
        if self.subject.is_none() {
            return Ok(());
        }
        self.look_again()?;
        let Some(subject) = self.subject.take() else {
            return Ok(());
        };
        subject.ledger.add_bytes(std::mem::take(&mut self.untold));
        let hash = std::mem::take(&mut self.hash).finalize();
        subject.ledger.finish(Row {
            path: subject.path.as_os_str().as_bytes(),
            size: self.seen.size,
            mtime: self.seen.mtime,
            sha256: hash.into(),
            origin: Origin::Read,
        });
        Ok(())
    }

    fn is_to_stop(&self) -> bool {
        let subject = self.subject.as_ref();
        subject.is_some_and(|subject| subject.ledger.is_to_stop())
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.left -= bytes.len() as u64;
        self.untold += bytes.len() as u64;
        if self.untold >= TELL_EVERY
            && let Some(subject) = &self.subject
        {
            subject.ledger.add_bytes(std::mem::take(&mut self.untold));
        }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, Trouble> {
        let count = self.fill(buffer)?;
        match count {
            0 => self.end()?,
            count => self.pass(&buffer[..count]),
        }
        Ok(count)
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_to_stop() {
            return Err(io::Error::other("it is to stop"));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        self.next(buffer).map_err(|trouble| {
            let error = io::Error::other(trouble.to_string());
            if let Some(subject) = self.subject.take() {
                subject.tell(trouble);
            }
            error
        })
    }
}
