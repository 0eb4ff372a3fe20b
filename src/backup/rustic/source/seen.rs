//! The state of a file between two looks: whether it is the same, and how coarse the times are that tell.

use std::{os::fd::AsFd, path::Path};

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{CWD, Mode, OFlags, Stat, fstatfs, openat};

use super::node;
use crate::clock::wall_now;

/// For so long a change may leave a file's times as they are, where they are those of the kernel's last tick.
const TICK: SignedDuration = SignedDuration::from_millis(10);
/// The same where times are whole seconds (ext3, HFS+) or every other second (FAT), or those of another machine.
pub(super) const COARSE: SignedDuration = SignedDuration::from_secs(2);

/// The kernel's ticks are never ahead of its clock by more.
const AHEAD: SignedDuration = SignedDuration::from_millis(1);

/// File systems whose times are coarse, or of another machine's making, by the numbers that `statfs` has for them.
const COARSE_KINDS: [i64; 11] = [
    0x4d44,      // FAT
    0x2011_bab0, // exFAT
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB 2
    0x4244,      // HFS
    0x482b,      // HFS+
    0x0102_1997, // 9P
    0x6573_5546, // FUSE
    0x7377,      // Amiga FFS and what is as old
];

/// What tells that a file has been changed or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    /// Nanoseconds since the Unix epoch.
    pub(super) mtime: i64,
    ctime: Option<Timestamp>,
    links: u64,
}

impl Seen {
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: node::size(stat),
            mtime: node::mtime(stat),
            ctime: node::changed_at(stat),
            links: stat.st_nlink,
        }
    }

    /// Whether what was read between two looks at an open file is one state of it. A name that came or went, as where
    /// another file took its place, changes its `ctime` and nothing in it.
    pub(super) fn has_same_content_as(&self, later: &Self) -> bool {
        let same_file = (self.device, self.inode) == (later.device, later.inode);
        let same_state = (self.size, self.mtime) == (later.size, later.mtime);
        same_file && same_state && (self.ctime == later.ctime || self.links != later.links)
    }
}

/// How coarse the times of files of a file system are.
pub(super) fn grain_of(on: impl AsFd) -> SignedDuration {
    let Ok(found) = fstatfs(on) else {
        return COARSE;
    };
    grain_of_kind(found.f_type)
}

pub(super) fn grain_of_path(path: &Path) -> SignedDuration {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_or(COARSE, grain_of)
}

fn grain_of_kind(kind: i64) -> SignedDuration {
    // The number has 32 bits, and comes with its sign on some machines.
    match COARSE_KINDS.contains(&(kind & 0xffff_ffff)) {
        true => COARSE,
        false => TICK,
    }
}

/// How long after its last change a file could change once more and look the same.
pub(super) fn grain(stat: &Stat, of_its_kind: SignedDuration) -> SignedDuration {
    // Old kinds of ext tell nothing below a second; the number of the kind is that of the new ones.
    match stat.st_ctime_nsec == 0 {
        true => of_its_kind.max(COARSE),
        false => of_its_kind,
    }
}

/// Whether a file that is looked at `now` could change after that and look the same.
pub(super) fn is_fresh(stat: &Stat, of_its_kind: SignedDuration, now: Timestamp) -> bool {
    let grain = grain(stat, of_its_kind);
    let within = |at: Option<Timestamp>| at.is_some_and(|at| now.duration_since(at) <= grain);
    within(node::changed_at(stat))
}

/// Whether a file's times are those of a clock that is ahead of this one: nobody waits for that.
pub(super) fn is_of_the_future(stat: &Stat) -> bool {
    node::changed_at(stat).is_some_and(|at| AHEAD < at.duration_since(wall_now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_file_systems_with_coarse_times_are_known() {
        for (kind, grain) in [
            (0x4d44, COARSE),
            (0x6969, COARSE),
            (i64::from(0xff53_4d42_u32.cast_signed()), COARSE),
            (0xef53, TICK),
            (0x5846_5342, TICK),
            (0x0102_1994, TICK),
        ] {
            assert_eq!(grain_of_kind(kind), grain, "{kind:x}");
        }
    }

    #[test]
    fn a_file_is_fresh_for_as_long_as_its_times_are_coarse() {
        let mut stat = rustix::fs::stat("/").unwrap();
        stat.st_ctime = 1_000_000;
        let after = |millis: i64| {
            Timestamp::from_second(1_000_000).unwrap() + SignedDuration::from_millis(millis)
        };
        stat.st_ctime_nsec = 1;
        assert!(is_fresh(&stat, TICK, after(9)));
        assert!(!is_fresh(&stat, TICK, after(11)));
        assert!(is_fresh(&stat, COARSE, after(1900)));
        assert!(!is_fresh(&stat, COARSE, after(2100)));
        stat.st_ctime_nsec = 0;
        assert!(
            is_fresh(&stat, TICK, after(1900)),
            "whole seconds are coarse whatever the kind"
        );
        assert!(is_fresh(&stat, TICK, after(-60_000)), "it is of the future");
    }
}
