//! Commands whose program ends while something that it started lives: nothing of that is hidden, and nothing that is
//! to go on is killed.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    harness::{Place, becomes},
    server::{Server, TRIES, lives, process_of},
};
use crate::support::skip;

/// Each leaves a process that lives until `go` is there, and then writes `mark`; in a session of its own, or not.
const LEAVING: &str = r#"
[commands.waits]
argv = ["/bin/sh", "-c", "(until [ -e go ] || [ ! -e watchbell.toml ]; do sleep 0.05; done; echo afterwards; touch mark) & echo $! > left; echo at once"]
[commands.gives-up]
argv = ["/bin/sh", "-c", "(until [ -e go ] || [ ! -e watchbell.toml ]; do sleep 0.05; done; echo afterwards; touch mark) & echo $! > left"]
leftovers_for = "1s"
[commands.leaves]
argv = ["/bin/sh", "-c", "setsid sh -c 'echo $$ > left; until [ -e go ] || [ ! -e watchbell.toml ]; do sleep 0.05; done; echo afterwards; touch mark' & until [ -e left ]; do sleep 0.01; done"]
leftovers = "leave"
[commands.kills]
argv = ["/bin/sh", "-c", "setsid sh -c 'echo $$ > left; sleep 600' & until [ -e left ]; do sleep 0.01; done"]
leftovers = "kill"
[commands.fails]
argv = ["/bin/sh", "-c", "sleep 600 & echo $! > left; exit 7"]
leftovers = "kill"
[commands.tells]
argv = ["/bin/sh", "-c", "sh -c 'echo $$ > left; while [ -e watchbell.toml ]; do sleep 0.05; done' with $WATCHBELL_PARAM_KEY & until [ -e left ]; do sleep 0.01; done"]
accepts = { key = { secret = true } }
leftovers = "kill"
[tasks.tells]
kind = "command"
parameters = { command = "tells" }
[tasks.waits]
kind = "command"
parameters = { command = "waits" }
[tasks.gives-up]
kind = "command"
parameters = { command = "gives-up" }
[tasks.leaves]
kind = "command"
parameters = { command = "leaves" }
[tasks.kills]
kind = "command"
parameters = { command = "kills" }
[tasks.fails]
kind = "command"
parameters = { command = "fails" }
[tasks.times-out]
kind = "command"
parameters = { command = "waits" }
attempt_timeout = "1s"
"#;

/// Ends what a test has let go on.
struct Ends(Pid);

impl Drop for Ends {
    fn drop(&mut self) {
        // It has ended where this fails.
        let _ = kill(self.0, Signal::SIGKILL);
    }
}

#[test]
fn a_run_waits_for_what_its_command_left_in_the_background() {
    let place = Place::new(LEAVING);
    let server = place.serve();
    let run = server.trigger("waits");
    let left = process_of(&place, "left");
    becomes("the wait is told", || {
        let log = server.bellctl(&["run", "logs", &run]).stdout;
        log.contains("waiting up to 1m for what it has left") && log.contains(&left.to_string())
    });
    assert_eq!(server.run(&run)["state"], "RUN_STATE_RUNNING");
    place.write("go", "");

    let ended = server.waited(&run);
    assert_eq!(ended["outcome"], "RUN_OUTCOME_WORKED", "{ended}");
    assert!(place.path("mark").exists());
    let log = server.bellctl(&["run", "logs", &run]).stdout;
    assert!(
        log.contains("at once\n") && log.contains("afterwards\n"),
        "{log}"
    );
}

#[test]
fn what_outlives_the_wait_goes_on_is_named_and_makes_the_run_partial() {
    let place = Place::new(LEAVING);
    for task in ["gives-up", "times-out"] {
        let _ = fs::remove_file(place.path("mark"));
        let _ = fs::remove_file(place.path("go"));
        let server = place.serve();
        // A machine may be too busy for its program to end before the attempt's time is over.
        let in_time = (0..TRIES).find_map(|_| {
            let (ended, left) = server.ended_with(task, "left");
            (ended["state"] != "RUN_STATE_TIMED_OUT").then_some((ended, left))
        });
        let (ended, left) = in_time.unwrap_or_else(|| panic!("{task} was never in time"));
        let _ends = Ends(left);
        let run = ended["name"].as_str().unwrap().to_owned();

        assert_eq!(ended["state"], "RUN_STATE_SUCCEEDED", "{ended}");
        assert_eq!(ended["outcome"], "RUN_OUTCOME_PARTIAL", "{ended}");
        let message = ended["message"].as_str().unwrap();
        let named = format!("go on: {left} (/bin/sh -c (until");
        assert!(message.contains(&named), "{message}");
        let log = server.bellctl(&["run", "logs", &run]).stdout;
        assert!(log.contains(&format!("goes on: {left} (")), "{log}");
        assert!(lives(left));

        // Neither a stop, nor a crash, nor a start ends it, nor that nobody reads what it writes.
        server.stop();
        assert!(lives(left));
        let server = place.serve();
        assert!(lives(left));
        place.write("go", "");
        becomes("it has done its work", || place.path("mark").exists());
        server.stop();
    }
}

#[test]
fn leftovers_may_be_left_without_a_word() {
    let place = Place::new(LEAVING);
    let server = place.serve();
    let run = server.trigger("leaves");
    let ended = server.waited(&run);
    let left = process_of(&place, "left");
    let _ends = Ends(left);
    assert_eq!(ended["outcome"], "RUN_OUTCOME_WORKED", "{ended}");
    assert_eq!(ended["message"], "exit code 0");
    server.crash();
    let server = place.serve();
    assert!(lives(left), "it was left on purpose");
    place.write("go", "");
    becomes("it has done its work", || place.path("mark").exists());
    server.stop();
}

#[test]
fn leftovers_may_be_killed_which_is_told() {
    let place = Place::new(LEAVING);
    let server = place.serve();
    let run = server.trigger("kills");
    let ended = server.waited(&run);
    let left = process_of(&place, "left");
    assert!(!lives(left), "also out of its group and session");
    assert_eq!(ended["outcome"], "RUN_OUTCOME_PARTIAL", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("were ended: {left} (")),
        "{message}"
    );

    fs::remove_file(place.path("left")).unwrap();
    let run = server.trigger("fails");
    let ended = server.waited(&run);
    assert!(!lives(process_of(&place, "left")));
    assert_eq!(ended["state"], "RUN_STATE_FAILED", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.contains("exit code 7") && message.contains("were ended"),
        "{message}"
    );
}

#[test]
fn a_cancel_after_the_program_has_ended_ends_what_it_left_and_is_no_end_of_the_run() {
    let place = Place::new(LEAVING);
    let server = place.serve();
    let run = server.trigger("waits");
    let left = process_of(&place, "left");
    becomes("the wait is told", || {
        let log = server.bellctl(&["run", "logs", &run]).stdout;
        log.contains("waiting up to")
    });
    server.bellctl(&["run", "cancel", &run]).assert_good();

    let ended = server.waited(&run);
    assert!(!lives(left));
    assert_eq!(ended["state"], "RUN_STATE_SUCCEEDED", "{ended}");
    assert_eq!(ended["outcome"], "RUN_OUTCOME_PARTIAL", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("were ended: {left} (")),
        "{message}"
    );
    assert!(!place.path("mark").exists());
}

#[test]
fn a_secret_in_the_command_line_of_what_is_left_is_masked() {
    let place = Place::new(LEAVING);
    let server = place.serve();
    let key = "key=hunter2 and more";
    let run = server.json(&["task", "trigger", "tells", "--param", key]);
    let run = run["run"]["name"].as_str().unwrap().to_owned();
    let ended = server.waited(&run);
    assert_eq!(ended["outcome"], "RUN_OUTCOME_PARTIAL", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(message.contains("done with ***)"), "{message}");
    let log = server.bellctl(&["run", "logs", &run]).stdout;
    assert!(log.contains("done with ***)"), "{log}");
    assert!(
        !format!("{ended}{log}").contains("hunter2"),
        "{ended} {log}"
    );
}

/// Each leaves a process of root's, whom its own user does not see in `/proc`.
const HIDDEN: &str = r#"
[commands.hides]
argv = ["/bin/sh", "-c", "./hidden 600 & echo $! > left; while [ -e /proc/$! ]; do sleep 0.01; done"]
working_directory = "PLACE/open"
user = "nobody"
leftovers_for = "1s"
[commands.ends]
argv = ["/bin/sh", "-c", "./hidden 600 & echo $! > left; while [ -e /proc/$! ]; do sleep 0.01; done"]
working_directory = "PLACE/open"
user = "nobody"
leftovers = "kill"
[tasks.hides]
kind = "command"
parameters = { command = "hides" }
[tasks.ends]
kind = "command"
parameters = { command = "ends" }
"#;

/// A server that sees all of `/proc`, and whose commands see their own user's; none, with a word, where this machine does not
/// let us.
fn where_others_are_hidden(place: &Place) -> Option<Server<'_>> {
    let skipped = |why: &str| {
        skip("processes that /proc hides", why);
        None
    };
    if !nix::unistd::geteuid().is_root() {
        return skipped("this needs root");
    }
    let folder = place.path("open");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(place.path("."), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    // By another process: see `program`.
    let hidden = folder.join("hidden");
    let copied = Command::new("cp").arg("/bin/sleep").arg(&hidden).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(&hidden, Permissions::from_mode(0o4755)).unwrap();
    place.configure(&HIDDEN.replace(
        "PLACE",
        place.path("").to_str().unwrap().trim_end_matches('/'),
    ));
    let hiding = "mount -t proc -o hidepid=invisible proc /proc";
    let hides = |then: &Command| {
        let mut command = place.program("unshare");
        command.args(["--mount", "/bin/sh", "-c"]);
        command.arg(format!("{hiding} && exec \"$0\" \"$@\""));
        command.arg(then.get_program()).args(then.get_args());
        command
    };
    let seen = "su -s /bin/sh nobody -c '[ ! -e /proc/1 ]' && [ -e /proc/1 ]";
    let tried = hides(place.program("/bin/sh").args(["-c", seen])).status();
    if !tried.is_ok_and(|tried| tried.success()) {
        return skipped("it cannot be mounted so that it hides");
    }
    let serve = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
    Some(place.serve_by(hides(&serve), "data"))
}

#[test]
fn what_proc_does_not_show_counts_and_goes_on() {
    let place = Place::new("");
    let Some(server) = where_others_are_hidden(&place) else {
        return;
    };
    let run = server.trigger("hides");
    let left = process_of(&place, "open/left");
    let _ends = Ends(left);
    let ended = server.waited(&run);
    assert_eq!(ended["state"], "RUN_STATE_SUCCEEDED", "{ended}");
    assert_eq!(ended["outcome"], "RUN_OUTCOME_PARTIAL", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.contains("go on: 1 process that cannot be seen"),
        "{message}"
    );
    server.stop();
    assert!(lives(left));
}

#[test]
fn what_a_launcher_does_not_see_the_server_ends() {
    let place = Place::new("");
    let Some(server) = where_others_are_hidden(&place) else {
        return;
    };
    let run = server.trigger("ends");
    let ended = server.waited(&run);
    let left = process_of(&place, "open/left");
    let _ends = Ends(left);
    assert_eq!(ended["outcome"], "RUN_OUTCOME_PARTIAL", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.contains("were ended: 1 process that cannot be seen"),
        "{message}"
    );
    assert!(!lives(left));
}
