//! Commands in cgroups of their own, where the server's is delegated to it; nothing of them stays.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    harness::{Place, becomes, eventually},
    server::{Server, lives, process_of},
};
use crate::support::{program, skip};

const COMMANDS: &str = r#"
[commands.where]
argv = ["/bin/sh", "-c", "cat /proc/self/cgroup"]
[commands.escapes]
argv = ["/bin/sh", "-c", "setsid sh -c 'trap \"\" TERM; echo $$ > escaped; while [ -e watchbell.toml ]; do sleep 0.05; done' & wait"]
[commands.no-interpreter]
argv = ["PLACE/script"]
[tasks.where]
kind = "command"
parameters = { command = "where" }
[tasks.escapes]
kind = "command"
parameters = { command = "escapes" }
attempt_timeout = "1s"
cancel_grace = "1s"
[tasks.stays]
kind = "command"
parameters = { command = "escapes" }
[tasks.no-interpreter]
kind = "command"
parameters = { command = "no-interpreter" }
"#;

/// A cgroup that is delegated to who is in it. Dropped, all in it is killed, and it goes.
struct Delegated(PathBuf);

impl Delegated {
    /// None, with a word, where this machine does not let us.
    fn make() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let made = mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut fields = before.split(' ').skip(3);
            let (shown, at) = (fields.next()?, fields.next()?);
            if !after.starts_with("cgroup2 ") || shown != "/" {
                return None;
            }
            let name = format!("watchbell-test-{}", uuid::Uuid::now_v7().simple());
            let made = Self(Path::new(at).join(name));
            fs::create_dir(&made.0).ok()?;
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&made.0, "trusted.delegate", b"1", flags).ok()?;
            Some(made)
        });
        if made.is_none() {
            skip(
                "cgroups of commands",
                "this needs root and a cgroup that may be divided",
            );
        }
        made
    }

    fn serve<'a>(&self, place: &'a Place) -> Server<'a> {
        let serve = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
        let mut command = place.program("/bin/sh");
        command.args(["-c", "echo 0 > \"$0/cgroup.procs\" && exec \"$@\""]);
        command.arg(&self.0);
        command.arg(serve.get_program()).args(serve.get_args());
        place.serve_by(command, "data")
    }

    /// Those of commands.
    fn of_commands(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names
            .filter(|name| name.starts_with("watchbell-run-"))
            .collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        // What fails here is tried again, or was not there.
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        eventually(|| {
            for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(entry.path());
            }
            fs::remove_dir(&self.0).ok()
        });
    }
}

#[test]
fn a_command_has_a_cgroup_of_its_own_and_nothing_of_it_stays() {
    let Some(delegated) = Delegated::make() else {
        return;
    };
    let place = Place::new("");
    let script = place.path("script");
    program(&script, "#!/no/such/interpreter\n");
    let folder = script.parent().unwrap().to_str().unwrap();
    place.configure(&COMMANDS.replace("PLACE", folder));
    let server = delegated.serve(&place);

    let run = server.trigger("where");
    server.waited(&run);
    let log = server.bellctl(&["run", "logs", &run]).stdout;
    let id = run.rsplit('/').next().unwrap();
    assert!(log.contains(&format!("/watchbell-run-{id}.1\n")), "{log}");
    becomes("it is gone", || delegated.of_commands().is_empty());

    // Also where nothing was started, and where all had to be killed.
    let run = server.trigger("no-interpreter");
    let ended = server.waited(&run);
    assert_eq!(ended["state"], "RUN_STATE_FAILED", "{ended}");
    becomes("it is gone", || delegated.of_commands().is_empty());
    let (ended, escaped) = server.ended_with("escapes", "escaped");
    assert_eq!(ended["state"], "RUN_STATE_TIMED_OUT", "{ended}");
    becomes("it is gone", || delegated.of_commands().is_empty());
    assert!(!lives(escaped));

    // The next server removes what one that was killed has left.
    fs::remove_file(place.path("escaped")).unwrap();
    server.trigger("stays");
    let escaped = process_of(&place, "escaped");
    server.crash();
    becomes("it has ended with the server", || !lives(escaped));
    let server = delegated.serve(&place);
    becomes("it is gone", || delegated.of_commands().is_empty());
    server.stop();
}
