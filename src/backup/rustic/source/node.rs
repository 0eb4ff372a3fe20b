//! What a snapshot says of an entry of the disk.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use jiff::{SignedDuration, Timestamp};
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustix::fs::{FileType, Stat};

/// Bits of a mode as Go has them, and with it restic's format.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_LINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_FIFO: u32 = 1 << 25;
const GO_SOCKET: u32 = 1 << 24;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_CHARACTER_DEVICE: u32 = 1 << 21;
const GO_STICKY: u32 = 1 << 20;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
const STICKY: u32 = 0o1000;

/// Of a file that is `fresh` it is known that it could change once more after it was read, and look the same. Such a one
/// gets a time that it will not have when it is looked at again, so that it is read again.
pub(in super::super) fn file(name: &OsStr, stat: &Stat, fresh: bool) -> Node {
    let mut metadata = metadata(stat);
    metadata.size = size(stat);
    if let Some(changed) = metadata.ctime
        && fresh
    {
        let nanosecond = SignedDuration::from_nanos(1);
        metadata.ctime = changed.checked_add(nanosecond).ok();
    }
    Node::new_node(name, NodeType::File, metadata)
}

pub(super) fn directory(name: &OsStr, stat: &Stat) -> Node {
    Node::new_node(name, NodeType::Dir, metadata(stat))
}

/// A directory that is on no disk: what a source lies in.
pub(super) fn made_up_directory(name: &OsStr, time: Timestamp) -> Node {
    let metadata = Metadata {
        mode: Some(GO_DIRECTORY | 0o755),
        mtime: Some(time),
        atime: Some(time),
        ctime: Some(time),
        ..Metadata::default()
    };
    Node::new_node(name, NodeType::Dir, metadata)
}

/// A directory above what is added to a snapshot that has it: it has no times, by which the merging knows the real one.
pub(super) fn directory_above(name: &OsStr) -> Node {
    let metadata = Metadata {
        mode: Some(GO_DIRECTORY | 0o755),
        ..Metadata::default()
    };
    Node::new_node(name, NodeType::Dir, metadata)
}

pub(super) fn link(name: &OsStr, stat: &Stat, target: &[u8]) -> Node {
    let target = Path::new(OsStr::from_bytes(target));
    Node::new_node(name, NodeType::from_link(target), metadata(stat))
}

/// A device, socket or fifo; none where it is something that there is no word for.
pub(super) fn special(name: &OsStr, stat: &Stat) -> Option<Node> {
    let device = stat.st_rdev;
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::BlockDevice => NodeType::Dev { device },
        FileType::CharacterDevice => NodeType::Chardev { device },
        FileType::Fifo => NodeType::Fifo,
        FileType::Socket => NodeType::Socket,
        _ => return None,
    };
    Some(Node::new_node(name, kind, metadata(stat)))
}

pub(super) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// Nanoseconds since the Unix epoch.
pub(super) fn mtime(stat: &Stat) -> i64 {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    stat.st_mtime
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// The last change of its content, its names or what is known of it.
pub(super) fn changed_at(stat: &Stat) -> Option<Timestamp> {
    instant(stat.st_ctime, stat.st_ctime_nsec)
}

fn metadata(stat: &Stat) -> Metadata {
    let links = stat.st_nlink;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    Metadata {
        mode: Some(go_mode(stat.st_mode)),
        mtime: instant(stat.st_mtime, stat.st_mtime_nsec),
        // Who only reads a file changes nothing that is worth another tree.
        atime: instant(stat.st_mtime, stat.st_mtime_nsec),
        ctime: instant(stat.st_ctime, stat.st_ctime_nsec),
        uid: Some(stat.st_uid),
        gid: Some(stat.st_gid),
        inode: stat.st_ino,
        // It is another one after each start of some machines, and needed to know files with several names.
        device_id: if links > 1 && !is_directory {
            stat.st_dev
        } else {
            0
        },
        links: if is_directory { 0 } else { links },
        ..Metadata::default()
    }
}

fn instant(seconds: impl TryInto<i64>, nanoseconds: impl TryInto<i32>) -> Option<Timestamp> {
    let seconds = seconds.try_into().ok()?;
    Timestamp::new(seconds, nanoseconds.try_into().ok()?).ok()
}

fn go_mode(mode: u32) -> u32 {
    let mut go = mode & 0o777;
    go |= match FileType::from_raw_mode(mode) {
        FileType::Directory => GO_DIRECTORY,
        FileType::Symlink => GO_LINK,
        FileType::BlockDevice => GO_DEVICE,
        FileType::CharacterDevice => GO_DEVICE | GO_CHARACTER_DEVICE,
        FileType::Fifo => GO_FIFO,
        FileType::Socket => GO_SOCKET,
        _ => 0,
    };
    for (unix, bit) in [
        (SETUID, GO_SETUID),
        (SETGID, GO_SETGID),
        (STICKY, GO_STICKY),
    ] {
        if mode & unix != 0 {
            go |= bit;
        }
    }
    go
}

/// Unix permissions of a mode as Go has it.
pub(in super::super) fn unix_permissions(go: u32) -> u32 {
    let mut mode = go & 0o777;
    for (unix, bit) in [
        (SETUID, GO_SETUID),
        (SETGID, GO_SETGID),
        (STICKY, GO_STICKY),
    ] {
        if go & bit != 0 {
            mode |= unix;
        }
    }
    mode
}
