//! Restores of a snapshot that is made up: what comes back, and what is named.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::PathBuf,
    sync::Arc,
};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

mod look;

use super::*;
use crate::{
    backup::{
        manifests,
        repository::{Result, Special},
    },
    domain::backup::table::{hex, in_order_of_a_walk},
};

mod compared;

/// A snapshot that is made up.
#[derive(Default)]
struct Fake {
    met: Vec<Met>,
    content: HashMap<SnapshotPath, Vec<u8>>,
}

impl Fake {
    fn add(&mut self, path: &str, kind: EntryKind, change: impl FnOnce(&mut Entry)) {
        let mut entry = Entry {
            path: path.into(),
            kind,
            size: 0,
            mtime: 1_000_000_000_123_456_789,
            mode: 0o640,
            owner: None,
            shared: None,
            attributes: Vec::new(),
        };
        change(&mut entry);
        self.met.push(Met::Entry(entry));
    }

    fn file(&mut self, path: &str, content: &[u8], change: impl FnOnce(&mut Entry)) {
        self.content.insert(path.into(), content.to_vec());
        self.add(path, EntryKind::File, |entry| {
            entry.size = content.len() as u64;
            change(entry);
        });
    }

    fn directory(&mut self, path: &str, change: impl FnOnce(&mut Entry)) {
        self.add(path, EntryKind::Directory, |entry| {
            entry.mode = 0o755;
            change(entry);
        });
    }

    fn stored(&self) -> Stored {
        let files = self.content.iter().map(|(path, content)| FileRecord {
            path: path.clone(),
            size: content.len() as u64,
            mtime: 0,
            sha256: hex(&Sha256::digest(content)),
        });
        manifests::tests::stored(&files.collect::<Vec<_>>())
    }
}

impl SnapshotReader for Fake {
    fn walk(&self, each: &mut dyn FnMut(Met) -> Result<()>) -> Result<()> {
        let path = |met: &Met| match met {
            Met::Entry(entry) => entry.path.clone(),
            Met::Damaged(path, _) => path.clone(),
        };
        let mut met = self.met.clone();
        met.sort_by(|one, other| in_order_of_a_walk(path(one).as_bytes(), path(other).as_bytes()));
        met.into_iter().try_for_each(each)
    }

    fn entry(&self, _path: &SnapshotPath) -> Result<Option<Entry>> {
        Ok(None)
    }

    fn children(
        &self,
        _path: &SnapshotPath,
        _after: Option<&[u8]>,
        _most: usize,
    ) -> Result<Option<Vec<Entry>>> {
        Ok(None)
    }

    fn read(&self, file: &Entry, into: &mut dyn Write, _cancel: &CancellationToken) -> Result<()> {
        let content = &self.content[&file.path];
        into.write_all(content)
            .map_err(|error| RepositoryError::Other {
                what: "could not write".to_owned(),
                source: Some(Box::new(error)),
            })
    }
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join("new").join(path)
    }

    fn restore(&self, fake: &Fake, paths: &[SnapshotPath]) -> Restored {
        let hand = Hand {
            cancel: CancellationToken::new(),
            progress: Arc::new(|_| {}),
        };
        let into = fresh(&self.at("")).unwrap();
        let wanted = Wanted::Beginning(paths);
        restore(fake, &fake.stored(), wanted, &into, &hand).unwrap()
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn all_that_a_file_is_comes_back() {
    let mut fake = Fake::default();
    fake.directory("/a", |entry| entry.mtime = -86_400_000_000_001);
    fake.file("/a/old", b"before 1970", |entry| {
        entry.mtime = -1_500_000_000;
        entry.attributes = vec![("user.note".to_owned(), b"of mine".to_vec())];
    });
    fake.file("/a/own", b"mine", |entry| {
        entry.mode = 0o4711;
        if is_root() {
            entry.owner = Some((1234, 4321));
        }
    });
    fake.file("/a/read-only", b"stays", |entry| entry.mode = 0o400);
    fake.add("/a/link", EntryKind::Link(b"old".to_vec()), |entry| {
        entry.mtime = 1_000_000_000;
        if is_root() {
            entry.owner = Some((1, 2));
        }
    });
    let place = Place::new();

    let restored = place.restore(&fake, &[]);

    let told: Vec<String> = restored.lines().collect();
    // What set-uid is worth without its owner is another's.
    let of_own = told.iter().all(|line| line.contains("/a/own"));
    assert!(if is_root() { told.is_empty() } else { of_own }, "{told:?}");
    assert_eq!(
        (restored.files, restored.links, restored.directories),
        (3, 1, 1)
    );
    let old = fs::metadata(place.at("a/old")).unwrap();
    assert_eq!((old.mtime(), old.mtime_nsec()), (-2, 500_000_000));
    assert_eq!(old.mode() & 0o7777, 0o640);
    let above = fs::metadata(place.at("a")).unwrap();
    assert_eq!((above.mtime(), above.mtime_nsec()), (-86_401, 999_999_999));
    let mut note = [0; 16];
    let old = fs::File::open(place.at("a/old")).unwrap();
    let count = rustix::fs::fgetxattr(&old, "user.note", &mut note).unwrap();
    assert_eq!(&note[..count], b"of mine");
    let link = place.at("a/link").symlink_metadata().unwrap();
    assert_eq!(
        fs::read_link(place.at("a/link")).unwrap(),
        PathBuf::from("old")
    );
    assert_eq!(link.mtime(), 1);
    if is_root() {
        let own = fs::metadata(place.at("a/own")).unwrap();
        assert_eq!((own.uid(), own.gid()), (1234, 4321));
        assert_eq!(own.mode() & 0o7777, 0o4711);
        assert_eq!((link.uid(), link.gid()), (1, 2));
    }
}

#[test]
fn what_is_the_servers_own_belongs_to_whoever_restores_it() {
    let mut fake = Fake::default();
    fake.directory("/content", |entry| entry.owner = Some((1234, 4321)));
    fake.file("/content/ab", b"x", |entry| {
        entry.owner = Some((1234, 4321));
        entry.mode = 0o600;
    });
    let place = Place::new();
    let restored = place.restore(&fake, &[]);
    assert_eq!(restored.shortfall(), None);
    let there = fs::metadata(place.at("content/ab")).unwrap();
    assert_eq!(there.uid(), rustix::process::geteuid().as_raw());
}

#[test]
fn names_of_one_file_are_names_of_one_file_again() {
    let mut fake = Fake::default();
    let shared = Some((7, 42));
    fake.file("/one", b"same", |entry| entry.shared = shared);
    fake.directory("/below", |_| {});
    fake.file("/below/two", b"same", |entry| entry.shared = shared);
    // Its number was given anew while the backup went on.
    fake.file("/three", b"other", |entry| entry.shared = shared);
    let place = Place::new();
    let restored = place.restore(&fake, &[]);
    assert_eq!(restored.shortfall(), None);
    assert_eq!(restored.files, 3);
    let inode = |path: &str| fs::metadata(place.at(path)).unwrap().ino();
    assert_eq!(inode("one"), inode("below/two"));
    assert_ne!(inode("one"), inode("three"));
    // Of a part of them, too.
    let place = Place::new();
    let restored = place.restore(&fake, &["/below".into()]);
    assert_eq!((restored.files, restored.shortfall()), (1, None));
    assert_eq!(fs::read(place.at("below/two")).unwrap(), b"same");
}

#[test]
fn one_that_cannot_be_made_is_named_and_the_others_come_back() {
    let mut fake = Fake::default();
    let long = format!("/{}", "n".repeat(300));
    fake.file(&long, b"too long", |_| {});
    fake.directory(&format!("{long}d"), |_| {});
    fake.add(&format!("{long}l"), EntryKind::Link(b"x".to_vec()), |_| {});
    fake.file("/../out", b"leads out", |_| {});
    fake.file("/good", b"good", |_| {});
    let socket = EntryKind::Special(Special::Socket);
    fake.add("/socket", socket, |_| {});
    let place = Place::new();
    let restored = place.restore(&fake, &[]);
    assert_eq!(restored.files, 1);
    assert_eq!(restored.refused.count, 4, "{restored:?}");
    assert!(restored.damaged.is_empty(), "{restored:?}");
    assert_eq!(restored.left_out.count, 1);
    let said = restored.shortfall().unwrap();
    assert!(said.contains("4 could not be made here"), "{said}");
    assert_eq!(fs::read(place.at("good")).unwrap(), b"good");
    assert!(!place.folder.path().join("out").exists());
}

#[test]
fn a_directory_that_is_lost_is_named_with_what_was_in_it() {
    let mut fake = Fake::default();
    fake.directory("/lost", |_| {});
    fake.met
        .push(Met::Damaged("/lost".into(), "blob ab".to_owned()));
    for name in ["/lost/a", "/lost/b"] {
        fake.content.insert(name.into(), b"gone".to_vec());
    }
    fake.file("/lostandfound", b"here", |_| {});
    fake.content.insert("/nowhere".into(), b"x".to_vec());
    let place = Place::new();
    let restored = place.restore(&fake, &[]);
    assert_eq!(restored.files, 1);
    assert_eq!(restored.damaged.count, 3, "{restored:?}");
    let lines = &restored.damaged.lines;
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("/lost: blob ab") && lines[0].contains("2 files in it"));
    assert!(lines[1].starts_with("/nowhere"), "{lines:?}");
    // Nobody asked for what is lost.
    let place = Place::new();
    let restored = place.restore(&fake, &["/lostandfound".into()]);
    assert_eq!((restored.files, restored.shortfall()), (1, None));
}

#[test]
fn a_directory_that_may_not_be_written_to_is_filled_before() {
    let mut fake = Fake::default();
    fake.directory("/locked", |entry| entry.mode = 0o500);
    fake.file("/locked/inside", b"x", |_| {});
    fake.add("/locked/link", EntryKind::Link(b"inside".to_vec()), |_| {});
    let place = Place::new();
    let restored = place.restore(&fake, &[]);
    assert_eq!(restored.shortfall(), None);
    let locked = fs::metadata(place.at("locked")).unwrap();
    assert_eq!(locked.permissions().mode() & 0o7777, 0o500);
    assert_eq!(locked.mtime(), 1_000_000_000);
    fs::set_permissions(place.at("locked"), fs::Permissions::from_mode(0o700)).unwrap();
}

/// Does something as somebody who is not root, and to whom the folder belongs.
fn as_nobody<T: Send>(place: &Place, work: impl FnOnce() -> T + Send) -> T {
    if !is_root() {
        return work();
    }
    let nobody = Some(65534);
    std::os::unix::fs::chown(place.folder.path(), nobody, nobody).unwrap();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // It is this thread's alone, and that of those which it starts.
            nix::unistd::setfsgid(nix::unistd::Gid::from_raw(65534));
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
            work()
        });
        worker.join().unwrap()
    })
}

#[test]
fn what_may_not_be_set_is_named_and_set_uid_is_nobody_elses() {
    let mut fake = Fake::default();
    fake.directory("/a", |entry| entry.owner = Some((1234, 4321)));
    fake.file("/a/program", b"mine", |entry| {
        entry.mode = 0o6755;
        entry.owner = Some((1234, 4321));
    });
    fake.file("/a/plain", b"yours", |entry| {
        entry.attributes = vec![("nonsense".to_owned(), b"x".to_vec())];
    });
    fake.add("/a/link", EntryKind::Link(b"program".to_vec()), |entry| {
        entry.owner = Some((1234, 4321));
    });
    let place = Place::new();
    let restored = as_nobody(&place, || place.restore(&fake, &[]));
    assert_eq!((restored.files, restored.links), (2, 1));
    assert!(restored.damaged.is_empty() && restored.refused.is_empty());
    assert_eq!(restored.unset.count, 4, "{restored:?}");
    let lines = restored.unset.lines.join("\n");
    for what in [
        "/a: owner 1234:4321",
        "permissions 6755",
        "attribute nonsense",
    ] {
        assert!(lines.contains(what), "{what}: {lines}");
    }
    let program = fs::metadata(place.at("a/program")).unwrap();
    assert_eq!(program.mode() & 0o7777, 0o755, "it would be another's");
}
