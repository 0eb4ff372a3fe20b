//! Restores put in place: beside their directory, in a disk, after a kill in between, and where `/proc` is not.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use rustix::fs::OFlags;
use uuid::Uuid;

use super::*;
use crate::backup::restore_left::Places;

struct Ground {
    folder: tempfile::TempDir,
    run: RunId,
}

impl Ground {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            run: RunId(Uuid::now_v7()),
        }
    }

    fn roots(&self) -> Vec<PathBuf> {
        vec![self.folder.path().to_owned()]
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn make(&self, directory: &str) -> anyhow::Result<Unfinished> {
        Unfinished::make(&self.roots(), &self.at(directory), self.run)
    }

    /// Two entries, under the other name.
    fn filled(&self, directory: &str) -> Unfinished {
        let unfinished = self.make(directory).unwrap();
        let into = unfinished.open().unwrap();
        for name in ["content", "sources"] {
            let opened = into.make(&[name.as_bytes(), b"deep"]).unwrap();
            let flags = OFlags::WRONLY | OFlags::CREATE;
            openat(&opened, "file", flags, Mode::RUSR).unwrap();
        }
        unfinished
    }

    fn finish(&self, directory: &str, placing: &Placing) -> Option<Beneath> {
        finish_placing(&self.roots(), &self.at(directory), self.run, placing).unwrap()
    }

    fn is_whole(&self, directory: &str) {
        for name in ["content", "sources"] {
            let file = self.at(directory).join(name).join("deep/file");
            assert!(file.exists(), "{}", file.display());
        }
    }

    /// Nothing under another name, in there and beside it.
    fn has_no_other(&self, directory: &str) {
        for folder in [self.at(directory), self.folder.path().to_owned()] {
            for entry in fs::read_dir(folder).unwrap() {
                let name = entry.unwrap().file_name();
                assert!(!name.to_string_lossy().contains("unfinished"), "{name:?}");
            }
        }
    }
}

#[test]
fn a_new_directory_and_an_empty_one_are_taken() {
    let ground = Ground::new();
    fs::create_dir(ground.at("empty")).unwrap();
    for directory in ["new", "below/new", "empty"] {
        let unfinished = ground.filled(directory);
        let placing = unfinished.sync().unwrap();
        assert!(!placing.is_in_it());
        unfinished.place(&placing).unwrap();
        ground.is_whole(directory);
        ground.has_no_other(directory);
    }
}

/// A directory with what a disk has from its making, or that one is mounted at, cannot be replaced by another.
#[test]
fn what_is_restored_comes_to_lie_on_the_disk_that_is_there() {
    let ground = Ground::new();
    fs::create_dir_all(ground.at("disk/lost+found")).unwrap();
    let unfinished = ground.filled("disk");
    assert_eq!(fs::read_dir(ground.folder.path()).unwrap().count(), 1);
    let placing = unfinished.sync().unwrap();
    assert!(placing.is_in_it());
    unfinished.place(&placing).unwrap();
    ground.is_whole("disk");
    ground.has_no_other("disk");
    assert!(ground.at("disk/lost+found").is_dir());
    assert!(is_mount(rustix::fs::CWD, Path::new("/proc")));
    assert!(!is_mount(rustix::fs::CWD, ground.folder.path()));
}

#[test]
fn what_is_there_stays_what_it_is() {
    let ground = Ground::new();
    for directory in ["mine", "disk"] {
        fs::create_dir(ground.at(directory)).unwrap();
    }
    fs::create_dir(ground.at("disk/lost+found")).unwrap();
    fs::write(ground.at("mine/file"), "of mine").unwrap();
    let refused = ground.make("mine").map(drop).unwrap_err();
    assert!(format!("{refused:#}").contains("not empty"), "{refused:#}");
    // It came while the restore was under way.
    let unfinished = ground.filled("disk");
    let placing = unfinished.sync().unwrap();
    fs::create_dir(ground.at("disk/sources")).unwrap();
    fs::write(ground.at("disk/sources/file"), "of mine").unwrap();
    let refused = unfinished.place(&placing).unwrap_err();
    assert!(
        format!("{refused:#}").contains("never writes over"),
        "{refused:#}"
    );
    assert!(!ground.at("disk/content").exists(), "all of it, or nothing");
    let mine = fs::read_to_string(ground.at("disk/sources/file")).unwrap();
    assert_eq!(mine, "of mine");
}

/// As if the process had been killed at each of its moments from then on that all was on the disk.
#[test]
fn what_a_kill_has_interrupted_is_put_in_place_once() {
    for directory in ["new", "disk"] {
        for moved in 0..=3 {
            let ground = Ground::new();
            fs::create_dir_all(ground.at("disk/lost+found")).unwrap();
            let mut unfinished = ground.filled(directory);
            let placing = unfinished.sync().unwrap();
            let spot = &unfinished.spot;
            match (directory, moved) {
                (_, 3) => assert!(spot.put(&placing).unwrap()),
                ("disk", moved) => {
                    for name in ["content", "sources"].into_iter().take(moved) {
                        renameat(&unfinished.staged, name, &*spot.within, name).unwrap();
                    }
                }
                _ => {}
            }
            // Nothing that is killed removes what it has made.
            unfinished.spot.name.clear();
            drop(unfinished);
            for _ in 0..2 {
                let opened = ground.finish(directory, &placing).unwrap();
                opened.open(&[b"content", b"deep"]).unwrap();
                ground.is_whole(directory);
                ground.has_no_other(directory);
            }
        }
    }
}

/// Does something as somebody who is not root, and to whom the folder belongs.
fn as_nobody(ground: &Ground, work: impl FnOnce() + Send) {
    if !rustix::process::geteuid().is_root() {
        return work();
    }
    let nobody = 65534;
    std::os::unix::fs::chown(ground.folder.path(), Some(nobody), Some(nobody)).unwrap();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // It is this thread's alone.
            nix::unistd::setfsgid(nix::unistd::Gid::from_raw(nobody));
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(nobody));
            work();
        });
        worker.join().unwrap();
    });
}

/// Whoever is not root may not move one that he may not write in.
#[test]
fn a_directory_that_is_not_writable_comes_to_lie_on_a_disk() {
    let ground = Ground::new();
    let run = || {
        fs::create_dir_all(ground.at("disk/lost+found")).unwrap();
        let unfinished = ground.filled("disk");
        let staged = ground.at("disk").join(&unfinished.spot.name);
        let mode = |path: PathBuf, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(staged.join("content"), 0o555);
        mode(staged.join("sources"), 0o511);
        let placing = unfinished.sync().unwrap();
        unfinished.place(&placing).unwrap();
    };
    as_nobody(&ground, run);
    ground.is_whole("disk");
    for (name, mode) in [("content", 0o555), ("sources", 0o511)] {
        let there = ground.at("disk").join(name);
        let set = fs::metadata(&there).unwrap().permissions().mode();
        assert_eq!(set & 0o7777, mode, "{name}");
        // It is to go with its folder.
        fs::set_permissions(there, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

/// Nobody must take it for a place where nothing is yet, nor forget which of it is the restore's.
#[test]
fn a_part_whose_rest_is_gone_is_named() {
    let ground = Ground::new();
    fs::create_dir_all(ground.at("disk/lost+found")).unwrap();
    let unfinished = ground.filled("disk");
    let placing = unfinished.sync().unwrap();
    let in_place = || {
        let places = Places::of(&ground.roots(), &ground.at("disk")).unwrap();
        places.names(&placing).unwrap()
    };
    assert_eq!(in_place(), [""; 0]);
    let spot = &unfinished.spot;
    renameat(&unfinished.staged, "content", &*spot.within, "content").unwrap();
    drop(unfinished);
    assert_eq!(in_place(), ["content"]);
    let told = finish_placing(&ground.roots(), &ground.at("disk"), ground.run, &placing);
    let told = told.map(drop).unwrap_err();
    assert!(told.is::<Lasting>(), "{told:#}");
    assert!(told.to_string().contains("content"), "{told:#}");
    // Of the same name, and another's.
    fs::rename(ground.at("disk/content"), ground.at("aside")).unwrap();
    fs::create_dir(ground.at("disk/content")).unwrap();
    assert_eq!(in_place(), [""; 0]);
}

#[test]
fn what_another_has_put_there_is_not_taken_for_what_was_restored() {
    for directory in ["new", "disk"] {
        let ground = Ground::new();
        fs::create_dir_all(ground.at("disk/lost+found")).unwrap();
        let unfinished = ground.filled(directory);
        let placing = unfinished.sync().unwrap();
        unfinished.place(&placing).unwrap();
        for name in ["content", "sources"] {
            fs::remove_dir_all(ground.at(directory).join(name)).unwrap();
        }
        if directory == "new" {
            fs::remove_dir(ground.at("new")).unwrap();
        }
        assert!(ground.finish(directory, &placing).is_none(), "{directory}");
        fs::create_dir_all(ground.at(directory).join("content")).unwrap();
        assert!(ground.finish(directory, &placing).is_none(), "{directory}");
    }
}

/// Another attempt of the run that was given up would put in place what this one is at.
#[test]
fn an_attempt_puts_nothing_in_place_but_its_own() {
    let ground = Ground::new();
    let first = ground.filled("new");
    let placing = first.sync().unwrap();
    let second = ground.make("new").unwrap();
    first.place(&placing).unwrap_err();
    assert!(!ground.at("new").exists());
    let placing = second.sync().unwrap();
    second.place(&placing).unwrap();
    assert_eq!(fs::read_dir(ground.at("new")).unwrap().count(), 0);
}

/// Does something where nothing is but a folder: `/proc` is not either.
fn without_proc<T: Send>(folder: &Path, work: impl FnOnce() -> T + Send) -> Option<T> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            // From now on its root is its own, and that of the threads that it starts.
            #[expect(
                deprecated,
                reason = "the other one is unsafe, which this is not with FS alone"
            )]
            rustix::thread::unshare(rustix::thread::UnshareFlags::FS).ok()?;
            rustix::process::chroot(folder).ok()?;
            assert!(!Path::new("/proc").exists());
            Some(work())
        });
        worker.join().unwrap()
    })
}

#[test]
fn leftovers_go_where_proc_is_not_mounted() {
    let ground = Ground::new();
    let (run, directory) = (ground.run, Path::new("/root/new"));
    let [_, name] = names_of_left(directory, run);
    let left = ground.at("root").join(&name);
    fs::create_dir_all(left.join("decrypted/files")).unwrap();
    let done = without_proc(ground.folder.path(), || {
        let roots = [PathBuf::from("/root")];
        let unfinished = Unfinished::make(&roots, directory, run).unwrap();
        assert_eq!(fs::read_dir(format!("/root/{name}")).unwrap().count(), 0);
        let placing = unfinished.sync().unwrap();
        unfinished.place(&placing).unwrap();
    });
    if done.is_some() {
        assert!(ground.at("root/new").is_dir());
    }
}
