//! Everything that files are, to be compared: content, links, owners, permissions, times, holes, attributes, names of one
//! file.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
};

use nix::{
    sys::{
        stat::{UtimensatFlags, utimensat},
        time::TimeSpec,
    },
    unistd::{Gid, Uid, chown},
};
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};

/// What one entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Likeness {
    /// The kind, and permissions with set-uid and the like.
    mode: u32,
    owner: (u32, u32),
    /// Seconds and nanoseconds.
    time: (i64, i64),
    /// Of a file, or the target of a link.
    content: Vec<u8>,
    /// Whether it takes less room than its content.
    has_holes: bool,
    /// Extended ones, access lists among them.
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path of those that are the same file.
    same_as: PathBuf,
}

impl Likeness {
    /// As it is where no holes are made.
    pub(crate) fn fill_holes(&mut self) {
        self.has_holes = false;
    }
}

/// Everything below a folder, by paths relative to it.
pub(crate) fn likeness_of(folder: &Path) -> BTreeMap<PathBuf, Likeness> {
    let mut found = BTreeMap::new();
    let mut firsts: BTreeMap<u64, PathBuf> = BTreeMap::new();
    for path in paths_in(folder) {
        let relative = path.strip_prefix(folder).unwrap().to_owned();
        let is = path.symlink_metadata().unwrap();
        let content = match (is.is_symlink(), is.is_file()) {
            (true, _) => fs::read_link(&path)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec(),
            (_, true) => fs::read(&path).unwrap(),
            _ => Vec::new(),
        };
        let first = firsts.entry(is.ino()).or_insert_with(|| relative.clone());
        let likeness = Likeness {
            mode: is.mode(),
            owner: (is.uid(), is.gid()),
            time: (is.mtime(), is.mtime_nsec()),
            has_holes: is.is_file() && is.blocks() * 512 + (1 << 20) < is.len(),
            content,
            attributes: attributes_of(&path),
            same_as: first.clone(),
        };
        found.insert(relative, likeness);
    }
    found
}

fn attributes_of(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let count = llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut found = BTreeMap::new();
    for name in names[..count].split(|byte| *byte == 0) {
        if name.is_empty() {
            continue;
        }
        let mut value = vec![0; 65_536];
        let count = lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(count);
        found.insert(name.to_vec(), value);
    }
    found
}

fn paths_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Fills a folder with one of each kind of file that there is; owners are others where this runs as root.
pub(crate) fn fill(folder: &Path) {
    let at = |name: &str| folder.join(name);
    fs::create_dir_all(at("www/deep/er")).unwrap();
    for number in 0..20 {
        let name = format!("www/{number:02}.html");
        fs::write(at(&name), format!("page {number}").repeat(100)).unwrap();
    }
    fs::write(at("www/deep/er/old"), "before 1970").unwrap();
    fs::write(at("program"), "#!/bin/sh\n").unwrap();
    fs::write(at("read-only"), "stays").unwrap();
    fs::hard_link(at("www/00.html"), at("www/deep/again.html")).unwrap();
    let disk = fs::File::create(at("disk.img")).unwrap();
    disk.set_len(8 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&disk, b"in the middle", 4 << 20).unwrap();
    symlink("www/00.html", at("link")).unwrap();
    symlink("/etc/passwd", at("www/outside")).unwrap();
    symlink("nowhere", at("www/deep/dangling")).unwrap();
    if Uid::effective().is_root() {
        let (user, group) = (Some(Uid::from_raw(1234)), Some(Gid::from_raw(4321)));
        for name in ["program", "www/01.html", "www/deep"] {
            chown(&at(name), user, group).unwrap();
        }
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &at("link"),
            user,
            group,
            nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .unwrap();
    }
    // Where the disk has such, and this may set it: the capability is to listen below port 1024. The list is `user::rw-, user:65534:r--, group::r--, mask::r--, other::---`.
    let list = [
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 254, 255, 0, 0, 4, 0, 4, 0, 255,
        255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (name, attribute, value) in [
        ("www/04.html", "security.capability", &capability[..]),
        ("disk.img", "user.note", b"of a file with holes"),
        ("www/02.html", "user.note", &b"\x00\xff odd"[..]),
        ("www/deep", "user.empty", b""),
        ("www/03.html", "system.posix_acl_access", &list),
    ] {
        let _ = lsetxattr(at(name), attribute, value, XattrFlags::empty());
    }
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("program", 0o6755);
    mode("read-only", 0o444);
    mode("www/deep/er", 0o2750);
    mode("www/deep", 0o1777);
    // Times last, from the deepest on.
    for (name, seconds) in [
        ("www/deep/er/old", -86_400),
        ("www/deep/er", -1),
        ("www/deep/dangling", 1_000_000_001),
        ("www/deep", 1_000_000_002),
        ("www", 1_000_000_003),
        ("link", 1_000_000_004),
        ("program", 1_000_000_005),
    ] {
        let time = TimeSpec::new(seconds, 123_456_789);
        let flags = UtimensatFlags::NoFollowSymlink;
        utimensat(nix::fcntl::AT_FDCWD, &at(name), &time, &time, flags).unwrap();
    }
}

/// A source of that folder, as the configuration has it.
pub(crate) fn source(name: &str, folder: &Path) -> String {
    format!(
        "[backups.sources.{name}]\npaths = [{:?}]\n",
        folder.display().to_string()
    )
}

/// Where a restore of it lies below `restored`.
pub(crate) fn restored_at(restored: &Path, name: &str, folder: &Path) -> PathBuf {
    let inside = folder.strip_prefix("/").unwrap();
    restored.join("sources").join(name).join(inside)
}

/// That both are the same, and which are not.
#[track_caller]
pub(crate) fn assert_same(is: &BTreeMap<PathBuf, Likeness>, was: &BTreeMap<PathBuf, Likeness>) {
    let shown = |one: Option<&Likeness>| {
        one.map(|one| {
            let content = one.content.len();
            format!(
                "{:o} {:?} {:?} {content} bytes, holes {}, {:?}, same as {:?}",
                one.mode, one.owner, one.time, one.has_holes, one.attributes, one.same_as
            )
        })
    };
    let paths: std::collections::BTreeSet<_> = is.keys().chain(was.keys()).collect();
    let differing: Vec<_> = paths
        .into_iter()
        .filter(|path| is.get(*path) != was.get(*path))
        .map(|path| (path, shown(is.get(path)), shown(was.get(path))))
        .collect();
    assert!(differing.is_empty(), "(path, is, was): {differing:#?}");
}
