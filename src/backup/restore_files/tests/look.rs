//! What came back otherwise without a word is found by a look at it, and what was told is no news.

use std::{
    fs::{FileTimes, Permissions},
    os::unix::fs::symlink,
    path::Path,
    time::SystemTime,
};

use super::*;

/// One of each kind of entry.
fn everything() -> Fake {
    let mut fake = Fake::default();
    fake.directory("/a", |_| {});
    fake.directory("/a/empty", |_| {});
    let shared = Some((7, 42));
    fake.file("/a/one", b"same", |entry| entry.shared = shared);
    fake.file("/a/two", b"same", |entry| entry.shared = shared);
    fake.file("/a/three", b"alone", |entry| {
        entry.attributes = vec![("user.note".to_owned(), b"of mine".to_vec())];
    });
    fake.add("/a/link", EntryKind::Link(b"three".to_vec()), |_| {});
    fake
}

fn hand() -> Hand {
    Hand {
        cancel: CancellationToken::new(),
        progress: Arc::new(|_| {}),
    }
}

/// Restores all of it as a drill does, has something done to it, and looks: at what differs, and at what is not seen.
fn looked_at(place: &Place, fake: &Fake, change: impl FnOnce(&Path)) -> (Vec<String>, Vec<String>) {
    let stored = fake.stored();
    let files: Vec<FileRecord> = stored.files().unwrap().map(|file| file.unwrap()).collect();
    let sample = files.iter().map(|file| &file.path).collect();
    let wanted = Wanted::Sample(&sample, 100);
    let into = fresh(&place.at("")).unwrap();
    let restored = restore(fake, &stored, wanted, &into, &hand()).unwrap();
    assert_eq!((restored.links, restored.directories), (1, 2));
    change(&place.at("a"));
    let there = (&into, &restored.unset_of);
    let looked = look(fake, &stored, (&files, wanted), there, &hand()).unwrap();
    (looked.differing.lines, looked.unseen.lines)
}

/// Keeps what is in the directory from changing its time.
fn quietly(directory: &Path, change: impl FnOnce()) {
    let before = fs::metadata(directory).unwrap().modified().unwrap();
    change();
    fs::File::open(directory)
        .unwrap()
        .set_modified(before)
        .unwrap();
}

#[test]
fn what_came_back_otherwise_is_found_whatever_it_is() {
    type Change = (&'static str, fn(&Path));
    let changes: [Change; 12] = [
        ("/a/three: it came back without permissions", |a| {
            fs::set_permissions(a.join("three"), Permissions::from_mode(0o604)).unwrap();
        }),
        ("/a/three: it came back without time", |a| {
            let other = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
            let file = fs::File::open(a.join("three")).unwrap();
            file.set_times(other).unwrap();
        }),
        (
            "/a/three: it came back without attribute user.note (it has another",
            |a| {
                let file = fs::File::open(a.join("three")).unwrap();
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::fsetxattr(&file, "user.note", b"not mine", flags).unwrap();
            },
        ),
        (
            "/a/three: it came back without attribute user.note (No data",
            |a| {
                let file = fs::File::open(a.join("three")).unwrap();
                rustix::fs::fremovexattr(&file, "user.note").unwrap();
            },
        ),
        ("/a/three has 5 bytes and the SHA-256", |a| {
            let path = a.join("three");
            let before = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, "other").unwrap();
            fs::File::open(&path).unwrap().set_modified(before).unwrap();
        }),
        ("/a/three: what it was did not come back", |a| {
            quietly(a, || {
                fs::remove_file(a.join("three")).unwrap();
                symlink("one", a.join("three")).unwrap();
            });
        }),
        (
            "/a/two: it was the same file as /a/one, and is another",
            |a| {
                quietly(a, || {
                    let two = a.join("two");
                    let before = fs::metadata(&two).unwrap().modified().unwrap();
                    fs::remove_file(&two).unwrap();
                    fs::write(&two, "same").unwrap();
                    fs::set_permissions(&two, Permissions::from_mode(0o640)).unwrap();
                    fs::File::open(&two).unwrap().set_modified(before).unwrap();
                });
            },
        ),
        (
            "/a/link: it came back without target three (it is one)",
            |a| {
                quietly(a, || again(&a.join("link"), "one"));
            },
        ),
        ("/a/link: it came back without time", |a| {
            quietly(a, || {
                fs::remove_file(a.join("link")).unwrap();
                symlink("three", a.join("link")).unwrap();
            });
        }),
        ("/a/link: what it was did not come back", |a| {
            quietly(a, || fs::remove_file(a.join("link")).unwrap());
        }),
        ("/a/empty: what it was did not come back", |a| {
            quietly(a, || fs::remove_dir(a.join("empty")).unwrap());
        }),
        (
            "/a: it came back without permissions 755 (they are 700)",
            |a| {
                fs::set_permissions(a, Permissions::from_mode(0o700)).unwrap();
            },
        ),
    ];
    let place = Place::new();
    let (differing, unseen) = looked_at(&place, &everything(), |_| {});
    assert_eq!((differing.len(), unseen.len()), (0, 0), "{differing:?}");
    for (says, change) in changes {
        let place = Place::new();
        let (differing, _) = looked_at(&place, &everything(), change);
        assert_eq!(differing.len(), 1, "{says}: {differing:?}");
        assert!(differing[0].starts_with(says), "{says}: {differing:?}");
    }
}

/// Makes a link anew that leads elsewhere, of the same time.
fn again(link: &Path, target: &str) {
    let before = fs::symlink_metadata(link).unwrap();
    fs::remove_file(link).unwrap();
    symlink(target, link).unwrap();
    let time = rustix::fs::Timespec {
        tv_sec: before.mtime(),
        tv_nsec: before.mtime_nsec(),
    };
    let times = rustix::fs::Timestamps {
        last_access: time,
        last_modification: time,
    };
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, link, &times, flags).unwrap();
}

#[test]
fn two_files_that_have_become_one_are_found() {
    let mut fake = everything();
    fake.file("/a/four", b"alone", |_| {});
    let place = Place::new();
    let (differing, _) = looked_at(&place, &fake, |a| {
        quietly(a, || {
            fs::remove_file(a.join("four")).unwrap();
            fs::hard_link(a.join("three"), a.join("four")).unwrap();
        });
    });
    let said = differing.join("\n");
    assert!(
        said.contains("the same file as /a/four now, and was not"),
        "{said}"
    );
}

#[test]
fn an_owner_that_came_back_otherwise_is_found() {
    if !is_root() {
        return;
    }
    let mut fake = everything();
    fake.file("/a/own", b"mine", |entry| entry.owner = Some((1234, 4321)));
    let place = Place::new();
    let (differing, _) = looked_at(&place, &fake, |a| {
        std::os::unix::fs::chown(a.join("own"), Some(1235), None).unwrap();
    });
    let said = "/a/own: it came back without owner 1234:4321 (it is 1235:4321)";
    assert_eq!(differing, [said]);
}

#[test]
fn what_could_not_be_set_is_no_news_and_anything_else_is() {
    let mut fake = everything();
    fake.file("/a/program", b"mine", |entry| {
        entry.mode = 0o6755;
        entry.owner = Some((1234, 4321));
    });
    // Its owner was another, who could read it.
    fake.file("/a/closed", b"theirs", |entry| {
        entry.mode = 0o040;
        entry.owner = Some((1234, 4321));
    });
    let place = Place::new();
    let (differing, unseen) = as_nobody(&place, || looked_at(&place, &fake, |_| {}));
    assert_eq!(differing, [""; 0]);
    assert_eq!(unseen.len(), 1, "{unseen:?}");
    assert!(unseen[0].contains("/a/closed"), "{unseen:?}");
    let place = Place::new();
    let (differing, _) = as_nobody(&place, || {
        looked_at(&place, &fake, |a| {
            let other = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH);
            let file = fs::File::open(a.join("program")).unwrap();
            file.set_times(other).unwrap();
        })
    });
    assert_eq!(differing.len(), 1, "{differing:?}");
    assert!(differing[0].starts_with("/a/program: it came back without time"));
}
