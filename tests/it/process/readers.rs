//! Outputs of `watchbell` of which nobody reads the end, or that cannot be written.

use std::{
    fs::{File, OpenOptions},
    process::Command,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::harness::{Done, Place, becomes, ended, finish};

/// A disk that is full.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// `watchbell import-crontab` of a crontab with a line that is carried over and one that is not.
fn import(place: &Place) -> Command {
    let crontab = place.write("crontab", "0 2 * * * /bin/true\n@reboot /bin/true\n");
    let mut import = place.program(env!("CARGO_BIN_EXE_watchbell"));
    import.arg("import-crontab").arg(crontab);
    import
}

fn unread(mut command: Command) -> Done {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    finish(command)
}

#[test]
fn what_a_command_shows_changes_no_code_where_nobody_reads_it() {
    let place = Place::new("");
    place.run_unread("config", &[]).assert_good();
    place.configure("max_running = \"many\"");
    place
        .run_unread("config", &[])
        .assert_failed(3, &["max_running"]);
}

#[test]
fn half_a_configuration_is_no_import() {
    let place = Place::new("");
    let import = || import(&place);
    unread(import()).assert_failed(1, &["could not write the configuration", "Broken pipe"]);
    let mut to_full = import();
    to_full.stdout(full());
    finish(to_full).assert_failed(1, &["could not write the configuration", "No space left"]);
}

#[test]
fn what_cannot_be_remarked_breaks_nothing() {
    let place = Place::new("");
    let mut remarks_lost = import(&place);
    remarks_lost.stderr(full());
    let done = finish(remarks_lost);
    done.assert_good();
    assert!(done.stdout.contains("/bin/true"), "{done:?}");
}

/// Whether a process does something of its own on this signal.
fn catches(process: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught & (1 << (signal as u32 - 1)) != 0
}

#[test]
fn a_server_that_cannot_write_its_log_serves() {
    let place = Place::new("");
    let mut serve = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
    serve.stderr(full());
    let mut child = serve.spawn().unwrap();
    becomes("it has made its token", || {
        place.path("data/token").exists()
    });
    becomes("it heeds the signal", || {
        catches(child.id(), Signal::SIGTERM)
    });
    let id = Pid::from_raw(child.id().cast_signed());
    kill(id, Signal::SIGTERM).unwrap();
    let status = ended(&mut child).unwrap();
    assert_eq!(status.code(), Some(0), "{status:?}");
}
