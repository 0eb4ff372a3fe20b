//! A disk that cannot be synced: nothing that was restored to it counts as restored.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::harness::{Place, finish};
use crate::support::skip;

/// The program that makes syncs fail; none, with a word, where there is no C compiler, or no such filter.
fn failing(place: &Place) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/process/unsynced.c");
    let program = place.path("unsynced");
    let compiled = Command::new("cc")
        .args(["-O1", "-o"])
        .args([&program, &source])
        .output();
    match compiled {
        Ok(done) if done.status.success() => {}
        other => {
            skip("a disk that fails", &format!("cc: {other:?}"));
            return None;
        }
    }
    let tried = Command::new(&program).arg("/bin/true").output().unwrap();
    if !tried.status.success() {
        skip("a disk that fails", &format!("{tried:?}"));
        return None;
    }
    Some(program)
}

/// The same command, where syncs fail.
fn unsynced(place: &Place, program: &Path, command: &Command) -> Command {
    let mut unsynced = place.program(program);
    unsynced.arg(command.get_program()).args(command.get_args());
    unsynced
}

#[test]
fn what_is_not_known_to_be_on_the_disk_is_not_restored() {
    let place = Place::new("");
    let Some(program) = failing(&place) else {
        return;
    };
    {
        let server = place.serve();
        let update = ["task", "update", "restore-backup", "--max-attempts", "1"];
        let updated = server.bellctl(&update);
        assert_eq!(updated.code(), 0, "{updated:?}");
        let run = server.bellctl(&["backup", "run", "daily-full", "--wait"]);
        assert_eq!(run.code(), 0, "{run:?}");
        server.stop();
    }
    let serve = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
    let server = place.serve_by(unsynced(&place, &program, &serve), "data");

    let restore = [
        "backup", "restore", "latest", "--to", "friday", "--yes", "--wait",
    ];
    let done = server.bellctl(&restore);

    assert_ne!(done.code(), 0, "{done:?}");
    assert!(done.stdout.contains("Input/output error"), "{done:?}");
    assert!(!place.data().join("restores/friday").exists());
    server.stop();

    // Without a server: files alone, and an instance.
    let own = place.data().join("backups");
    let restore = |to: [&str; 2], path: &[&str]| {
        let mut command = place.program(env!("CARGO_BIN_EXE_watchbell"));
        command
            .arg("restore")
            .args(["--repository".as_ref(), own.join("repository").as_os_str()])
            .args(["--password-file".as_ref(), own.join("password").as_os_str()])
            .args(path)
            .arg(to[0])
            .arg(place.path(to[1]));
        command
    };
    for (to, path) in [
        (["--to", "files"], &["--path", "/"][..]),
        (["--data", "instance"], &[]),
    ] {
        let failed = finish(unsynced(&place, &program, &restore(to, path)));
        failed.assert_failed(1, &["could not sync", "Input/output error"]);
        assert!(!place.path(to[1]).join("watchbell.db").exists());
        drop(fs::remove_dir_all(place.path(to[1])));
        finish(restore(to, path)).assert_good();
    }
}
