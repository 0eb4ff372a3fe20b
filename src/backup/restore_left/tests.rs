//! Looks for what restores have left: below a root and below none, on a disk that is not there, and in part.

use std::fs;

use uuid::Uuid;

use super::*;
use crate::backup::restore_place::Unfinished;

#[test]
fn what_lies_below_no_root_any_more_is_told_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (root, run) = (folder.path().join("restores"), RunId(Uuid::now_v7()));
    let directory = root.join("below/new");
    let [_, name] = names_of_left(&directory, run);
    let left = root.join("below").join(name);
    let look = |roots: &[PathBuf]| {
        let places = Places::of(roots, &directory).unwrap();
        remove_left(&places, &directory, run, false).unwrap()
    };
    assert_eq!(look(&[]), Left::None);
    fs::create_dir_all(&left).unwrap();
    let others = [folder.path().join("others")];
    assert_eq!(look(&others), Left::Outside(left.clone()));
    assert!(left.exists());
    assert_eq!(look(&[root]), Left::Gone);
    assert!(!left.exists());
    assert_eq!(look(&others), Left::None);
}

#[test]
fn where_it_cannot_be_looked_for_is_no_place_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (roots, run) = ([folder.path().to_owned()], RunId(Uuid::now_v7()));
    let look = |path: &str| {
        let directory = folder.path().join(path);
        let places = Places::of(&roots, &directory)?;
        remove_left(&places, &directory, run, false)
    };
    fs::write(folder.path().join("file"), "").unwrap();
    for gone in ["nowhere/new", "file/new", "new"] {
        assert_eq!(look(gone).unwrap(), Left::None, "{gone}");
    }
    // No directory is called so, and the kernel does not say that it is not there.
    look(&format!("{}/new", "n".repeat(300))).unwrap_err();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("link")).unwrap();
    look("link/new").unwrap_err();
}

/// An empty mount point says nothing of the disk that is to be there.
#[test]
fn a_disk_that_is_not_mounted_is_not_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (roots, run) = ([folder.path().to_owned()], RunId(Uuid::now_v7()));
    let [point, disk, away] = ["point", "point/disk", "away"].map(|name| folder.path().join(name));
    for directory in ["point/new", "point/disk"] {
        let directory = folder.path().join(directory);
        fs::create_dir_all(disk.join("lost+found")).unwrap();
        let held_in = [Unfinished::holder(&roots, &directory, run).unwrap()];
        let look = || look(&roots, &directory, run, None, &held_in).unwrap();
        assert!(!look().is_away);
        let disk = match directory == disk {
            true => &disk,
            false => &point,
        };
        fs::rename(disk, &away).unwrap();
        assert!(look().is_away);
        fs::create_dir(disk).unwrap();
        assert!(look().is_away);
        fs::remove_dir(disk).unwrap();
        fs::rename(&away, disk).unwrap();
        assert!(!look().is_away);
    }
}

/// What the configuration says of roots by now is no reason to say nothing.
#[test]
fn a_part_below_no_root_any_more_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (roots, run) = ([folder.path().to_owned()], RunId(Uuid::now_v7()));
    let directory = folder.path().join("disk");
    fs::create_dir_all(directory.join("lost+found")).unwrap();
    let unfinished = Unfinished::make(&roots, &directory, run).unwrap();
    let into = unfinished.open().unwrap();
    for name in ["content", "sources"] {
        into.make(&[name.as_bytes()]).unwrap();
    }
    let placing = unfinished.sync().unwrap();
    unfinished.place(&placing).unwrap();
    fs::remove_dir(directory.join("sources")).unwrap();
    let others = [folder.path().join("others")];
    for (roots, is_outside) in [(&roots, false), (&others, true)] {
        let look = look(roots, &directory, run, Some(&placing), &[]).unwrap();
        assert_eq!(look.in_place, ["content"]);
        assert_eq!((look.left, look.is_outside), (Left::None, is_outside));
    }
}
