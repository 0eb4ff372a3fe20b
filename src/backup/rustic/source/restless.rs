//! Directories that were changed after they had been listed. What was moved into one of them, from one that was listed
//! later, is in neither list: it is read with those that are read once more, or named where that cannot be.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::{fd::OwnedFd, unix::ffi::OsStrExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, StatxFlags, fstat, openat, statat, statx},
    io::Errno,
};

use super::{
    again::can_be_merged,
    file::{Late, Place},
    in_snapshot,
    ledger::Ledger,
    listing::list_all,
    node,
    seen::{COARSE, Seen, grain_of},
};
use crate::domain::backup::globs::Globs;

/// The clock of a file system is behind that of the kernel by less.
const BEHIND: SignedDuration = SignedDuration::from_millis(10);
/// How deep a directory is looked into that was not there before.
const DEPTH_AT_MOST: usize = 64;

/// A source that was gone through.
pub(in super::super) struct Gone {
    pub(super) place: Arc<Place>,
    pub(super) globs: Arc<Globs>,
    pub(super) directories: Vec<Listed>,
}

type Identity = (u64, u64);

/// A directory, as it was when it was listed.
pub(super) struct Listed {
    /// Below where its source begins.
    relative: PathBuf,
    /// Its device and inode: another may lie there by now.
    identity: Identity,
    /// None where it could have changed without a trace, or names came and went while it was listed.
    state: Option<u64>,
    /// From before that.
    at: Timestamp,
    /// Whether something can be added to it in a snapshot.
    can_be_merged: bool,
}

impl Listed {
    pub(super) fn new(
        relative: &Path,
        opened: &Stat,
        state: Option<&Stat>,
        at: Timestamp,
        can_be_merged: bool,
    ) -> Self {
        Self {
            relative: relative.to_owned(),
            identity: identity_of(opened),
            state: state.map(state_of),
            at,
            can_be_merged,
        }
    }
}

/// A file that may have come into a directory.
pub(super) struct Came {
    place: Arc<Place>,
    can_be_merged: bool,
}

/// Looks at each directory once more, after all of them were gone through, and puts off or names what came into one.
pub(in super::super) fn look_again(ledger: &Arc<Ledger>) {
    let mut look = Look {
        ledger,
        came: BTreeMap::new(),
        unknown: BTreeMap::new(),
        unseen: BTreeMap::new(),
    };
    for gone in ledger.take_gone() {
        look.at(&gone);
    }
    let Look {
        mut came,
        mut unknown,
        mut unseen,
        ..
    } = look;
    if came.is_empty() && unknown.is_empty() && unseen.is_empty() {
        return;
    }
    ledger.strike_out_known(&mut came);
    ledger.strike_out_known(&mut unknown);
    unseen.append(&mut unknown);
    // What the walk could not enter either is named already.
    ledger.strike_out_failed(&mut unseen);
    for (path, why) in unseen {
        ledger.fail(in_snapshot(&path), why, false);
    }
    for (path, came) in came {
        if came.can_be_merged && ledger.has_room() {
            ledger.put_off_too(Late {
                place: came.place,
                path,
            });
        } else {
            ledger.fail(in_snapshot(&path), MOVED.to_owned(), false);
        }
    }
}

const MOVED: &str = "it was moved here while its source was read, and is not in the backup";

struct Look<'a> {
    ledger: &'a Arc<Ledger>,
    came: BTreeMap<PathBuf, Came>,
    /// What could not be looked at, which may have been read before: why.
    unknown: BTreeMap<PathBuf, String>,
    /// What was moved, or may have been, and is not read: why.
    unseen: BTreeMap<PathBuf, String>,
}

impl Look<'_> {
    fn at(&mut self, gone: &Gone) {
        if gone.directories.is_empty() {
            return;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = match openat(CWD, &gone.place.from, flags, Mode::empty()) {
            Ok(top) => top,
            // What was in it was read, or is named.
            Err(error) if is_gone(error) => return,
            Err(error) => {
                let why = format!("it could not be looked at once more: {error}");
                self.unseen.insert(gone.place.to.clone(), why);
                return;
            }
        };
        let mut known: Option<HashMap<&Path, Identity>> = None;
        for listed in &gone.directories {
            if self.ledger.is_to_stop() {
                return;
            }
            let stat = match listed.relative.as_os_str().is_empty() {
                true => fstat(&top),
                false => statat(&top, &listed.relative, AtFlags::SYMLINK_NOFOLLOW),
            };
            match stat {
                Ok(stat) if listed.state == Some(state_of(&stat)) => continue,
                // What was in it was read, or is named.
                Err(error) if is_gone(error) => continue,
                // What lies there instead is named, or looked into, by the look into what it lies in.
                Ok(stat) if listed.identity != identity_of(&stat) => {
                    if listed.relative.as_os_str().is_empty() {
                        self.name(&gone.place.to);
                    }
                    continue;
                }
                _ => {}
            }
            let known = known.get_or_insert_with(|| {
                let listed = gone.directories.iter();
                listed
                    .map(|listed| (listed.relative.as_path(), listed.identity))
                    .collect()
            });
            if let Err(error) = self.look_into(gone, &top, listed, known)
                && !is_gone(error)
            {
                let path = gone.place.to.join(&listed.relative);
                let why = format!("it was changed, and could not be listed again: {error}");
                self.unseen.insert(path, why);
            }
        }
    }

    fn look_into(
        &mut self,
        gone: &Gone,
        top: &OwnedFd,
        listed: &Listed,
        known: &HashMap<&Path, Identity>,
    ) -> Result<(), Errno> {
        let directory = open_beneath(top, &listed.relative)?;
        let tells_moves = grain_of(&directory) < COARSE;
        for (name, is_directory) in list_all(&directory)? {
            let relative = listed.relative.join(&name);
            // Looked at for itself, where it is the same.
            if let Some(identity) = known.get(&*relative) {
                match statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) if *identity != identity_of(&stat) => {}
                    _ => continue,
                }
            }
            let Some(stat) = self.stat(gone, &directory, &name, is_directory, &relative) else {
                continue;
            };
            // A move changes this time of what is moved, where the file system has it.
            let changed = node::changed_at(&stat);
            if tells_moves && changed.is_some_and(|at| at < listed.at - COARSE) {
                continue;
            }
            let before = |moment| was_there(&directory, &name, &stat, moment);
            let path = gone.place.to.join(&relative);
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile if before(listed.at) => {
                    let came = Came {
                        place: Arc::clone(&gone.place),
                        can_be_merged: listed.can_be_merged && can_be_merged(&name),
                    };
                    self.came.insert(path, came);
                }
                FileType::Directory => match before(listed.at - BEHIND) {
                    true => self.name(&path),
                    false => self.new_one(gone, top, relative, listed.at),
                },
                FileType::Symlink
                    if tells_moves
                        && changed.is_some_and(|at| listed.at - BEHIND < at)
                        && before(listed.at - BEHIND) =>
                {
                    self.name(&path);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What has a name that is wanted, if it is there. What cannot be looked at is named; what the source leaves out need
    /// not be, such as what another has mounted there for himself alone.
    fn stat(
        &mut self,
        gone: &Gone,
        directory: &OwnedFd,
        name: &OsStr,
        is_directory: Option<bool>,
        relative: &Path,
    ) -> Option<Stat> {
        let wants = |is_directory| wants(&gone.globs, relative, is_directory);
        // Where the listing does not tell, it may be either.
        if !is_directory.map_or_else(|| wants(false) || wants(true), wants) {
            return None;
        }
        match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                let kind = FileType::from_raw_mode(stat.st_mode);
                wants(kind == FileType::Directory).then_some(stat)
            }
            // What went meanwhile was made meanwhile, or is named by the walk.
            Err(error) if is_gone(error) => None,
            Err(error) => {
                let why =
                    format!("it may have been moved here, and could not be looked at: {error}");
                self.unknown.insert(gone.place.to.join(relative), why);
                None
            }
        }
    }

    /// A directory that was made since: what is in it may have been moved there all the same.
    fn new_one(&mut self, gone: &Gone, top: &OwnedFd, relative: PathBuf, at: Timestamp) {
        let mut directories = vec![relative];
        while let Some(relative) = directories.pop() {
            if self.ledger.is_to_stop() {
                return;
            }
            let names = open_beneath(top, &relative)
                .and_then(|directory| list_all(&directory).map(|names| (directory, names)));
            let (directory, names) = match names {
                Ok(found) => found,
                // It went meanwhile as it came.
                Err(error) if is_gone(error) => continue,
                Err(error) => {
                    let path = gone.place.to.join(&relative);
                    self.unseen(path, &format!("could not be listed: {error}"));
                    continue;
                }
            };
            for (name, is_directory) in names {
                let relative = relative.join(&name);
                let Some(stat) = self.stat(gone, &directory, &name, is_directory, &relative) else {
                    continue;
                };
                let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                let path = gone.place.to.join(&relative);
                if was_there(&directory, &name, &stat, at - BEHIND) {
                    self.name(&path);
                } else if is_directory {
                    match relative.components().count() < DEPTH_AT_MOST {
                        true => directories.push(relative),
                        false => self.unseen(path, "is too deep to be looked into"),
                    }
                }
            }
        }
    }

    fn name(&mut self, path: &Path) {
        self.unseen.insert(path.to_owned(), MOVED.to_owned());
    }

    /// Nobody knows what was moved into it.
    fn unseen(&mut self, path: PathBuf, why: &str) {
        let message = format!("it was made while its source was read, and {why}");
        self.unseen.insert(path, message);
    }
}

/// Whether a source takes a file, or something in a directory.
fn wants(globs: &Globs, relative: &Path, is_directory: bool) -> bool {
    let is_wanted = match is_directory {
        true => globs.wants_within(relative),
        false => globs.wants_file(relative),
    };
    is_wanted && !globs.excludes(relative, is_directory)
}

/// Whether an error says that it went, or that something else is in its place.
fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

/// Removes those from `found` that an archive has come across.
pub(super) fn strike_out<'a, T>(
    found: &mut BTreeMap<PathBuf, T>,
    known: impl Iterator<Item = &'a [u8]>,
) {
    for path in known {
        found.remove(Path::new(OsStr::from_bytes(path)));
    }
}

/// Whether it was made before that moment, wherever it was then.
fn was_there(directory: &OwnedFd, name: &OsStr, stat: &Stat, moment: Timestamp) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let born = statx(directory, name, flags, StatxFlags::BTIME).ok();
    let born = born.filter(|stat| stat.stx_mask & StatxFlags::BTIME.bits() != 0);
    let made = match born {
        Some(stat) => {
            let nanoseconds = i32::try_from(stat.stx_btime.tv_nsec).unwrap_or_default();
            Timestamp::new(stat.stx_btime.tv_sec, nanoseconds).ok()
        }
        None => Timestamp::from_nanosecond(node::mtime(stat).into()).ok(),
    };
    made.is_none_or(|made| made < moment)
}

/// No link on the way is followed.
fn open_beneath(top: &OwnedFd, relative: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut directory = openat(top, ".", flags, Mode::empty())?;
    for name in relative {
        directory = openat(&directory, name, flags, Mode::empty())?;
    }
    Ok(directory)
}

fn identity_of(stat: &Stat) -> Identity {
    (stat.st_dev, stat.st_ino)
}

fn state_of(stat: &Stat) -> u64 {
    let mut hasher = DefaultHasher::new();
    Seen::of(stat).hash(&mut hasher);
    hasher.finish()
}
