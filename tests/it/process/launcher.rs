//! What stands between the server and a command: nothing that was started outlives its end, and it is whom it is to be.

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::geteuid,
};

use super::{
    harness::{Place, becomes},
    server::{lives, parent_of, process_of},
};
use crate::support::{program, skip};

const ESCAPES: &str = r#"
[commands.escapes]
argv = ["/bin/sh", "-c", "setsid sh -c 'trap \"\" TERM; echo $$ > escaped; while [ -e watchbell.toml ]; do sleep 0.05; done' & echo $$ > leader; wait"]
[commands.stays]
argv = ["/bin/sh", "-c", "trap 'echo cleaning; until [ -e go ]; do sleep 0.05; done; echo cleaned; exit 0' TERM; echo $$ > leader; while [ -e watchbell.toml ]; do sleep 0.05; done"]
[commands.no-interpreter]
argv = ["PLACE/script"]
[tasks.escapes]
kind = "command"
parameters = { command = "escapes" }
attempt_timeout = "1s"
cancel_grace = "1s"
[tasks.stays]
kind = "command"
parameters = { command = "stays" }
cancel_grace = "5m"
[tasks.no-interpreter]
kind = "command"
parameters = { command = "no-interpreter" }
"#;

fn place() -> Place {
    let place = Place::new("");
    let script = place.path("script");
    program(&script, "#!/no/such/interpreter\n");
    let folder = script.parent().unwrap().to_str().unwrap();
    place.write("watchbell.toml", &ESCAPES.replace("PLACE", folder));
    place
}

#[test]
fn a_child_in_a_session_of_its_own_does_not_outlive_a_timeout() {
    let place = place();
    let server = place.serve();
    let (ended, escaped) = server.ended_with("escapes", "escaped");
    assert_eq!(ended["state"], "RUN_STATE_TIMED_OUT", "{ended}");
    assert!(!lives(escaped));
}

#[test]
fn a_child_in_a_session_of_its_own_does_not_outlive_a_killed_server() {
    let place = place();
    let server = place.serve();
    server.trigger("escapes");
    let escaped = process_of(&place, "escaped");
    server.crash();
    becomes("it has ended with the server", || !lives(escaped));
}

#[test]
fn a_command_has_all_of_its_grace_to_end_by_itself() {
    let place = place();
    let server = place.serve();
    let run = server.trigger("stays");
    process_of(&place, "leader");
    server.bellctl(&["run", "cancel", &run]).assert_good();
    becomes("it cleans up", || {
        server
            .bellctl(&["run", "logs", &run])
            .stdout
            .contains("cleaning\n")
    });
    place.write("go", "");
    let ended = server.waited(&run);
    assert_eq!(ended["state"], "RUN_STATE_CANCELLED", "{ended}");
    assert_eq!(ended["reason"], "CANCEL_REQUESTED", "{ended}");
    let log = server.bellctl(&["run", "logs", &run]).stdout;
    assert!(
        log.contains("cleaned\n") && !log.contains("SIGKILL"),
        "{log}"
    );
}

#[test]
fn a_launcher_that_is_killed_is_told_and_leaves_nothing() {
    let place = place();
    let server = place.serve();
    let run = server.trigger("stays");
    let leader = process_of(&place, "leader");
    kill(parent_of(leader), Signal::SIGKILL).unwrap();
    let ended = server.waited(&run);
    assert!(!lives(leader));
    assert_eq!(ended["state"], "RUN_STATE_FAILED", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(
        message.contains("launcher") && message.contains("was ended"),
        "{message}"
    );
}

#[test]
fn what_keeps_a_command_from_starting_is_told() {
    let place = place();
    let server = place.serve();
    let run = server.trigger("no-interpreter");
    let ended = server.waited(&run);
    assert_eq!(ended["state"], "RUN_STATE_FAILED", "{ended}");
    let message = ended["message"].as_str().unwrap();
    assert!(message.contains("could not start"), "{message}");
    assert!(message.contains("No such file"), "{message}");
}

#[test]
fn a_command_runs_as_its_user_with_all_groups_of_that() {
    if !geteuid().is_root() {
        skip("commands of other users", "only root may run them");
        return;
    }
    // A user with a group besides its own, on whatever system this is.
    let groups = fs::read_to_string("/etc/group").unwrap();
    let with_member = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (_, _, id, members) = (fields.next(), fields.next(), fields.next()?, fields.next()?);
        let member = members
            .split(',')
            .find(|name| !name.is_empty() && *name != "root")?;
        Some((id.to_owned(), member.to_owned()))
    });
    let Some((group, user)) = with_member else {
        skip("supplementary groups", "no user here has any");
        return;
    };
    let place = Place::new(&format!(
        "[commands.who]\nargv = [\"/bin/sh\", \"-c\", \"id -un; echo groups $(id -G) ; echo $HOME $USER $LOGNAME; cat; echo to its own output > /dev/stdout\"]\nuser = \"{user}\"\nstdin = \"handed over\\n\"\nworking_directory = \"/\"\n[tasks.who]\nkind = \"command\"\nparameters = {{ command = \"who\" }}\n"
    ));
    let server = place.serve();
    let run = server.trigger("who");
    let ended = server.waited(&run);
    assert_eq!(ended["state"], "RUN_STATE_SUCCEEDED", "{ended}");
    let log = server.bellctl(&["run", "logs", &run]).stdout;
    assert!(log.starts_with(&format!("{user}\n")), "{log}");
    let groups = log
        .lines()
        .find(|line| line.starts_with("groups "))
        .unwrap();
    assert!(groups.split(' ').any(|id| id == group), "{group} in {log}");
    assert!(log.contains(&format!(" {user} {user}\n")), "{log}");
    assert!(
        log.contains("handed over\n") && log.contains("to its own output\n"),
        "{log}"
    );
}
