//! A server that runs as a process, and `bellctl` against it.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, ExitStatus},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::harness::{Done, Place, Written, bellctl, ended, eventually, finish};

const LISTENING: &str = "listening on ";
/// Minutes that a run is waited for.
const WAITS: usize = 3;
/// Of what has little time on purpose.
pub(super) const TRIES: usize = 10;

/// A server that answers. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Server<'a> {
    pub(super) place: &'a Place,
    pub(super) token_file: PathBuf,
    child: Child,
    address: String,
    log: Written,
}

impl Place {
    pub(super) fn serve(&self) -> Server<'_> {
        self.serve_by(
            self.watchbell("serve", &["--listen", "127.0.0.1:0"]),
            "data",
        )
    }

    /// Starts the server by this command, with its data in the folder `data` of this place, and waits
    /// until it listens.
    #[track_caller]
    pub(super) fn serve_by(&self, mut command: Command, data: &str) -> Server<'_> {
        let mut child = command.spawn().unwrap();
        let log = Written::by(child.stderr.take().unwrap());
        let mut server = Server {
            place: self,
            token_file: self.path(data).join("token"),
            child,
            address: String::new(),
            log,
        };
        let address = eventually(|| {
            let log = server.log();
            if server.child.try_wait().unwrap().is_some() {
                panic!("the server ended at its start:\n{log}");
            }
            let (_, rest) = log.split_once(LISTENING)?;
            let address = rest.split_whitespace().next()?;
            // The line may not be whole yet.
            rest.contains('\n').then(|| address.to_owned())
        });
        server.address = address
            .unwrap_or_else(|| panic!("the server does not listen; it wrote\n{}", server.log()));
        server
    }
}

impl Server<'_> {
    /// `127.0.0.1:PORT`.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has written so far.
    pub(super) fn log(&self) -> String {
        self.log.text()
    }

    #[track_caller]
    pub(super) fn logs(&self, text: &str) {
        self.log.says(text);
    }

    /// A call of bellctl in the making.
    pub(super) fn bellctl_command(&self, args: &[&str]) -> Command {
        let mut command = self.place.program(bellctl());
        command
            .args(args)
            .env("WATCHBELL_ENDPOINT", format!("http://{}", self.address))
            .env("WATCHBELL_TOKEN_FILE", &self.token_file);
        command
    }

    #[track_caller]
    pub(super) fn bellctl(&self, args: &[&str]) -> Done {
        finish(self.bellctl_command(args))
    }

    /// What bellctl prints as JSON, whatever its exit code.
    #[track_caller]
    pub(super) fn json(&self, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        let done = self.bellctl(&all);
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
    }

    /// Triggers a task; the name of the run.
    #[track_caller]
    pub(super) fn trigger(&self, task: &str) -> String {
        let run = self.json(&["task", "trigger", task]);
        run["run"]["name"].as_str().unwrap().to_owned()
    }

    /// The run as it stands.
    #[track_caller]
    pub(super) fn run(&self, name: &str) -> Value {
        self.json(&["run", "show", name])["run"].take()
    }

    /// The run once it has ended. What works on backups takes its time where others want the processor.
    #[track_caller]
    pub(super) fn waited(&self, name: &str) -> Value {
        let mut run = Value::Null;
        for _ in 0..WAITS {
            run = self.json(&["run", "wait", name, "--timeout", "60s"])["run"].take();
            if run["finishTime"].is_string() {
                break;
            }
        }
        run
    }

    /// A run that has ended, of a task whose command writes a process id to a file, and that process. It is run again
    /// where its time was over before it came to that: a machine may be too busy for it.
    #[track_caller]
    pub(super) fn ended_with(&self, task: &str, file: &str) -> (Value, Pid) {
        let both = (0..TRIES).find_map(|_| {
            let _ = fs::remove_file(self.place.path(file));
            let ended = self.waited(&self.trigger(task));
            Some((ended, written_to(self.place, file)?))
        });
        both.unwrap_or_else(|| panic!("{task} was always ended before it wrote {file}"))
    }

    /// What a health check says.
    #[track_caller]
    pub(super) fn is_ready(&self) -> bool {
        let address = format!("http://{}", self.address);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answer = runtime.block_on(async {
            let endpoint = Endpoint::from_shared(address).unwrap();
            let mut health = HealthClient::new(endpoint.connect().await.unwrap());
            let request = HealthCheckRequest::default();
            health.check(request).await.unwrap().into_inner()
        });
        answer.status() == ServingStatus::Serving
    }

    pub(super) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(id, signal).unwrap();
    }

    /// How it ended, by itself or by a signal that it was sent.
    #[track_caller]
    pub(super) fn ended(&mut self) -> ExitStatus {
        let status = ended(&mut self.child);
        status.unwrap_or_else(|| panic!("the server goes on; it wrote\n{}", self.log()))
    }

    /// Stops it in order.
    #[track_caller]
    pub(super) fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Ends it as a loss of power would.
    #[track_caller]
    pub(super) fn crash(mut self) {
        self.signal(Signal::SIGKILL);
        self.ended();
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        // It has ended where these fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process whose id a command of a task wrote into this file, once it has.
#[track_caller]
pub(super) fn process_of(place: &Place, file: &str) -> Pid {
    let written = eventually(|| written_to(place, file));
    written.unwrap_or_else(|| panic!("no process id in {file}"))
}

/// The process whose id is in this file; none where it is not there, or not whole.
fn written_to(place: &Place, file: &str) -> Option<Pid> {
    let text = fs::read_to_string(place.path(file)).ok()?;
    let id = text.strip_suffix('\n')?.lines().last()?.parse().ok()?;
    Some(Pid::from_raw(id))
}

/// The process that started this one, or took it over.
#[track_caller]
pub(super) fn parent_of(process: Pid) -> Pid {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    Pid::from_raw(rest.split(' ').nth(1).unwrap().parse().unwrap())
}

/// Whether there is such a process, and it has not ended.
pub(super) fn lives(process: Pid) -> bool {
    let state = fs::read_to_string(format!("/proc/{process}/stat"));
    state.is_ok_and(|state| !state.contains(") Z "))
}
