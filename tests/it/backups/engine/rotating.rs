//! Another password for a repository that goes on.

use watchbell::backup::{
    repository::RepositoryError,
    rustic::{Newer, Rustic},
};

use super::stage::{PASSWORD, Stage, helpers, never};
use crate::backups::restic::Restic;

fn opens(stage: &Stage, password: &str) -> bool {
    match Rustic::open(&stage.place(), password, &helpers(), &never()) {
        Ok(_) => true,
        Err(RepositoryError::WrongPassword { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_new_password_opens_it_and_the_old_one_no_more() {
    let stage = Stage::new();
    stage.write("file", "content");
    let archived = stage.archive();
    let both = || {
        assert!(opens(&stage, PASSWORD) && opens(&stage, "another"));
        Ok(())
    };
    let rotated =
        Rustic::rotate(&stage.place(), PASSWORD, "another", Newer::Refused, both).unwrap();
    assert_eq!(rotated.others, 0);
    assert!(opens(&stage, "another") && !opens(&stage, PASSWORD));
    // Who has it open goes on.
    assert_eq!(stage.read(&archived.snapshot, "/files/file"), b"content");
    stage.archive();
    if let Some(restic) = Restic::at(&stage.place(), "another") {
        restic.finds_it_sound();
    }
}

#[test]
fn where_it_ends_in_between_both_open_it_and_it_is_done_again() {
    let stage = Stage::new();
    let fails = || {
        Err(RepositoryError::Other {
            what: "the file cannot be written".to_owned(),
            source: None,
        })
    };
    let place = stage.place();
    Rustic::rotate(&place, PASSWORD, "another", Newer::Refused, fails).unwrap_err();
    assert!(opens(&stage, PASSWORD) && opens(&stage, "another"));
    let rotated = Rustic::rotate(&place, PASSWORD, "another", Newer::Refused, || Ok(())).unwrap();
    assert_eq!(rotated.others, 0, "no key was added twice");
    assert!(!opens(&stage, PASSWORD));
    let wrong = Rustic::rotate(&place, PASSWORD, "third", Newer::Refused, || Ok(())).unwrap_err();
    assert!(
        matches!(wrong, RepositoryError::WrongPassword { .. }),
        "{wrong}"
    );
}

#[test]
fn while_somebody_is_at_work_it_is_refused() {
    let stage = Stage::new();
    stage.write("file", "content");
    let archived = stage.archive();
    let reader = stage.reader(&archived.snapshot);
    let refused = Rustic::rotate(&stage.place(), PASSWORD, "another", Newer::Refused, || {
        Ok(())
    });
    assert!(
        matches!(refused, Err(RepositoryError::Locked { .. })),
        "{refused:?}"
    );
    drop(reader);
    assert!(!opens(&stage, "another"));
}

/// A rotation that is killed when its key is there, before or after the password in force is another.
fn killed(stage: &Stage, old: &str, new: &str) {
    let place = stage.place();
    let done = std::panic::catch_unwind(|| {
        Rustic::rotate(&place, old, new, Newer::Refused, || panic!("killed"))
    });
    done.unwrap_err();
}

#[test]
fn a_key_that_was_added_and_never_used_goes_with_the_next_rotation() {
    let stage = Stage::new();
    let place = stage.place();
    killed(&stage, PASSWORD, "another");
    assert!(opens(&stage, "another"), "it was killed after that");
    let rotated = Rustic::rotate(&place, PASSWORD, "third", Newer::Removed, || Ok(())).unwrap();
    assert_eq!((rotated.left, rotated.others), (1, 0));
    assert!(opens(&stage, "third") && !opens(&stage, "another") && !opens(&stage, PASSWORD));
}

/// Names of the keys that are there.
fn keys(stage: &Stage) -> Vec<String> {
    let keys = std::fs::read_dir(stage.place().join("keys")).unwrap();
    let mut keys: Vec<_> = keys
        .map(|key| key.unwrap().file_name().into_string().unwrap())
        .collect();
    keys.sort();
    keys
}

#[test]
fn a_key_that_another_host_may_have_in_force_goes_by_confirmation_alone() {
    let stage = Stage::new();
    let place = stage.place();
    let first = keys(&stage);
    // There the file is another, and the old key is left; here the old password is in the file.
    killed(&stage, PASSWORD, "another");
    let before = keys(&stage);
    let theirs = before.iter().find(|key| !first.contains(key)).unwrap();
    let to_third = Rustic::rotate(&place, PASSWORD, "third", Newer::Refused, || {
        panic!("the file is another")
    });
    let in_force = Rustic::end_rotation(&place, PASSWORD, Newer::Refused);
    for refused in [to_third, in_force] {
        let why = refused.unwrap_err().to_string();
        assert!(
            why.contains("1 in all") && why.contains(&theirs[..8]),
            "{why}"
        );
        assert!(why.contains("--confirm"), "{why}");
        assert_eq!(keys(&stage), before, "nothing is changed");
    }
    // By the password that is in force there, both go on.
    let joined = Rustic::rotate(&place, PASSWORD, "another", Newer::Refused, || Ok(()));
    assert_eq!(joined.unwrap().others, 0);
    assert_eq!(keys(&stage), std::slice::from_ref(theirs));

    killed(&stage, "another", "third");
    let ended = Rustic::end_rotation(&place, "another", Newer::Removed).unwrap();
    assert_eq!((ended.left, ended.others), (1, 0));
    assert!(opens(&stage, "another") && !opens(&stage, "third"));
}

#[test]
fn the_old_key_goes_where_it_was_killed_once_the_new_one_was_in_force() {
    let stage = Stage::new();
    let place = stage.place();
    killed(&stage, PASSWORD, "another");
    let left = || {
        Rustic::end_rotation(&place, "another", Newer::Refused)
            .unwrap()
            .left
    };
    assert_eq!(left(), 1);
    assert!(opens(&stage, "another") && !opens(&stage, PASSWORD));
    assert_eq!(left(), 0);

    killed(&stage, "another", "third");
    let rotated = Rustic::rotate(&place, "third", "fourth", Newer::Refused, || Ok(())).unwrap();
    assert_eq!((rotated.left, rotated.others), (1, 0));
    assert!(opens(&stage, "fourth") && !opens(&stage, "another"));
}

#[test]
fn keys_of_others_stay() {
    let stage = Stage::new();
    let Some(restic) = stage.restic() else { return };
    let new = stage.path().join("of-people");
    std::fs::write(&new, "of people").unwrap();
    let new = new.display().to_string();
    restic.must(&["key", "add", "--new-password-file", &new]);
    killed(&stage, PASSWORD, "another");
    let rotated = Rustic::rotate(&stage.place(), PASSWORD, "third", Newer::Removed, || Ok(()));
    let rotated = rotated.unwrap();
    assert_eq!((rotated.left, rotated.others), (1, 1));
    assert!(opens(&stage, "of people") && opens(&stage, "third"));

    killed(&stage, "third", "fourth");
    let ended = Rustic::end_rotation(&stage.place(), "fourth", Newer::Refused).unwrap();
    assert_eq!((ended.left, ended.others), (1, 1));
    assert!(opens(&stage, "of people") && !opens(&stage, "third"));
}
