//! A server that is killed: what it was about is moved on at the next start, at once.

use std::fs;

use nix::sys::signal::{Signal, kill};

use super::{
    harness::{Place, becomes, postgresql},
    server::{Server, lives, parent_of, process_of},
};
use crate::support::program;

/// Tasks whose first attempt waits for the file `go`; `again` has a second one, and says so.
pub(super) const WAITING: &str = r#"
shutdown_grace = "1s"
[commands.waiting]
argv = ["/bin/sh", "-c", '''
echo $$ >> "$WATCHBELL_TASK.pid"
test "$WATCHBELL_ATTEMPT" = 1 || { echo "attempt $WATCHBELL_ATTEMPT"; exit 0; }
until [ -e go ] || [ ! -e watchbell.toml ]; do sleep 0.05; done''']
[tasks.waiting]
kind = "command"
parameters = { command = "waiting" }
[tasks.waiting-twice]
kind = "command"
parameters = { command = "waiting" }
retry = { max_attempts = 2 }
[tasks.waiting-once]
kind = "command"
parameters = { command = "waiting" }
execution = "at_most_once"
"#;

/// Triggers the task; its run, once it is under way.
#[track_caller]
pub(super) fn under_way(server: &Server<'_>, task: &str) -> String {
    let run = server.trigger(task);
    process_of(server.place, &format!("{task}.pid"));
    run
}

#[test]
fn a_killed_server_leaves_nothing_behind() {
    let place = Place::new(WAITING);
    let server = place.serve();
    under_way(&server, "waiting");
    let command = process_of(&place, "waiting.pid");
    server.crash();
    becomes("the command has ended with its server", || !lives(command));
}

#[test]
fn what_outlives_server_and_launcher_is_ended_before_its_run_is_taken_over() {
    let place = Place::new(WAITING);
    let server = place.serve();
    let run = under_way(&server, "waiting-twice");
    let left = process_of(&place, "waiting-twice.pid");
    // Both at once, as a cgroup's end or want of memory does: stopped, the server does not see the launcher go.
    let launcher = parent_of(left);
    server.signal(Signal::SIGSTOP);
    kill(launcher, Signal::SIGKILL).unwrap();
    becomes("the launcher has ended", || !lives(launcher));
    server.crash();
    assert!(lives(left), "nobody was there to end it");

    let server = place.serve();

    assert!(!lives(left));
    assert!(
        server.log().contains("left running, commands: 1"),
        "{}",
        server.log()
    );
    let run = server.waited(&run);
    assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");
    server.stop();
}

#[test]
fn a_crash_moves_runs_on_at_the_next_start() {
    let place = Place::new(WAITING);
    let server = place.serve();
    let twice = under_way(&server, "waiting-twice");
    let last = under_way(&server, "waiting");
    let once = under_way(&server, "waiting-once");
    server.crash();

    let server = place.serve();
    let log = server.log();
    let (before, _) = log.split_once("listening on ").unwrap();
    assert_eq!(before.matches("of a dead replica").count(), 3, "{log}");

    let run = server.waited(&twice);
    assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");
    assert_eq!(run["attempt"], 2, "{run}");
    assert_eq!(
        server.bellctl(&["run", "logs", &twice]).stdout,
        "attempt 2\n"
    );
    let run = server.run(&last);
    assert_eq!(
        run["state"], "RUN_STATE_FAILED",
        "its attempt counts: {run}"
    );
    assert_eq!(run["reason"], "LEASE_LOST", "{run}");
    let run = server.run(&once);
    assert_eq!(run["state"], "RUN_STATE_ABANDONED", "{run}");
    assert_eq!(run["reason"], "LEASE_LOST", "{run}");
    assert_eq!(server.bellctl(&["run", "wait", &once]).code(), 1);
    place.run("audit-slots", &[]).assert_good();
}

#[test]
fn a_server_that_is_killed_while_it_backs_up_leaves_nothing_behind() {
    let Some((_runtime, database)) = postgresql() else {
        return;
    };
    let place = Place::new("");
    let programs = place.path("bin");
    fs::create_dir(&programs).unwrap();
    let waits = "while [ -e ../watchbell.toml ]; do sleep 0.05; done";
    let hangs = format!(
        "#!/bin/sh\ncd \"$(dirname \"$0\")\"\n\
         [ \"$1\" != --version ] || {{ echo 'pg_dump (PostgreSQL) 99.1'; exit 0; }}\n\
         setsid /bin/sh -c 'echo $$ > escaped; {waits}' &\necho $$ > dumps\n{waits}\n"
    );
    for name in ["pg_dump", "pg_restore"] {
        program(&programs.join(name), &hangs);
    }
    place.configure(&format!("[backups]\npg_bin = {:?}\n", programs.display()));
    let url = database.url();
    let serve = place.watchbell("serve", &["--listen", "127.0.0.1:0", "--database", &url]);
    let server = place.serve_by(serve, "data");
    server.trigger("backup-daily-full");
    let dumps = process_of(&place, "bin/dumps");
    let escaped = process_of(&place, "bin/escaped");

    server.crash();

    becomes("the dump has ended with the server", || !lives(dumps));
    becomes("so has what it had started", || !lives(escaped));
}
