//! What a host lacks of the configuration is a problem at once, keeps no server from starting, and is over by itself.

use serde_json::Value;

use super::{
    harness::{Place, becomes, eventually},
    server::Server,
};
use crate::support::program;

/// A task `nightly` that runs the program of this name in the place, and another that needs nothing.
fn naming(place: &Place, more: &str) -> String {
    format!(
        "[commands.job]\nargv = [\"{}\"]\n{more}\n\
         [commands.true]\nargv = [\"/bin/true\"]\n\
         [tasks.nightly]\nkind = \"command\"\nparameters = {{ command = \"job\" }}\n\
         [tasks.other]\nkind = \"command\"\nparameters = {{ command = \"true\" }}\n",
        place.path("job").display()
    )
}

fn problem(server: &Server<'_>, kind: &str) -> Option<Value> {
    let status = server.json(&["status"]);
    let problems = status["status"]["problems"].as_array()?;
    problems
        .iter()
        .find(|problem| problem["type"] == kind)
        .cloned()
}

/// The problem once it is there.
#[track_caller]
fn found(server: &Server<'_>, kind: &str) -> Value {
    let found = eventually(|| problem(server, kind));
    found.unwrap_or_else(|| panic!("no {kind}"))
}

fn job(place: &Place) {
    program(&place.path("job"), "#!/bin/sh\nexit 0\n");
}

#[test]
fn a_program_that_is_not_there_is_a_problem_and_keeps_nothing_else_from_running() {
    let place = Place::new("");
    place.configure(&naming(&place, ""));
    let server = place.serve();
    let found = found(&server, "task.unrunnable");
    assert_eq!(found["subject"], "tasks/nightly", "{found}");
    assert_eq!(found["severity"], "SEVERITY_CRITICAL", "{found}");
    let message = found["message"].as_str().unwrap();
    assert!(message.contains("job is not there"), "{message}");
    let run = server.waited(&server.trigger("nightly"));
    assert_eq!(run["state"], "RUN_STATE_FAILED", "{run}");
    assert!(
        run["message"].as_str().unwrap().contains("is not there"),
        "{run}"
    );
    let run = server.waited(&server.trigger("other"));
    assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");

    job(&place);
    becomes("the problem's end, by itself", || {
        problem(&server, "task.unrunnable").is_none()
    });
    let run = server.waited(&server.trigger("nightly"));
    assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");
    server.stop();
}

#[test]
fn each_thing_that_a_command_may_lack_is_told() {
    for (more, makes, says) in [
        ("", "text", "is not executable"),
        (
            "working_directory = \"/no/such/place\"",
            "program",
            "/no/such/place is not there",
        ),
        (
            "user = \"nobody-of-that-name\"",
            "program",
            "no user nobody-of-that-name",
        ),
    ] {
        let place = Place::new("");
        place.configure(&naming(&place, more));
        match makes {
            "text" => drop(place.write("job", "#!/bin/sh\n")),
            _ => job(&place),
        }
        let server = place.serve();
        becomes(says, || {
            problem(&server, "task.unrunnable")
                .is_some_and(|problem| problem["message"].as_str().unwrap().contains(says))
        });
        // The same for who looks before it is served.
        let done = place.run("config", &["--check"]);
        done.assert_good();
        assert!(done.stderr.contains(says), "{done:?}");
        place
            .run("config", &["--check", "--strict"])
            .assert_failed(1, &[says]);
    }
}

#[test]
fn a_secret_or_a_backup_password_that_cannot_be_read_is_a_problem_at_once() {
    let place = Place::new("");
    place.configure(&format!(
        "[secrets.intranet]\nfile = \"{}\"\n\
         [http_requests.ping]\nurl = \"http://127.0.0.1:9/\"\n\
         secret_headers = {{ Authorization = {{ secret = \"intranet\" }} }}\n\
         [tasks.ping]\nkind = \"http-request\"\nparameters = {{ request = \"ping\" }}\n\
         [backups]\nrepository = \"{}\"\npassword = {{ file = \"{}\" }}\n",
        place.path("secret").display(),
        place.path("vault").display(),
        place.path("password").display(),
    ));
    let server = place.serve();
    for (kind, subject, says) in [
        ("task.unrunnable", "tasks/ping", "secret intranet"),
        ("backup.unready", "backups/primary", "password"),
    ] {
        let found = found(&server, kind);
        assert_eq!(found["subject"], subject, "{found}");
        assert!(found["message"].as_str().unwrap().contains(says), "{found}");
    }
    server.stop();
}

#[test]
fn a_check_looks_at_the_repository_also_where_its_password_is_yet_to_be_made() {
    let place = Place::new("");
    let file = place.write("file", "");
    let vault = file.join("vault");
    place.configure(&format!(
        "[backups]\nrepository = \"{}\"\n",
        vault.display()
    ));
    let done = place.run("config", &["--check"]);
    done.assert_good();
    for text in ["backups: ", "cannot be written"] {
        assert!(done.stderr.contains(text), "{done:?}");
    }
}

#[test]
fn a_check_of_the_configuration_touches_nothing() {
    let place = Place::new("[tasks.nightly]\nkind = \"prune-history\"\n");
    let done = place.run(
        "config",
        &[
            "--check",
            "--database",
            "postgres://nobody@127.0.0.1:1/none",
        ],
    );
    done.assert_good();
    assert!(!place.data().exists(), "{:?}", place.data_names());
    place.configure("[tasks.nightly]\nkind = \"prune-history\"\npriority = 12\n");
    place
        .run("config", &["--check"])
        .assert_failed(3, &["task nightly", "priority"]);
}
