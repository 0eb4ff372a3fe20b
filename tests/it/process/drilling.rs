//! A server without root's rights that drills what others own: what it may not set is named, and fails nothing.

use std::{
    fs,
    os::unix::{fs::lchown, process::CommandExt as _},
    path::Path,
};

use super::harness::{Place, becomes};
use crate::{
    backups::likeness::{fill, source},
    support::skip,
};

const NOBODY: u32 = 65534;

fn give(path: &Path) {
    lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

#[test]
fn a_drill_by_a_server_that_may_set_no_owner_passes_and_says_so() {
    if !nix::unistd::geteuid().is_root() {
        return skip("who is not root drills", "this is not run as root");
    }
    let files = tempfile::tempdir().unwrap();
    fill(files.path());
    let place = Place::new(&source("all", files.path()));
    {
        let server = place.serve();
        let create = [
            "backup",
            "policy",
            "create",
            "all",
            "--source",
            "all",
            "--source",
            "database",
            "--keep-last",
            "3",
        ];
        assert_eq!(server.bellctl(&create).code(), 0);
        let run = server.bellctl(&["backup", "run", "all", "--wait"]);
        assert_eq!(run.code(), 0, "{run:?}");
        server.stop();
    }
    // The whole place: who serves from now on has a folder of its own, and none of the rights of whoever made it.
    give(&place.path(""));
    let mut serve = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
    serve.uid(NOBODY).gid(NOBODY);
    let server = place.serve_by(serve, "data");

    let drill = server.bellctl(&["backup", "drill", "--wait"]);

    assert_eq!(drill.code(), 0, "{drill:?}");
    for says in [
        "came back but for what the server's user could not set",
        "owner 0:0 (Operation not permitted",
        "as in the manifest",
    ] {
        assert!(drill.stdout.contains(says), "{says}: {drill:?}");
    }
    let evidence = server.json(&["backup", "evidence"]).to_string();
    assert!(evidence.contains("could not set"), "{evidence}");
    assert!(!evidence.contains("FAILED"), "{evidence}");
    let plan = server.bellctl(&["backup", "plan-retention"]);
    assert_eq!(plan.code(), 0, "{plan:?}");
    assert!(!plan.stdout.contains("drill failed"), "{plan:?}");
    let stats = server.json(&["backup", "stats"]);
    let restorable = &stats["statistics"]["restorableAsOfTime"];
    assert!(restorable.is_string(), "{stats}");
    let staging = place.data().join("backups/staging");
    // It is removed beside the run's end.
    becomes("what was staged to be gone", || {
        fs::read_dir(&staging).into_iter().flatten().count() == 0
    });
    server.stop();
}
