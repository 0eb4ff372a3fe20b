//! What an entry is besides its content: owner, extended attributes, permissions, times. Set by the rights that there
//! are; what could not be set is said.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::{
    fs::{
        AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown,
        fgetxattr, fsetxattr, fstat, futimens, lgetxattr, lsetxattr, statat, utimensat,
    },
    io::Errno,
};

use crate::backup::repository::{Entry, EntryKind};

const NANOS: i64 = 1_000_000_000;
/// Set-uid and set-gid.
const OF_ITS_OWNER: u32 = 0o6000;
/// Ends what is said of something that was accepted and is otherwise all the same.
const UNTOLD: &str = ", without an error)";
/// Seconds that a file system may round a time by, as FAT does.
const GRAIN: u64 = 2;

/// Sets everything of a file or directory that is open; says what could not be set. Without `owned` it stays whoever's
/// it is.
pub(super) fn set(file: BorrowedFd<'_>, entry: &Entry, owned: bool) -> Vec<String> {
    let mut lacks = Vec::new();
    let wanted = entry.owner.filter(|_| owned);
    let has_owner = match (wanted, fstat(file)) {
        (None, _) => entry.owner.is_none(),
        (Some(owner), Ok(stat)) if owner == (stat.st_uid, stat.st_gid) => true,
        (Some((uid, gid)), _) => {
            let group = Some(Gid::from_raw(gid));
            let set = fchown(file, Some(Uid::from_raw(uid)), group);
            if let Err(error) = set {
                // A group of one's own may be set by anyone.
                let _ = fchown(file, None, group);
                lacks.push(format!("owner {uid}:{gid} ({error})"));
            }
            set.is_ok()
        }
    };
    for (name, value) in &entry.attributes {
        let name = name.as_str();
        if let Err(error) = fsetxattr(file, name, value, XattrFlags::empty())
            && !has_attribute(file, name, value).unwrap_or(false)
        {
            lacks.push(attribute(name, error));
        }
    }
    // Set-uid is the right to be its owner: it would be another's.
    let mode = match has_owner {
        true => entry.mode & 0o7777,
        false => entry.mode & 0o7777 & !OF_ITS_OWNER,
    };
    if let Err(error) = fchmod(file, Mode::from_raw_mode(mode)) {
        lacks.push(format!("permissions {mode:o} ({error})"));
    }
    if let Err(error) = futimens(file, &times(entry)) {
        lacks.push(format!("time ({error})"));
    }
    // What was accepted and not done is no better.
    match fstat(file) {
        Ok(stat) => {
            let mut differing = differs(&stat, entry, owned);
            differing.extend(attributes_differ(file, entry));
            let mut differing = untold(differing, &lacks);
            // Without the owner, the right to be it was not asked for.
            let is_followed = !has_owner
                && wanted.is_some()
                && (stat.st_mode ^ entry.mode) & 0o7777 & !OF_ITS_OWNER == 0;
            for lack in &mut differing {
                if !(is_followed && lack.starts_with("permissions ")) {
                    mark_untold(lack);
                }
            }
            lacks.extend(differing);
        }
        Err(error) => lacks.push(format!("could not look at it ({error})")),
    }
    lacks
}

/// Sets everything of a link that can be set of one, and never follows it.
pub(super) fn set_of_link(
    directory: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    owned: bool,
) -> Vec<String> {
    let mut lacks = Vec::new();
    if let Some((uid, gid)) = entry.owner.filter(|_| owned) {
        let is = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| (uid, gid) == (stat.st_uid, stat.st_gid));
        let (user, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if !is && let Err(error) = chownat(directory, name, user, group, flags) {
            lacks.push(format!("owner {uid}:{gid} ({error})"));
        }
    }
    let path = by_proc(directory, name);
    for (name, value) in &entry.attributes {
        let name = name.as_str();
        if let Err(error) = lsetxattr(path.as_slice(), name, value, XattrFlags::empty())
            && !link_has_attribute(&path, name, value).unwrap_or(false)
        {
            lacks.push(match error {
                Errno::NOENT => format!(
                    "attribute {} (/proc is not mounted, by way of which those of links are set)",
                    name.escape_debug()
                ),
                error => attribute(name, error),
            });
        }
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    if let Err(error) = utimensat(directory, name, &times(entry), flags) {
        lacks.push(format!("time ({error})"));
    }
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => {
            let mut differing = differs(&stat, entry, owned);
            differing.extend(attributes_of_link_differ(directory, name, entry));
            let mut differing = untold(differing, &lacks);
            differing.iter_mut().for_each(mark_untold);
            lacks.extend(differing);
        }
        Err(error) => lacks.push(format!("could not look at it ({error})")),
    }
    lacks
}

/// Says what of an entry is otherwise where it lies. Of a link, there are no permissions.
pub(super) fn differs(stat: &Stat, entry: &Entry, owned: bool) -> Vec<String> {
    let mut more = Vec::new();
    if let Some((uid, gid)) = entry.owner.filter(|_| owned)
        && (stat.st_uid, stat.st_gid) != (uid, gid)
    {
        more.push(format!(
            "owner {uid}:{gid} (it is {}:{})",
            stat.st_uid, stat.st_gid
        ));
    }
    // Of what stays the server's own, set-uid is not wanted either.
    let wanted = match owned {
        true => entry.mode & 0o7777,
        false => entry.mode & 0o7777 & !OF_ITS_OWNER,
    };
    let is = stat.st_mode & 0o7777;
    if is != wanted && !matches!(entry.kind, EntryKind::Link(_)) {
        more.push(format!("permissions {wanted:o} (they are {is:o})"));
    }
    let seconds = entry.mtime.div_euclid(NANOS);
    if GRAIN < stat.st_mtime.abs_diff(seconds) {
        let is = stat.st_mtime;
        more.push(format!("time (it is {is} seconds, and was {seconds})"));
    }
    more
}

/// Says which extended attributes of an open file or directory are otherwise.
pub(super) fn attributes_differ(file: BorrowedFd<'_>, entry: &Entry) -> Vec<String> {
    let has = |name: &str, value: &[u8]| has_attribute(file, name, value);
    differing(entry, has)
}

/// Says which extended attributes of a link are otherwise.
pub(super) fn attributes_of_link_differ(
    directory: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
) -> Vec<String> {
    let path = by_proc(directory, name);
    differing(entry, |name, value| link_has_attribute(&path, name, value))
}

fn differing(entry: &Entry, has: impl Fn(&str, &[u8]) -> Result<bool, Errno>) -> Vec<String> {
    let all = entry.attributes.iter();
    let said = all.filter_map(|(name, value)| match has(name, value) {
        Ok(true) => None,
        Ok(false) => Some(format!(
            "attribute {} (it has another value)",
            name.escape_debug()
        )),
        Err(error) => Some(attribute(name, error)),
    });
    said.collect()
}

/// Says of a lack that no error has told it.
fn mark_untold(lack: &mut String) {
    if lack.ends_with(')') {
        lack.pop();
        lack.push_str(UNTOLD);
    }
}

/// Whether no error has told a lack: whoever restores has the right to it, and it is otherwise.
pub(super) fn is_untold(lack: &str) -> bool {
    lack.ends_with(UNTOLD)
}

/// Those that nothing was said of yet.
pub(super) fn untold(mut differing: Vec<String>, told: &[String]) -> Vec<String> {
    differing.retain(|one| !told.iter().any(|told| about(told) == about(one)));
    differing
}

/// What a lack is about.
fn about(lack: &str) -> &str {
    let end = if lack.starts_with("attribute ") {
        " ("
    } else {
        " "
    };
    lack.split_once(end).map_or(lack, |(about, _)| about)
}

fn has_attribute(file: BorrowedFd<'_>, name: &str, value: &[u8]) -> Result<bool, Errno> {
    let mut there = Vec::with_capacity(value.len() + 1);
    match fgetxattr(file, name, rustix::buffer::spare_capacity(&mut there)) {
        Ok(_) => Ok(there == value),
        // It is longer.
        Err(Errno::RANGE) => Ok(false),
        Err(error) => Err(error),
    }
}

fn link_has_attribute(path: &[u8], name: &str, value: &[u8]) -> Result<bool, Errno> {
    let mut there = Vec::with_capacity(value.len() + 1);
    match lgetxattr(path, name, rustix::buffer::spare_capacity(&mut there)) {
        Ok(_) => Ok(there == value),
        Err(Errno::RANGE) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The path of something in an open directory, by way of `/proc`.
fn by_proc(directory: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.mtime.div_euclid(NANOS),
        tv_nsec: entry.mtime.rem_euclid(NANOS),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

fn attribute(name: &str, error: Errno) -> String {
    format!("attribute {} ({error})", name.escape_debug())
}
