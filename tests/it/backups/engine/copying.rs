//! Copies into another repository, with another password.

use watchbell::backup::repository::ReadData;

use super::stage::{PASSWORD, Stage, hand, noise};
use crate::backups::restic::{Restic, everything_in};

#[test]
fn a_copy_has_all_that_the_original_has() {
    let (stage, other) = (Stage::new(), Stage::new());
    stage.write("large", noise(1, 9 << 20));
    stage.write("deep/small", "content");
    let first = stage.archive();
    stage.write("deep/small", "changed");
    let second = stage.archive_after(&first);
    let ids = [first.snapshot.clone(), second.snapshot.clone()];
    let copies = stage
        .repository
        .copy_to(&ids, &*other.repository, &hand())
        .unwrap();
    assert_eq!(copies.len(), 2);
    assert_eq!(other.read(&copies[0], "/files/deep/small"), b"content");
    assert_eq!(other.read(&copies[1], "/files/deep/small"), b"changed");
    let (here, there) = (stage.repository.snapshots(), other.repository.snapshots());
    for (here, there) in here.unwrap().iter().zip(there.unwrap()) {
        assert_eq!(
            (here.time, &here.tags, &here.hostname),
            (there.time, &there.tags, &there.hostname)
        );
    }
    let checked = other.repository.check(ReadData::All, &hand()).unwrap();
    assert_eq!(checked.damage, [""; 0]);
    let Some(restic) = Restic::at(&other.place(), PASSWORD) else {
        return;
    };
    restic.finds_it_sound();
    let restored = restic.restore(&copies[1].0);
    let restored = everything_in(&restored.path().join("files"));
    assert_eq!(restored, everything_in(&stage.source()));
}

#[test]
fn what_is_there_already_is_not_copied_again() {
    let (stage, other) = (Stage::new(), Stage::new());
    stage.write("file", noise(1, 3 << 20));
    let first = stage.archive();
    let copy = |ids: &[_]| {
        stage
            .repository
            .copy_to(ids, &*other.repository, &hand())
            .unwrap()
    };
    let once = copy(std::slice::from_ref(&first.snapshot));
    let before = other.repository.usage().unwrap();
    let again = copy(std::slice::from_ref(&first.snapshot));
    assert_eq!(once, again);
    assert_eq!(other.repository.usage().unwrap(), before);
    assert_eq!(before.snapshots, 1);
}

#[test]
fn a_repository_is_not_copied_into_itself() {
    let stage = Stage::new();
    stage.write("file", "content");
    let snapshot = stage.archive().snapshot;
    let refused = stage
        .repository
        .copy_to(&[snapshot], &*stage.repository, &hand());
    assert!(refused.unwrap_err().to_string().contains("itself"));
}
