//! Looks at what was restored, as it lies there after somebody was at it.

use std::os::unix::fs::symlink;

use super::*;

/// Two files, one of them by two names, a link, and a directory that is empty.
fn some() -> Fake {
    let mut fake = Fake::default();
    fake.directory("/a", |_| {});
    fake.directory("/a/empty", |_| {});
    fake.file("/a/file", b"content", |entry| {
        entry.attributes = vec![("user.note".to_owned(), b"of mine".to_vec())];
    });
    fake.add("/a/link", EntryKind::Link(b"file".to_vec()), |_| {});
    let shared = Some((7, 42));
    fake.file("/a/one", b"same", |entry| entry.shared = shared);
    fake.file("/a/two", b"same", |entry| entry.shared = shared);
    let socket = EntryKind::Special(Special::Socket);
    fake.add("/a/socket", socket, |_| {});
    fake
}

fn looked(place: &Place, fake: &Fake, wanted: Wanted<'_>) -> Compared {
    let hand = Hand {
        cancel: CancellationToken::new(),
        progress: Arc::new(|_| {}),
    };
    let beneath = Beneath::at(&place.at("")).unwrap();
    compare(&beneath, fake, &fake.stored(), wanted, &hand).unwrap()
}

fn looked_at(place: &Place, fake: &Fake) -> Compared {
    looked(place, fake, Wanted::Beginning(&[]))
}

/// A look after something was done to what was restored, the directory's time set back.
fn after(change: impl FnOnce(&Place)) -> Compared {
    let (fake, place) = (some(), Place::new());
    place.restore(&fake, &[]);
    change(&place);
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_000_000_000_123_456_789);
    let above = fs::File::open(place.at("a"));
    if let Ok(above) = above {
        above.set_modified(time).unwrap();
    }
    looked_at(&place, &fake)
}

#[test]
fn what_is_all_that_it_was_is_the_same() {
    let compared = after(|_| {});
    let counts = (compared.files, compared.directories, compared.links);
    assert_eq!((counts, compared.bytes), ((3, 2, 1), 15));
    assert_eq!(compared.differing.lines, [""; 0]);
    assert_eq!(compared.unset.lines, [""; 0]);
}

#[test]
fn what_went_or_is_something_else_is_named_and_ends_nothing() {
    type Change = fn(&Place);
    let changes: [(&str, &str, Change); 9] = [
        ("/a/file", "did not come back", |place| {
            fs::remove_file(place.at("a/file")).unwrap();
        }),
        ("/a/link", "did not come back", |place| {
            fs::remove_file(place.at("a/link")).unwrap();
        }),
        ("/a/empty", "did not come back", |place| {
            fs::remove_dir(place.at("a/empty")).unwrap();
        }),
        ("/a/link", "leads to", |place| {
            fs::remove_file(place.at("a/link")).unwrap();
            symlink("elsewhere", place.at("a/link")).unwrap();
        }),
        ("/a/file", "could not be looked at", |place| {
            fs::remove_file(place.at("a/file")).unwrap();
            symlink("one", place.at("a/file")).unwrap();
        }),
        ("/a/file", "is no file any more", |place| {
            fs::remove_file(place.at("a/file")).unwrap();
            fs::create_dir(place.at("a/file")).unwrap();
        }),
        ("/a/file", "could not be looked at", |place| {
            fs::remove_file(place.at("a/file")).unwrap();
            drop(std::os::unix::net::UnixListener::bind(place.at("a/file")).unwrap());
        }),
        ("/a/empty", "is no directory any more", |place| {
            fs::remove_dir(place.at("a/empty")).unwrap();
            fs::write(place.at("a/empty"), "").unwrap();
        }),
        ("/a/link", "is no link any more", |place| {
            fs::remove_file(place.at("a/link")).unwrap();
            fs::create_dir(place.at("a/link")).unwrap();
        }),
    ];
    for (path, what, change) in changes {
        let compared = after(change);
        assert_eq!(compared.differing.count, 1, "{path} {what}: {compared:?}");
        let line = &compared.differing.lines[0];
        assert!(
            line.starts_with(path) && line.contains(what),
            "{what}: {line}"
        );
        let counts = compared.files + compared.directories + compared.links;
        assert_eq!(counts, 5, "{path} {what}");
    }
}

#[test]
fn a_file_in_the_place_of_a_directory_costs_what_was_in_it() {
    let compared = after(|place| {
        fs::remove_dir_all(place.at("a")).unwrap();
        fs::write(place.at("a"), "").unwrap();
    });
    assert_eq!(compared.differing.count, 6, "{compared:?}");
    assert_eq!(compared.files + compared.directories + compared.links, 0);
}

#[test]
fn what_is_there_and_not_all_that_it_was_is_named() {
    type Change = fn(&Place);
    let changes: [(&str, &str, Change); 5] = [
        ("/a/empty", "permissions 755 (they are 700)", |place| {
            let mode = fs::Permissions::from_mode(0o700);
            fs::set_permissions(place.at("a/empty"), mode).unwrap();
        }),
        ("/a/file", "attribute user.note", |place| {
            let file = fs::File::open(place.at("a/file")).unwrap();
            rustix::fs::fremovexattr(&file, "user.note").unwrap();
        }),
        ("/a/one", "time", |place| {
            let file = fs::File::options().write(true).open(place.at("a/one"));
            file.unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }),
        ("/a/two", "it was the same file as /a/one", |place| {
            let time = fs::metadata(place.at("a/two")).unwrap().modified().unwrap();
            fs::remove_file(place.at("a/two")).unwrap();
            fs::write(place.at("a/two"), "same").unwrap();
            let mode = fs::Permissions::from_mode(0o640);
            fs::set_permissions(place.at("a/two"), mode).unwrap();
            let file = fs::File::options().write(true).open(place.at("a/two"));
            file.unwrap().set_modified(time).unwrap();
        }),
        ("/a/link", "time", |place| {
            fs::remove_file(place.at("a/link")).unwrap();
            symlink("file", place.at("a/link")).unwrap();
        }),
    ];
    for (path, what, change) in changes {
        let compared = after(change);
        assert_eq!(compared.differing.lines, [""; 0], "{path} {what}");
        let line = compared
            .unset
            .lines
            .iter()
            .find(|line| line.starts_with(path));
        assert!(
            line.is_some_and(|line| line.contains(what)),
            "{what}: {compared:?}"
        );
        assert_eq!(compared.files + compared.directories + compared.links, 6);
    }
    if is_root() {
        let compared = after(|place| {
            std::os::unix::fs::chown(place.at("a/empty"), Some(12), None).unwrap();
        });
        // What it had is not known: it was on no disk.
        assert!(compared.unset.is_empty(), "{compared:?}");
        let (mut fake, place) = (Fake::default(), Place::new());
        fake.directory("/mine", |entry| entry.owner = Some((1234, 4321)));
        place.restore(&fake, &[]);
        assert!(looked_at(&place, &fake).unset.is_empty());
        std::os::unix::fs::chown(place.at("mine"), Some(12), None).unwrap();
        let compared = looked_at(&place, &fake);
        assert!(
            compared.unset.lines[0].contains("owner 1234:4321"),
            "{compared:?}"
        );
    }
}

#[test]
fn what_may_not_be_read_is_not_looked_at_and_not_lost() {
    let (fake, place) = (some(), Place::new());
    let compared = as_nobody(&place, || {
        place.restore(&fake, &[]);
        let mode = |mode| fs::Permissions::from_mode(mode);
        fs::set_permissions(place.at("a/one"), mode(0)).unwrap();
        fs::set_permissions(place.at("a/empty"), mode(0)).unwrap();
        looked_at(&place, &fake)
    });
    let counts = (compared.differing.count, compared.unseen.count);
    assert_eq!((counts, compared.unseen_files), ((0, 2), 2), "{compared:?}");
    let (unseen, unset) = (&compared.unseen.lines, compared.unset.lines.join("\n"));
    for (line, path) in unseen.iter().zip(["/a/one", "/a/two"]) {
        assert!(
            line.starts_with(path) && line.contains("could not be looked at"),
            "{line}"
        );
    }
    assert!(unset.contains("/a/empty: permissions 755"), "{unset}");
}

/// Those of a sample that were restored, and no others, are missed.
#[test]
fn of_a_sample_what_was_not_restored_is_not_missed() {
    let (fake, place) = (some(), Place::new());
    let path = SnapshotPath::from("/a/file");
    let files = HashSet::from([&path]);
    let wanted = Wanted::Sample(&files, 2);
    let hand = Hand {
        cancel: CancellationToken::new(),
        progress: Arc::new(|_| {}),
    };
    let into = fresh(&place.at("")).unwrap();
    restore(&fake, &fake.stored(), wanted, &into, &hand).unwrap();
    let compared = looked(&place, &fake, wanted);
    assert_eq!((compared.files, compared.directories), (1, 2));
    assert!(compared.differing.is_empty(), "{compared:?}");
    fs::remove_dir(place.at("a/empty")).unwrap();
    let compared = looked(&place, &fake, wanted);
    assert_eq!(compared.differing.count, 1, "{compared:?}");
}
