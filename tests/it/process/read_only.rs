//! A second location on a disk that is read-only: it is read, by every look, and nothing is said to have come there.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use super::{
    harness::{Place, becomes},
    mount::ReadOnly,
    server::Server,
};

/// What a second location cannot be locked by.
const SAID_ONCE: &str = "cannot be written, so that it is read without a lock";

#[track_caller]
fn back_up(server: &Server<'_>, policy: &str) {
    let ended = server.bellctl(&["backup", "run", policy, "--wait"]);
    assert_eq!(ended.code(), 0, "{ended:?}");
}

/// The newest restore point of a policy.
fn newest(server: &Server<'_>, policy: &str) -> String {
    let listed = server.json(&["backup", "list", "--policy", policy]);
    let name = listed["restorePoints"][0]["name"].as_str().unwrap();
    name.strip_prefix("restorePoints/").unwrap().to_owned()
}

fn verified_by_schedule(server: &Server<'_>) -> serde_json::Value {
    let run = server.trigger("verify-backups");
    server.waited(&run)
}

#[test]
fn an_archive_that_is_read_only_is_read_and_takes_nothing() {
    let place = Place::new("");
    let disk = place.path("disk");
    fs::create_dir(&disk).unwrap();
    let password = place.write("password", "of the vault\n");
    fs::set_permissions(&password, Permissions::from_mode(0o600)).unwrap();
    place.configure(&format!(
        "[backups.archive]\nrepository = {:?}\npassword = {{ file = {:?} }}\n",
        disk.join("repository").display(),
        password.display(),
    ));
    let server = place.serve();
    back_up(&server, "daily-full");
    back_up(&server, "monthly-archive");
    let archived = newest(&server, "monthly-archive");
    // The server reads it by a repository that it has open, and one that it opens now.
    server.stop();
    let Some(held) = ReadOnly::make(&disk) else {
        return;
    };
    let server = place.serve();
    for _ in 0..3 {
        let run = verified_by_schedule(&server);
        assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");
        let message = run["message"].as_str().unwrap();
        assert!(message.contains("of the archive's data is whole"), "{run}");
    }
    let verify = ["backup", "verify", &archived, "--level", "read", "--wait"];
    let read = server.bellctl(&verify);
    assert_eq!(read.code(), 0, "{read:?}");
    let restore = [
        "backup", "restore", &archived, "--to", "back", "--yes", "--wait",
    ];
    let restored = server.bellctl(&restore);
    assert_eq!(restored.code(), 0, "{restored:?}");
    let log = server.log();
    assert_eq!(log.matches(SAID_ONCE).count(), 1, "{log}");

    // What is newer does not come there, and nothing says that it has.
    back_up(&server, "pre-deployment");
    let drill = server.bellctl(&["backup", "drill", "--wait"]);
    assert_eq!(drill.code(), 0, "{drill:?}");
    // It is tried again later.
    let run = server.json(&["backup", "run", "monthly-archive"]);
    let run = run["name"].as_str().unwrap();
    becomes("the archive run to fail", || {
        server.run(run)["state"] == "RUN_STATE_RETRY_WAIT"
    });
    server.bellctl(&["run", "cancel", run]).assert_good();
    server.waited(run);
    assert_eq!(newest(&server, "monthly-archive"), archived);
    let run = verified_by_schedule(&server);
    assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");

    // Where the disk can be written again, a server that comes up goes on there.
    server.stop();
    drop(held);
    let server = place.serve();
    back_up(&server, "monthly-archive");
    assert_ne!(newest(&server, "monthly-archive"), archived);

    // That it is damaged is known, though nothing can be written beside it there.
    lose_largest(&disk.join("repository/data"));
    let Some(_held) = ReadOnly::make(&disk) else {
        return;
    };
    let run = verified_by_schedule(&server);
    assert_eq!(run["state"], "RUN_STATE_FAILED", "{run}");
    let listed = server.json(&["backup", "list", "--policy", "monthly-archive"]);
    let points = listed["restorePoints"].as_array().unwrap();
    let mut damaged = points
        .iter()
        .filter(|point| point["damageTime"].is_string());
    assert!(damaged.next().is_some(), "{listed}");
    server.stop();
}

fn lose_largest(data: &Path) {
    let shelves = fs::read_dir(data).unwrap();
    let packs = shelves.flat_map(|shelf| fs::read_dir(shelf.unwrap().path()).unwrap());
    let packs = packs.map(|pack| pack.unwrap());
    let largest = packs.max_by_key(|pack| pack.metadata().unwrap().len());
    fs::remove_file(largest.unwrap().path()).unwrap();
}
