//! A full disk: calls fail with a word on why, the status says so, and once there is space all goes on
//! with nothing lost.

use std::{fs, io::Write as _, path::Path};

use nix::sys::signal::Signal;

use super::{
    crash::{WAITING, under_way},
    harness::{Place, becomes, eventually},
    mount::Mount,
};

const CONFIGURATION: &str = r#"
[commands.true]
argv = ["/bin/true"]
[tasks.by-hand]
kind = "command"
parameters = { command = "true" }
[tasks.each-second]
kind = "command"
parameters = { command = "true" }
schedule = { cron = "* * * * * *" }
"#;

#[test]
fn nothing_is_lost_by_a_full_disk() {
    let place = Place::new(CONFIGURATION);
    let Some(_disk) = Mount::small_disk(&place.path("disk"), 4 << 20) else {
        return;
    };
    let data = place.path("disk/data");
    let data = data.to_string_lossy();
    let flags = ["--data", &*data, "--listen", "127.0.0.1:0"];
    let server = place.serve_by(place.watchbell("serve", &flags), "disk/data");
    let trigger = ["task", "trigger", "by-hand", "--wait"];
    server.bellctl(&trigger).assert_good();

    let filling = place.path("disk/filling");
    fill(&filling);
    let says = ["database is unavailable", "disk is full", "try again"];
    // What the log has room for is written.
    let mut made = 1;
    let failed = eventually(|| {
        let done = server.bellctl(&trigger);
        made += usize::from(done.code() == 0);
        (done.code() != 0).then_some(done)
    });
    failed.expect("a full disk").assert_failed(3, &says);
    becomes("the status is critical", || {
        let status = server.bellctl(&["status"]);
        status.code() == 2 && status.stdout.contains("disk is full")
    });
    becomes("it is not ready", || !server.is_ready());

    fs::remove_file(&filling).unwrap();
    becomes("calls are answered", || {
        server.bellctl(&trigger).code() == 0
    });
    becomes("the status is good", || {
        server.bellctl(&["status"]).code() == 0
    });
    becomes("it is ready", || server.is_ready());
    let audit = place.run("audit-slots", &["--data", &data]);
    audit.assert_good();
    let runs = server.json(&["run", "list", "--task", "by-hand"]);
    assert_eq!(runs["runs"].as_array().unwrap().len(), made + 1, "{runs}");
    server.stop();

    fill(&filling);
    let refused = place.refused(&["--data", &data]);
    refused.assert_failed(1, &["the disk is not full", &data]);
    fs::remove_file(&filling).unwrap();
    place
        .serve_by(place.watchbell("serve", &flags), "disk/data")
        .stop();
}

#[test]
fn a_second_signal_ends_a_server_that_cannot_record_what_has_ended() {
    let place = Place::new(WAITING);
    let Some(_disk) = Mount::small_disk(&place.path("disk"), 4 << 20) else {
        return;
    };
    let data = place.path("disk/data");
    let flags = [
        "--data",
        &*data.to_string_lossy(),
        "--listen",
        "127.0.0.1:0",
    ];
    let mut server = place.serve_by(place.watchbell("serve", &flags), "disk/data");
    let run = under_way(&server, "waiting-twice");
    let filling = place.path("disk/filling");
    fill(&filling);
    place.write("go", "");
    server.logs("could not record what has ended; trying again");
    server.signal(Signal::SIGTERM);
    server.logs("stopping: no new slots, claims or calls");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ended().code(), Some(0), "{}", server.log());

    fs::remove_file(&filling).unwrap();
    let server = place.serve_by(place.watchbell("serve", &flags), "disk/data");
    let run = server.waited(&run);
    assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");
    assert_eq!(run["attempt"], 2, "{run}");
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    // What is smaller than a block may still fit.
    while file.write_all(&[0]).is_ok() {}
}
