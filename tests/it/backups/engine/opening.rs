//! What opening and creating make of each thing that may lie at a place.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use watchbell::backup::{
    repository::{Repository as _, RepositoryError},
    rustic::Rustic,
};

use super::stage::{PASSWORD, Stage, content, hand, helpers, job, never, source};
use crate::backups::restic::Restic;

fn open(place: &Path) -> RepositoryError {
    Rustic::open(place, PASSWORD, &helpers(), &never()).unwrap_err()
}

fn create(place: &Path) -> Result<Rustic, RepositoryError> {
    Rustic::create(place, PASSWORD, &helpers(), &never())
}

#[test]
fn a_repository_is_created_for_its_owner_alone_and_opened_again() {
    let stage = Stage::new();
    let mode = fs::metadata(stage.place()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let opened = Rustic::open_or_create(&stage.place(), PASSWORD, &helpers(), &never()).unwrap();
    assert_eq!(opened.snapshots().unwrap(), []);
    stage.is_sound();
    assert!(!format!("{opened:?}").contains("encrypt"));
}

#[test]
fn where_nothing_is_there_is_no_repository() {
    let folder = tempfile::tempdir().unwrap();
    for place in [folder.path().join("none"), folder.path().to_owned()] {
        let error = open(&place);
        assert!(matches!(error, RepositoryError::Missing { .. }), "{error}");
    }
}

#[test]
fn another_password_is_told_from_all_else() {
    let stage = Stage::new();
    let error = Rustic::open(&stage.place(), "wrong", &helpers(), &never()).unwrap_err();
    assert!(
        matches!(error, RepositoryError::WrongPassword { .. }),
        "{error}"
    );
}

#[test]
fn a_folder_with_other_things_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    for error in [open(folder.path()), create(folder.path()).unwrap_err()] {
        let RepositoryError::Foreign { why, .. } = &error else {
            panic!("{error}")
        };
        assert!(why.contains("letter.txt"), "{why}");
    }
    let error = create(&folder.path().join("letter.txt")).unwrap_err();
    assert!(matches!(error, RepositoryError::Foreign { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_repository_is_not_created_over_another() {
    let stage = Stage::new();
    let error = create(&stage.place()).unwrap_err();
    assert!(matches!(error, RepositoryError::Foreign { .. }), "{error}");
    stage.is_sound();
}

#[test]
fn what_a_creation_left_that_was_broken_off_is_created_again() {
    let stage = Stage::new();
    fs::remove_file(stage.place().join("config")).unwrap();
    let error = open(&stage.place());
    assert!(matches!(error, RepositoryError::Missing { .. }), "{error}");
    drop(create(&stage.place()).unwrap());
    stage.is_sound();
}

#[test]
fn a_repository_that_has_lost_its_config_is_not_created_again() {
    let stage = Stage::new();
    stage.write("a", "content");
    stage.archive();
    fs::remove_file(stage.place().join("config")).unwrap();
    for error in [open(&stage.place()), create(&stage.place()).unwrap_err()] {
        assert!(matches!(error, RepositoryError::Foreign { .. }), "{error}");
    }
}

#[test]
fn a_config_that_is_not_restics_is_named() {
    let stage = Stage::new();
    fs::write(stage.place().join("config"), "[settings]\n").unwrap();
    let error = open(&stage.place());
    assert!(matches!(error, RepositoryError::Foreign { .. }), "{error}");
}

#[test]
fn no_secret_is_in_an_error() {
    let stage = Stage::new();
    let helpers = watchbell::backup::child::Helpers {
        program: "/nowhere/watchbell".into(),
    };
    let error = Rustic::open(&stage.place(), "hush-hush", &helpers, &never()).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("hush-hush"));
}

#[test]
fn of_many_who_create_at_once_all_have_the_same_repository() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("below/repository");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let opened = Rustic::open_or_create(&place, PASSWORD, &helpers(), &never());
                assert_eq!(opened.unwrap().snapshots().unwrap(), []);
            });
        }
    });
    assert_eq!(fs::read_dir(place.join("keys")).unwrap().count(), 1);
    if let Some(restic) = Restic::at(&place, PASSWORD) {
        restic.finds_it_sound();
    }
}

#[test]
fn a_repository_that_restic_has_made_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("repository");
    let Some(restic) = Restic::at(&place, PASSWORD) else {
        return;
    };
    restic.must(&["init"]);
    fs::write(folder.path().join("file"), "content").unwrap();
    let file = folder.path().join("file").display().to_string();
    restic.must(&["backup", "--tag", "theirs", &file]);
    let opened = Rustic::open(&place, PASSWORD, &helpers(), &never()).unwrap();
    let [theirs] = &opened.snapshots().unwrap()[..] else {
        panic!("one snapshot")
    };
    assert_eq!(theirs.tags, ["theirs"]);
    let reader = opened.open(&theirs.id).unwrap();
    let entry = reader.entry(&file.as_str().into()).unwrap().unwrap();
    assert_eq!(content(&*reader, &entry).unwrap(), b"content");
    // restic looks at it only while nobody reads.
    drop(reader);
    let job = job(vec![source(folder.path().join("file"), "/file")]);
    opened.archive(&job, &hand()).unwrap();
    restic.finds_it_sound();
}
