//! A full disk.

use std::fs;

use watchbell::backup::{
    repository::{Repository as _, RepositoryError},
    rustic::Rustic,
};

use super::stage::{PASSWORD, Stage, hand, helpers, never, noise, recorded};
use crate::{backups::restic::Restic, process::mount::Mount};

#[test]
fn a_full_disk_is_told_and_leaves_the_repository_clean() {
    let stage = Stage::new();
    let disk = stage.path().join("disk");
    let Some(_disk) = Mount::small_disk(&disk, 24 << 20) else {
        return;
    };
    let place = disk.join("repository");
    let repository = Rustic::create(&place, PASSWORD, &helpers(), &never()).unwrap();
    stage.write("small", noise(1, 1 << 20));
    let kept = repository.archive(&stage.job(), &hand()).unwrap();
    stage.write("large", noise(2, 60 << 20));
    for _ in 0..2 {
        let full = repository.archive(&stage.job(), &hand()).unwrap_err();
        assert!(matches!(full, RepositoryError::Full { .. }), "{full}");
    }
    assert_eq!(repository.snapshots().unwrap().len(), 1);
    fs::remove_file(stage.source().join("large")).unwrap();
    let again = repository.archive(&stage.job(), &hand()).unwrap();
    assert_eq!(recorded(&again), recorded(&kept));
    if let Some(restic) = Restic::at(&place, PASSWORD) {
        restic.finds_it_sound();
    }
}
