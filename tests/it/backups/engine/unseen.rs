//! What may have been moved while a source was read, and cannot be looked at: it is told, and once.

use std::{fs, fs::Permissions, os::unix::fs::PermissionsExt as _};

use super::{changing::archive_with_a_move, nobody::as_nobody, stage::Stage};

#[test]
fn what_is_moved_to_where_it_is_not_looked_for_is_told() {
    let stage = Stage::here();
    stage.write("z/moved", "of old");
    let archived = archive_with_a_move(&stage, |source| {
        let deep = source.join(format!("a{}", "/new".repeat(70)));
        fs::create_dir_all(&deep).unwrap();
        fs::rename(source.join("z/moved"), deep.join("moved")).unwrap();
    });
    let [told] = &archived.errors[..] else {
        panic!("{:?}", archived.errors);
    };
    assert_eq!(
        told.path.to_string(),
        format!("/files/a{}", "/new".repeat(63))
    );
    assert!(told.message.contains("too deep"), "{told:?}");

    let stage = Stage::here();
    let archived = as_nobody(stage.path(), || {
        stage.write("z/moved", "of old");
        archive_with_a_move(&stage, |source| {
            let locked = source.join("a/locked");
            fs::create_dir(&locked).unwrap();
            fs::rename(source.join("z/moved"), locked.join("moved")).unwrap();
            fs::set_permissions(locked, Permissions::from_mode(0o000)).unwrap();
        })
    });
    let [told] = &archived.errors[..] else {
        panic!("{:?}", archived.errors);
    };
    assert_eq!(told.path.to_string(), "/files/a/locked");
    assert!(told.message.contains("could not be listed"), "{told:?}");
}

#[test]
fn what_was_shut_before_and_lies_in_what_was_changed_is_named_once() {
    let stage = Stage::here();
    stage.write("a/shut/inside", "content");
    let shut = stage.source().join("a/shut");
    fs::set_permissions(&shut, Permissions::from_mode(0o000)).unwrap();
    let archived = as_nobody(stage.path(), || {
        archive_with_a_move(&stage, |source| {
            fs::write(source.join("a/new"), "of now").unwrap();
        })
    });
    let named = archived.errors.iter().map(|error| error.path.to_string());
    assert_eq!(named.collect::<Vec<_>>(), ["/files/a/shut"]);
}
