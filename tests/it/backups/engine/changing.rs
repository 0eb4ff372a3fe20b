//! Files that are changed or replaced while a backup reads them: what is in it is one whole version of each, and what
//! never came to rest is named.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use watchbell::{
    backup::repository::{Archived, Hand, Progress},
    domain::backup::manifest::FileRecord,
};

use super::{
    held_up::HeldUp,
    stage::{Stage, never, noise, recorded},
};

/// Versions whose numbers differ by so much are equally long.
const OF_ONE_LENGTH: u64 = 40_000;

/// Version `number` of a file: its number, over and over, as many times as is its own.
fn version(number: u64) -> Vec<u8> {
    let times = 20_000 + (number * 7919) % OF_ONE_LENGTH;
    let line = format!("{number:08}\n");
    line.repeat(usize::try_from(times).unwrap()).into_bytes()
}

type Write = Box<dyn Fn(&Path, &[u8]) + Send>;

#[track_caller]
fn is_whole(bytes: &[u8], what: &str) {
    let first = bytes.get(..8).unwrap_or_default();
    let number = std::str::from_utf8(first).ok().and_then(|n| n.parse().ok());
    let number: u64 = number.unwrap_or_else(|| panic!("{what} begins with {first:?}"));
    assert!(
        bytes == version(number),
        "{what} is not version {number}, with which it begins"
    );
}

/// Archives, and calls `disturb` each time when the file that is being read is read in part.
fn archive_disturbed(stage: &Stage, disturb: impl Fn(u64) + Send + Sync + 'static) -> Archived {
    let (calls, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let hand = Hand {
        cancel: never(),
        progress: Arc::new(move |progress: Progress| {
            // Told after each megabyte of a file, and at its end.
            if bytes.swap(progress.bytes, Ordering::Relaxed) != progress.bytes {
                disturb(calls.fetch_add(1, Ordering::Relaxed));
            }
        }),
    };
    stage.rest();
    stage.repository.archive(&stage.job(), &hand).unwrap()
}

fn paths_of(archived: &Archived) -> Vec<String> {
    let files = recorded(archived).into_iter();
    files.map(|file| file.path.to_string()).collect()
}

/// Writes over what is there, in one step where that is as long. Content of another length takes two, and a writer that is
/// held up between them leaves a file that lies still and is no version.
pub(super) fn rewrite(path: &Path, content: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(content, 0).unwrap();
    if file.metadata().unwrap().len() != content.len() as u64 {
        file.set_len(content.len() as u64).unwrap();
    }
}

fn replace(path: &Path, content: &[u8]) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, path).unwrap();
}

fn large() -> Vec<u8> {
    noise(1, 6 << 20)
}

#[test]
fn what_is_rewritten_while_it_is_read_is_read_once_more() {
    let stage = Stage::here();
    stage.write("a/before", "content");
    stage.write("a/large", large());
    stage.write("b/behind", "content");
    let path = stage.source().join("a/large");
    // It has the same size and another content, and then one of its own.
    for content in [noise(2, 6 << 20), noise(3, 7 << 20), noise(4, 3 << 20)] {
        let (path, new) = (path.clone(), content.clone());
        let archived = archive_disturbed(&stage, move |call| {
            if call == 1 {
                rewrite(&path, &new);
            }
        });
        assert_eq!(archived.errors, []);
        assert_eq!(
            paths_of(&archived),
            ["/files/a/before", "/files/a/large", "/files/b/behind"]
        );
        assert!(stage.read(&archived.snapshot, "/files/a/large") == content);
        stage.comes_back(&archived.snapshot);
        assert_eq!(stage.archive_after(&archived).unchanged_files, 3);
    }
}

#[test]
fn what_is_replaced_while_it_is_read_is_one_of_both() {
    let stage = Stage::here();
    stage.write("large", large());
    let path = stage.source().join("large");
    let archived = archive_disturbed(&stage, move |call| {
        if call == 1 {
            replace(&path, &noise(2, 7 << 20));
        }
    });
    assert_eq!(archived.errors, []);
    let stored = stage.read(&archived.snapshot, "/files/large");
    assert!(stored == large() || stored == noise(2, 7 << 20));
    assert_eq!(recorded(&archived)[0].size, stored.len() as u64);
    stage.is_sound();
    let again = stage.archive_after(&archived);
    assert_eq!(again.changed_files, 1, "the new one is read the next time");
    stage.comes_back(&again.snapshot);
}

#[test]
fn what_is_changed_each_time_is_named_and_not_stored() {
    let stage = Stage::here();
    stage.write("large", large());
    stage.write("small", "content");
    let path = stage.source().join("large");
    let archived = archive_disturbed(&stage, move |call| {
        rewrite(&path, &noise(call + 2, 6 << 20))
    });
    assert_eq!(paths_of(&archived), ["/files/small"]);
    let [error] = &archived.errors[..] else {
        panic!("{:?}", archived.errors)
    };
    assert_eq!(error.path.to_string(), "/files/large");
    assert!(
        error.message.contains("changed while it was read"),
        "{error:?}"
    );
    assert_eq!(stage.snapshots().len(), 1, "no part of it is to be seen");
    stage.is_sound();
}

#[test]
fn what_is_removed_or_becomes_something_else_meanwhile_is_named() {
    let stage = Stage::here();
    stage.write("a-large", large());
    for name in ["gone", "link", "folder"] {
        stage.write(format!("z/{name}"), name);
    }
    let source = stage.source();
    let archived = archive_disturbed(&stage, move |call| {
        if call == 1 {
            for name in ["gone", "link", "folder"] {
                let _ = fs::remove_file(source.join("z").join(name));
            }
            let _ = std::os::unix::fs::symlink("../../outside", source.join("z/link"));
            let _ = fs::create_dir(source.join("z/folder"));
        }
    });
    // How far the listing was ahead is not told: each was read before that, or is named, or was never a file.
    for name in ["gone", "link", "folder"] {
        let path = format!("/files/z/{name}");
        let mut errors = archived.errors.iter();
        let named = errors.any(|error| error.path.to_string() == path);
        if paths_of(&archived).contains(&path) {
            assert!(!named, "{path}: {archived:?}");
            assert_eq!(stage.read(&archived.snapshot, &path), name.as_bytes());
        }
    }
    stage.is_sound();
}

#[test]
fn beside_odd_names_nothing_is_read_again_and_what_was_changed_is_named() {
    let stage = Stage::here();
    stage.write("a\nb", "content");
    stage.write("large", large());
    let path = stage.source().join("large");
    let archived = archive_disturbed(&stage, move |call| {
        if call == 1 {
            rewrite(&path, &noise(2, 6 << 20));
        }
    });
    assert_eq!(archived.errors.len(), 1);
    assert_eq!(archived.files.len(), 1);
    stage.is_sound();
}

#[test]
fn every_file_that_comes_back_is_one_whole_version() {
    let stage = Stage::here();
    let (renamed, in_place) = (20, 5);
    let name = |number: usize| match number < renamed {
        true => format!("renamed/{number}"),
        false => format!("in-place/{number}"),
    };
    let names: Vec<String> = (0..renamed + in_place).map(name).collect();
    for name in &names {
        stage.write(name, version(0));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let held_up = HeldUp::default();
    let writer = |paths: Vec<PathBuf>, write: Write, step: u64| {
        let stop = Arc::clone(&stop);
        thread::spawn(move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                for path in &paths {
                    write(path, &version(number % 2_000 * step));
                }
            }
        })
    };
    let paths = |from: &[String]| from.iter().map(|name| stage.source().join(name)).collect();
    let in_place = held_up.clone();
    let in_place = move |path: &Path, content: &[u8]| in_place.write(path, content);
    let writers = [
        writer(paths(&names[..renamed]), Box::new(replace), 1),
        writer(paths(&names[renamed..]), Box::new(in_place), OF_ONE_LENGTH),
    ];
    let mut archives = Vec::new();
    for _ in 0..3 {
        archives.push(stage.archive());
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().unwrap();
    }
    let is_held_up = |file: &FileRecord| {
        let path = file.path.to_string();
        let path = stage.source().join(path.trim_start_matches("/files/"));
        held_up.has_left(&path, file)
    };
    let mut stored = 0;
    for archived in &archives {
        for file in recorded(archived) {
            let path = file.path.to_string();
            if path.ends_with(".new") {
                continue;
            }
            let bytes = stage.read(&archived.snapshot, &path);
            assert_eq!(bytes.len() as u64, file.size, "{path}");
            if is_held_up(&file) {
                continue;
            }
            is_whole(&bytes, &path);
            stored += 1;
        }
        for name in &names {
            let path = format!("/files/{name}");
            let named = archived
                .errors
                .iter()
                .any(|error| error.path.to_string() == path);
            assert!(
                named != paths_of(archived).contains(&path),
                "{path} is stored, or named"
            );
        }
    }
    assert!(0 < stored, "some were stored");
    if let Some(restic) = stage.restic() {
        restic.finds_it_sound();
        let restored = restic.restore(&archives[2].snapshot.0);
        for file in recorded(&archives[2]) {
            let name = file.path.to_string();
            if name.ends_with(".new") || is_held_up(&file) {
                continue;
            }
            let bytes = fs::read(restored.path().join(&name[1..])).unwrap();
            is_whole(&bytes, &name);
        }
    }
    // Once it has come to rest, all is there.
    let last = stage.archive_after(&archives[2]);
    assert_eq!(last.errors, []);
    stage.comes_back(&last.snapshot);
}

/// A source whose walk is long between the first directory and the last; `move_it` is called once that is on its way, by
/// who reads: it takes a stage of this process, since another's is far ahead of what it tells where the machine is busy.
pub(super) fn archive_with_a_move(
    stage: &Stage,
    move_it: impl Fn(&Path) + Send + Sync + 'static,
) -> Archived {
    stage.write("a/before", "content");
    stage.write("b/large", large());
    for number in 0..3000 {
        stage.write(format!("m/{number}"), "content");
    }
    stage.write("z/behind", "content");
    let source = stage.source();
    archive_disturbed(stage, move |call| {
        if call == 1 {
            move_it(&source);
        }
    })
}

#[test]
fn what_is_moved_from_a_directory_that_is_listed_later_into_one_that_was_is_not_lost() {
    let stage = Stage::here();
    stage.write("z/moved", "of old");
    let archived = archive_with_a_move(&stage, |source| {
        fs::rename(source.join("z/moved"), source.join("a/moved")).unwrap();
        // What was made since is not of this backup.
        fs::write(source.join("a/new"), "of now").unwrap();
    });
    assert_eq!(archived.errors, []);
    let paths = paths_of(&archived);
    assert_eq!(paths.len(), 3004, "{:?}", &paths[..4]);
    assert_eq!(paths[..2], ["/files/a/before", "/files/a/moved"]);
    fs::remove_file(stage.source().join("a/new")).unwrap();
    stage.comes_back(&archived.snapshot);
}

#[test]
fn what_is_moved_and_cannot_be_added_is_named() {
    let stage = Stage::here();
    stage.write("z/sub/file", "of old");
    std::os::unix::fs::symlink("z/behind", stage.source().join("z/link")).unwrap();
    let archived = archive_with_a_move(&stage, |source| {
        fs::rename(source.join("z/sub"), source.join("a/sub")).unwrap();
        fs::rename(source.join("z/link"), source.join("a/link")).unwrap();
        fs::create_dir(source.join("b/new")).unwrap();
        fs::write(source.join("b/new/file"), "of now").unwrap();
    });
    let named: Vec<_> = archived
        .errors
        .iter()
        .map(|error| (error.path.to_string(), error.message.contains("moved here")))
        .collect();
    let expected = ["/files/a/link", "/files/a/sub"].map(|path| (path.to_owned(), true));
    assert_eq!(named, expected, "{:?}", archived.errors);
}

#[test]
fn a_directory_that_takes_the_place_of_one_that_was_listed_is_named() {
    let stage = Stage::here();
    stage.write("a/current/old", "of old");
    stage.write("z/next/file", "of old too");
    stage.write("z/next/below/file", "of old too");
    let archived = archive_with_a_move(&stage, |source| {
        fs::remove_dir_all(source.join("a/current")).unwrap();
        fs::rename(source.join("z/next"), source.join("a/current")).unwrap();
    });
    let named = archived.errors.iter().map(|error| error.path.to_string());
    assert_eq!(named.collect::<Vec<_>>(), ["/files/a/current"]);
    assert!(!paths_of(&archived).iter().any(|path| path.contains("next")));
}

#[test]
fn a_source_at_rest_is_looked_at_again_and_nothing_comes_of_it() {
    let stage = Stage::new();
    stage.write("a/file", "content");
    stage.write("a/b/file", "content");
    let archived = stage.archive();
    assert_eq!(archived.errors, []);
    assert_eq!(paths_of(&archived), ["/files/a/b/file", "/files/a/file"]);
    // Just written, it could have been changed without a trace.
    stage.write("a/c/file", "content");
    let again = stage
        .repository
        .archive(&stage.job(), &super::stage::hand());
    let again = again.unwrap();
    assert_eq!(again.errors, []);
    assert_eq!(paths_of(&again).len(), 3);
}
