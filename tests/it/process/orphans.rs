//! A server that is the first process of a container: what is left without a parent there becomes its child.

use std::fs;

use super::{
    harness::{Place, becomes},
    server::Server,
};
use crate::support::skip;

/// What it leaves has let go of its output, so that nobody but the server is left to be its parent.
const LEAVING: &str = r#"
[commands.leaves]
argv = ["/bin/sh", "-c", "setsid sh -c 'exec >/dev/null 2>&1; touch left; until [ -e go ] || [ ! -e watchbell.toml ]; do sleep 0.05; done' orphan & until [ -e left ]; do sleep 0.01; done"]
leftovers = "leave"
[commands.ends]
argv = ["/bin/sh", "-c", "exit 3"]
success_exit_codes = [3]
[tasks.leaves]
kind = "command"
parameters = { command = "leaves" }
[tasks.ends]
kind = "command"
parameters = { command = "ends" }
overlap = "allow"
"#;

/// A server in a namespace of its own, of which it is the first process; none, with a word, where this machine does not let
/// us.
fn first_of_all(place: &Place) -> Option<Server<'_>> {
    let first = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let tried = place.program("unshare").args(first).arg("true").status();
    if !tried.is_ok_and(|tried| tried.success()) {
        skip("a server as process 1", "this needs root and namespaces");
        return None;
    }
    let serve = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
    let mut command = place.program("unshare");
    command.args(first);
    command.arg(serve.get_program()).args(serve.get_args());
    Some(place.serve_by(command, "data"))
}

/// State and command line of each child of a process.
fn children_of(parent: u32) -> Vec<(u32, String, String)> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(|id: u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, of) = (fields.next()?, fields.next()?);
        let line = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        (of == parent.to_string()).then(|| (id, state.to_owned(), line))
    })
    .collect()
}

#[test]
fn what_is_left_to_a_first_process_does_not_stay_as_a_zombie() {
    let place = Place::new(LEAVING);
    let Some(server) = first_of_all(&place) else {
        return;
    };
    // The namespace's first process, as it is seen from here.
    let first = children_of(server.id()).first().unwrap().0;
    let run = server.trigger("leaves");
    server.waited(&run);
    let mut orphan = None;
    becomes("it is the server's own child", || {
        let children = children_of(first);
        let found = children.iter().find(|(_, _, line)| line.contains("orphan"));
        orphan = found.map(|(id, ..)| *id);
        orphan.is_some()
    });
    place.write("go", "");
    // Beside it others end, whose ends somebody waits for.
    let runs: Vec<String> = (0..20).map(|_| server.trigger("ends")).collect();

    becomes("its end is taken", || {
        children_of(first)
            .iter()
            .all(|(id, ..)| Some(*id) != orphan)
    });

    for run in runs {
        let ended = server.waited(&run);
        assert_eq!(ended["message"], "exit code 3", "{ended}");
    }
    becomes("no zombie is left", || {
        children_of(first).iter().all(|(_, state, _)| state != "Z")
    });
}
