//! A mount whose server is gone, and users that nobody looks up: each costs the runs that need it, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use watchbell::clock::Stopwatch;
use watchbell_client::{client::Client, pb};

use super::{
    harness::{Place, becomes},
    server::Server,
};
use crate::support::{skip, tell};

/// Runs that hang at each thing that does.
const HUNG: usize = 6;
/// Calls of each kind that are timed meanwhile.
const CALLS: usize = 15;
/// What a call takes at the most, and what most of them do.
const AT_MOST: Duration = Duration::from_secs(2);
const MOSTLY: Duration = Duration::from_millis(100);

/// The library that makes a part of the host hang; none, with a word, where there is no C compiler.
fn library(place: &Place) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/process/hanging.c");
    let library = place.path("hanging.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .output();
    match compiled {
        Ok(done) if done.status.success() => Some(library),
        other => {
            skip("a mount that hangs", &format!("cc: {other:?}"));
            None
        }
    }
}

fn configuration(place: &Place) -> String {
    let command = |name: &str, program: &Path, more: &str| {
        format!(
            "[commands.{name}]\nargv = [\"{}\"]\n{more}\n[tasks.{name}]\nkind = \"command\"\n\
             parameters = {{ command = \"{name}\" }}\noverlap = \"allow\"\n",
            program.display()
        )
    };
    let (dead, starts) = (place.path("dead/tool"), place.path("starts/tool"));
    let directory = format!("working_directory = \"{}\"", place.path("dead").display());
    [
        "bench_kinds = true\n".to_owned(),
        command("mount", &dead, ""),
        command("directory", Path::new("/bin/true"), &directory),
        command("user", Path::new("/bin/true"), "user = \"ghost\""),
        command("start", &starts, ""),
        command("good", Path::new("/bin/true"), ""),
        "[tasks.steady]\nkind = \"bench-noop\"\nschedule = { every = \"1s\" }\n".to_owned(),
        "[tasks.other]\nkind = \"bench-noop\"\n".to_owned(),
    ]
    .concat()
}

struct Hanging {
    library: PathBuf,
    place: Place,
    switch: PathBuf,
}

impl Hanging {
    /// A host of which a part hangs until it is released; none, with a word, where that cannot be made.
    fn new() -> Option<Self> {
        let place = Place::new("");
        let library = library(&place)?;
        place.configure(&configuration(&place));
        for folder in ["dead", "starts"] {
            fs::create_dir(place.path(folder)).unwrap();
            fs::copy("/bin/true", place.path(folder).join("tool")).unwrap();
        }
        let switch = place.write("hangs", "");
        Some(Self {
            library,
            place,
            switch,
        })
    }

    fn serve(&self) -> Server<'_> {
        let mut command = self.place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
        command
            .env("LD_PRELOAD", &self.library)
            .env("HANGING_BELOW", self.place.path("dead"))
            .env("HANGING_STARTS", self.place.path("starts"))
            .env("HANGING_USER", "ghost")
            .env("HANGING_WHILE", &self.switch);
        self.place.serve_by(command, "data")
    }

    fn release(&self) {
        fs::remove_file(&self.switch).unwrap();
    }
}

fn client(server: &Server<'_>) -> (Runtime, Client) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let token = fs::read_to_string(&server.token_file).unwrap();
    let _in = runtime.enter();
    let client = Client::connect_lazily(&format!("http://{}", server.address()), &token).unwrap();
    drop(_in);
    (runtime, client)
}

async fn trigger(client: &Client, task: &str) -> String {
    let request = pb::TriggerTaskRequest {
        name: format!("tasks/{task}"),
        ..Default::default()
    };
    let answer = client.tasks().trigger_task(request).await.unwrap();
    answer.into_inner().run.unwrap().name
}

/// Calls of people who need nothing of what hangs: how long each took.
async fn others(client: &Client) -> Vec<(&'static str, Duration)> {
    let mut took = Vec::new();
    for turn in 0..CALLS {
        let watch = Stopwatch::start();
        trigger(client, "other").await;
        took.push(("TriggerTask", watch.elapsed()));
        let watch = Stopwatch::start();
        let get = pb::GetTaskRequest {
            name: "tasks/other".to_owned(),
        };
        let task = client.tasks().get_task(get).await.unwrap().into_inner();
        took.push(("GetTask", watch.elapsed()));
        let mut task = task.task.unwrap();
        task.description = format!("turn {turn}");
        let watch = Stopwatch::start();
        let update = pb::UpdateTaskRequest {
            task: Some(task),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["description".to_owned()],
            }),
            ..Default::default()
        };
        client.tasks().update_task(update).await.unwrap();
        took.push(("UpdateTask", watch.elapsed()));
        let watch = Stopwatch::start();
        let status = pb::GetStatusRequest {};
        client.scheduler().get_status(status).await.unwrap();
        took.push(("GetStatus", watch.elapsed()));
    }
    took
}

/// That none of these waited for what hangs.
#[track_caller]
fn assert_quick(took: Vec<(&'static str, Duration)>) {
    let mut spans: Vec<Duration> = took.iter().map(|(_, span)| *span).collect();
    spans.sort();
    let (middle, most) = (spans[spans.len() / 2], spans[spans.len() - 1]);
    tell(&format!(
        "calls beside what hangs: {middle:?} in the middle, {most:?} at the most"
    ));
    assert!(middle < MOSTLY && most < AT_MOST, "{took:?}");
}

fn problems(server: &Server<'_>) -> Vec<Value> {
    let status = server.json(&["status"]);
    let problems = status["status"]["problems"].as_array();
    problems.cloned().unwrap_or_default()
}

#[test]
fn what_hangs_costs_its_own_runs_alone() {
    let Some(hanging) = Hanging::new() else {
        return;
    };
    let server = hanging.serve();
    let (runtime, client) = client(&server);
    let mut hung = Vec::new();
    runtime.block_on(async {
        for task in ["mount", "directory", "user", "start"] {
            for _ in 0..HUNG {
                hung.push((task, trigger(&client, task).await));
            }
        }
        assert_quick(others(&client).await);
    });
    // Those of others start and end, commands too.
    let good = server.waited(&server.trigger("good"));
    assert_eq!(good["state"], "RUN_STATE_SUCCEEDED", "{good}");
    let says = |task: &str| match task {
        "mount" => "looking at the program",
        "directory" => "looking at the working directory",
        "user" => "looking up user ghost",
        _ => "starting the program",
    };
    for (task, run) in &hung {
        let run = server.waited(run);
        assert_eq!(run["state"], "RUN_STATE_FAILED", "{run}");
        assert_eq!(run["reason"], "HOST_HANGS", "{run}");
        let message = run["message"].as_str().unwrap();
        assert!(message.contains(says(task)), "{message}");
    }
    let refused = hung.iter().map(|(_, run)| server.run(run));
    let refused = refused.filter(|run| run["message"].as_str().unwrap().contains("still hang"));
    assert!(0 < refused.count(), "none was refused at once");
    becomes("the problems of what hangs", || {
        let problems = problems(&server);
        let unrunnable = problems
            .iter()
            .filter(|problem| problem["type"] == "task.unrunnable");
        unrunnable.count() == 3
    });
    runtime.block_on(async { assert_quick(others(&client).await) });

    hanging.release();
    becomes("the end of those problems", || {
        let problems = problems(&server);
        problems.iter().all(|problem| {
            problem["type"] != "task.unrunnable" || problem["subject"] == "tasks/user"
        })
    });
    for task in ["mount", "directory", "start"] {
        let run = server.waited(&server.trigger(task));
        assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");
    }
    server.stop();
}
