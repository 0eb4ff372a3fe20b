//! Names, links and files that few expect.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use watchbell::{
    backup::repository::{EntryKind, Job},
    config::OwnFolder,
    domain::backup::manifest::SnapshotPath,
};

use super::stage::{Stage, content, entries, job, recorded, source};
use crate::support::noon;

#[test]
fn names_are_kept_byte_for_byte() {
    let stage = Stage::new();
    let names: [&[u8]; 9] = [
        b"line\nbreak",
        b"\xff\xfe not UTF-8",
        b"tab\tand\rreturn\x1b\x07",
        b"back\\slash \\n \\x41",
        b"\"quoted\" 'so' `too`",
        "größe und 日本".as_bytes(),
        b" leading and trailing ",
        b"-dash",
        b"*glob?[a]",
    ];
    for name in names {
        stage.write(Path::new(OsStr::from_bytes(name)), name);
        let below = Path::new("below").join(OsStr::from_bytes(name));
        stage.write(below.join("file"), name);
    }
    let archived = stage.archive();
    assert_eq!(archived.errors, []);
    assert_eq!(archived.files.len(), 18);
    let reader = stage.reader(&archived.snapshot);
    for name in names {
        let path = SnapshotPath([b"/files/", name].concat());
        assert!(archived.files.find(&path).is_some(), "{path}");
        let entry = reader.entry(&path).unwrap().unwrap();
        assert_eq!(content(&*reader, &entry).unwrap(), name);
    }
    drop(reader);
    stage.comes_back(&archived.snapshot);
    let again = stage.archive_after(&archived);
    assert_eq!(
        again.unchanged_files, 18,
        "also names that are escaped are known again"
    );
    assert_eq!(recorded(&again), recorded(&archived));
}

#[test]
fn links_are_stored_as_links_and_never_followed() {
    let stage = Stage::new();
    fs::write(stage.path().join("outside"), "not ours").unwrap();
    fs::create_dir(stage.path().join("elsewhere")).unwrap();
    fs::write(stage.path().join("elsewhere/file"), "not ours").unwrap();
    stage.write("inside", "ours");
    let targets: [&[u8]; 4] = [b"../outside", b"../elsewhere", b"nowhere", b"loop3"];
    for (number, target) in targets.iter().enumerate() {
        let link = stage.source().join(format!("loop{number}"));
        symlink(OsStr::from_bytes(target), link).unwrap();
    }
    let archived = stage.archive();
    assert_eq!(archived.errors, []);
    assert_eq!(archived.files.len(), 1);
    let found = entries(&*stage.reader(&archived.snapshot));
    let links: Vec<_> = found
        .iter()
        .filter_map(|(_, kind)| match kind {
            EntryKind::Link(target) => Some(target.as_slice()),
            _ => None,
        })
        .collect();
    assert_eq!(links, targets);
    stage.comes_back(&archived.snapshot);

    // Debian's restic is too old for one that is not UTF-8.
    let odd = b"\xff\n";
    symlink(OsStr::from_bytes(odd), stage.source().join("odd")).unwrap();
    let archived = stage.archive();
    let reader = stage.reader(&archived.snapshot);
    let entry = reader.entry(&"/files/odd".into()).unwrap().unwrap();
    assert_eq!(entry.kind, EntryKind::Link(odd.to_vec()));
    drop(reader);
    stage.is_sound();
}

#[test]
fn a_source_that_is_itself_a_link_is_followed() {
    let stage = Stage::new();
    stage.write("a", "content");
    let link = stage.path().join("link");
    symlink("source", &link).unwrap();
    let archived = stage
        .archive_with(job(vec![source(link, "/files")]))
        .unwrap();
    assert_eq!(archived.files.len(), 1);
    stage.comes_back(&archived.snapshot);
}

#[test]
fn the_repository_is_never_entered_however_a_walk_comes_there() {
    let stage = Stage::new();
    stage.write("file", "content");
    // All that there is, the repository among it.
    let archived = stage
        .archive_with(job(vec![source(stage.path(), "/all")]))
        .unwrap();
    let [missing] = &archived.errors[..] else {
        panic!("{:?}", archived.errors);
    };
    assert_eq!(missing.path.to_string(), "/all/repository");
    let said = &missing.message;
    assert!(said.contains("this backup is stored in it"), "{said}");
    let names: Vec<_> = recorded(&archived)
        .iter()
        .map(|file| file.path.to_string())
        .collect();
    // The lock lies beside it.
    assert_eq!(names, ["/all/repository.lock", "/all/source/file"]);

    let mut without = source(stage.path(), "/all");
    without.exclude = vec!["/repository/".to_owned()];
    let archived = stage.archive_with(job(vec![without])).unwrap();
    assert_eq!(archived.errors, []);
    stage.is_sound();
}

#[test]
fn what_backups_make_is_not_entered_by_another_name_either() {
    let stage = Stage::new();
    stage.write("kept/file", "content");
    stage.write("shown/elsewhere/watchbell.tar.zst", "an export");
    let place = stage.source().join("shown/elsewhere");
    let is = place.metadata().unwrap();
    let mut all = source(stage.source(), "/files");
    all.own = vec![OwnFolder {
        setting: "exports".to_owned(),
        device: is.dev(),
        inode: is.ino(),
    }];
    let archived = stage.archive_with(job(vec![all.clone()])).unwrap();
    let [missing] = &archived.errors[..] else {
        panic!("{:?}", archived.errors);
    };
    assert_eq!(missing.path.to_string(), "/files/shown/elsewhere");
    let said = &missing.message;
    assert!(said.contains("backups.exports"), "{said}");
    assert_eq!(archived.files.len(), 1);

    all.exclude = vec!["/shown/elsewhere/".to_owned()];
    let archived = stage.archive_with(job(vec![all])).unwrap();
    assert_eq!(archived.errors, []);
    stage.is_sound();
}

#[test]
fn special_files_are_never_read_and_told_of_where_that_is_wished_and_nothing_is_missing() {
    let stage = Stage::new();
    stage.write("file", "content");
    mkfifo(&stage.source().join("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = UnixListener::bind(stage.source().join("socket")).unwrap();
    let archived = stage.archive();
    assert_eq!(archived.errors, []);
    let told: Vec<_> = archived.special.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["/files/fifo", "/files/socket"]);
    assert_eq!(archived.special_count, 2);
    let found = entries(&*stage.reader(&archived.snapshot));
    let special = found
        .iter()
        .filter(|(_, kind)| matches!(kind, EntryKind::Special(_)));
    assert_eq!(special.count(), 2);

    let mut quiet = source(stage.source(), "/files");
    quiet.name_special = false;
    let archived = stage.archive_with(job(vec![quiet])).unwrap();
    assert_eq!(archived.special_count, 0);
    stage.is_sound();
}

#[test]
fn a_sparse_file_of_gigabytes_takes_no_room() {
    let stage = Stage::new();
    let file = File::create(stage.source().join("sparse")).unwrap();
    let size = 5 << 30;
    file.set_len(size).unwrap();
    let archived = stage.archive();
    assert_eq!(recorded(&archived)[0].size, size);
    assert!(archived.added_bytes < 1 << 20, "{}", archived.added_bytes);
    // Of 5 GB of zeros.
    assert_eq!(
        recorded(&archived)[0].sha256,
        "7f06c62352aebd8125b2a1841e2b9e1ffcbed602f381c3dcb3200200e383d1d5"
    );
    stage.is_sound();
}

#[test]
fn files_and_folders_of_many_places_are_one_snapshot() {
    let stage = Stage::new();
    stage.write("dump.db", "rows");
    stage.write("contents/ab/cd", "content");
    stage.write("www/index.html", "hello");
    let from = |name: &str| stage.source().join(name);
    let archived = stage
        .archive_with(job(vec![
            source(from("www"), "/sources/intranet/srv/www"),
            source(from("dump.db"), "/database/watchbell.db"),
            source(from("contents"), "/contents"),
            source(from("www"), "/sources/intranet/srv/more"),
            source(from("dump.db"), "/sources/a.db"),
        ]))
        .unwrap();
    let found = entries(&*stage.reader(&archived.snapshot));
    let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
    let expected = [
        "/contents",
        "/contents/ab",
        "/contents/ab/cd",
        "/database",
        "/database/watchbell.db",
        "/sources",
        "/sources/a.db",
        "/sources/intranet",
        "/sources/intranet/srv",
        "/sources/intranet/srv/more",
        "/sources/intranet/srv/more/index.html",
        "/sources/intranet/srv/www",
        "/sources/intranet/srv/www/index.html",
    ];
    assert_eq!(paths, expected);
    assert_eq!(
        stage.read(&archived.snapshot, "/database/watchbell.db"),
        b"rows"
    );
    let Some(restic) = stage.restic() else { return };
    restic.finds_it_sound();
    let restored = restic.restore(&archived.snapshot.0);
    let dump = restored.path().join("database/watchbell.db");
    assert_eq!(fs::read(dump).unwrap(), b"rows");
}

#[test]
fn the_deepest_folders_are_named_and_not_entered() {
    let stage = Stage::new();
    let deep = "d/".repeat(300);
    stage.write(format!("{deep}/file"), "content");
    stage.write("beside", "content");
    let archived = stage
        .archive_with(Job {
            time: noon(),
            ..stage.job()
        })
        .unwrap();
    assert_eq!(archived.files.len(), 1);
    assert_eq!(archived.errors.len(), 1);
    assert!(
        archived.errors[0].message.contains("deep"),
        "{:?}",
        archived.errors
    );
    stage.is_sound();
}
