//! Callers of a server process, and the files that they hold.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Command,
    time::Duration,
};

use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use watchbell::clock::Stopwatch;
use watchbell_client::{client::Client, pb};

use super::{
    harness::{Place, becomes, eventually},
    server::Server,
};
use crate::support::rest;

const FILES: &str = r#"
[commands.files]
argv = ["/bin/sh", "-c", "echo soft $(ulimit -Sn), hard $(ulimit -Hn)"]
[tasks.files]
kind = "command"
parameters = { command = "files" }
"#;
/// At the files of a server.
const LOOKS: usize = 100;
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The server under these limits of open files.
fn limited(place: &Place, limits: &str) -> Command {
    let server = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
    let mut shell = place.program("/bin/sh");
    shell
        .args(["-c", &format!("{limits} && exec \"$@\""), "sh"])
        .arg(server.get_program())
        .args(server.get_args());
    shell
}

/// What a process has used of the processor so far.
fn used(server: &Server<'_>) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id())).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let ticks = rest.split(' ').skip(11).take(2);
    Duration::from_millis(ticks.map(|ticks| 10 * ticks.parse::<u64>().unwrap()).sum())
}

/// Whether so many lines are one at once, and no more than one in each minute since.
fn is_a_line_a_minute(lines: usize, since: &Stopwatch) -> bool {
    (1..=1 + since.elapsed().as_secs() / 60).contains(&(lines as u64))
}

#[test]
fn the_server_opens_as_many_files_as_it_may_and_its_commands_as_many_as_it_was_given() {
    let place = Place::new(FILES);
    let server = place.serve_by(limited(&place, "ulimit -Sn 300 && ulimit -Hn 9000"), "data");
    server.logs("connections=4096");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    assert!(
        files.unwrap().contains("9000                 9000"),
        "{limits}"
    );
    let run = server.trigger("files");
    assert_eq!(server.waited(&run)["state"], "RUN_STATE_SUCCEEDED");
    let log = server.bellctl(&["run", "logs", &run]);
    assert!(log.stdout.contains("soft 300, hard 9000"), "{log:?}");
    server.stop();
}

#[test]
fn callers_that_say_nothing_cost_no_call_and_little_else() {
    let place = Place::new(FILES);
    let server = place.serve_by(limited(&place, "ulimit -n 400"), "data");
    server.logs("connections=200");
    server.logs("raise LimitNOFILE");
    let since = Stopwatch::start();
    let mut silent = Vec::new();
    for number in 0..354 {
        let mut connection = TcpStream::connect(server.address()).unwrap();
        if number % 2 == 0 {
            connection.write_all(GREETING).unwrap();
        }
        silent.push(connection);
    }
    let (watch, before) = (Stopwatch::start(), used(&server));
    for _ in 0..3 {
        server.bellctl(&["task", "list"]).assert_good();
    }
    // The last that says nothing is closed; the last that has greeted stays.
    let last = silent.len() - 1;
    let mut rest = Vec::new();
    silent[last].read_to_end(&mut rest).unwrap();
    silent[last - 1].set_nonblocking(true).unwrap();
    let mut buffer = [0; 1024];
    let closed = loop {
        match silent[last - 1].read(&mut buffer) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
        }
    };
    assert!(!closed);
    let (passed, used) = (watch.elapsed(), used(&server) - before);
    assert!(used * 3 < passed, "{used:?} of the processor in {passed:?}");
    let log = server.log();
    let told = log.matches("idle ones are closed for new ones").count();
    assert!(is_a_line_a_minute(told, &since), "{told}:\n{log}");
    let run = server.trigger("files");
    assert_eq!(server.waited(&run)["state"], "RUN_STATE_SUCCEEDED");
    server.stop();
}

#[test]
fn callers_who_come_at_once_stand_in_line() {
    let place = Place::new(FILES);
    let server = place.serve();
    let address = server.address().parse().unwrap();
    server.signal(Signal::SIGSTOP);
    // Whoever finds no place in it would hear nothing, and come back for as long as nobody is let in.
    let callers: Vec<_> = (0..1000)
        .map(|_| TcpStream::connect_timeout(&address, Duration::from_secs(30)).unwrap())
        .collect();
    server.signal(Signal::SIGCONT);
    server.bellctl(&["task", "list"]).assert_good();
    drop(callers);
    server.stop();
}

#[test]
fn a_server_that_gets_no_file_waits_for_one_and_says_so() {
    let place = Place::new(FILES);
    let server = place.serve();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let token = std::fs::read_to_string(&server.token_file).unwrap();
    let endpoint = format!("http://{}", server.address());
    // Its one connection has a call under way, so that it has to stay.
    let (client, watch) = runtime.block_on(async {
        let client = Client::connect(&endpoint, &token).await.unwrap();
        let mut runs = client.runs();
        let watch = runs.watch_runs(pb::WatchRunsRequest::default());
        let watch = watch.await.unwrap().into_inner();
        (client, watch)
    });
    let id = Pid::from_raw(server.id().cast_signed()).unwrap();
    let open = |file: &u64| Path::new(&format!("/proc/{}/fd/{file}", server.id())).is_symlink();
    // What is open for a moment only would leave room for the caller.
    let free = (0..LOOKS).filter_map(|_| {
        rest(Duration::from_millis(10));
        (0..).find(|file| !open(file))
    });
    let few = Rlimit {
        current: free.min(),
        maximum: Some(20_000),
    };
    let since = Stopwatch::start();
    let before = prlimit(Some(id), Resource::Nofile, few).unwrap();
    let watch_of_time = Stopwatch::start();
    let used_before = used(&server);
    let mut caller = TcpStream::connect(server.address()).unwrap();
    caller.write_all(GREETING).unwrap();

    let problem = eventually(|| {
        let asked = runtime.block_on(async {
            let mut scheduler = client.scheduler();
            let status = scheduler.get_status(pb::GetStatusRequest {});
            status.await.unwrap().into_inner().status.unwrap().problems
        });
        let told = |problem: &pb::Problem| problem.r#type == "server.connections";
        asked.into_iter().find(told)
    });
    let problem = problem.unwrap();
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert!(
        problem.message.contains("Too many open files"),
        "{problem:?}"
    );
    caller
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    caller.read(&mut [0; 100]).unwrap_err();
    let (passed, used) = (watch_of_time.elapsed(), used(&server) - used_before);
    assert!(used * 2 < passed, "{used:?} of the processor in {passed:?}");

    prlimit(Some(id), Resource::Nofile, before).unwrap();
    caller
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    assert_ne!(caller.read(&mut [0; 100]).unwrap(), 0);
    let log = server.log();
    let told = log.matches("could not take a connection").count();
    assert!(is_a_line_a_minute(told, &since), "{told}:\n{log}");
    becomes("calls to be answered", || {
        server.bellctl(&["task", "list"]).code() == 0
    });
    drop(watch);
    server.stop();
}
