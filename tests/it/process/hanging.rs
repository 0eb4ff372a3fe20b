//! A mount whose server is gone, and users that nobody looks up: each costs the runs that need it, and nothing else.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use watchbell::clock::Stopwatch;
use watchbell_client::{client::Client, pb};

use super::{
    harness::{Place, becomes, finish},
    server::Server,
};
use crate::support::{skip, tell};

/// Runs that hang at each thing that does.
const HUNG: usize = 6;
/// Calls of each kind that are timed meanwhile.
const CALLS: usize = 15;
/// What a task needs that no directory of names knows.
const NO_HOST: &str = "nowhere.example";
const STEADY: &str = "bench_kinds = true\n[tasks.steady]\nkind = \"bench-noop\"\nschedule = { every = \"1s\" }\n\
                      [tasks.other]\nkind = \"bench-noop\"\noverlap = \"allow\"\n";
/// What a call takes at the most, and what most of them do.
const AT_MOST: Duration = Duration::from_secs(2);
const MOSTLY: Duration = Duration::from_millis(100);
/// How often some are made until they are so quick: the machine may be busy with something else. What waits for what hangs
/// does so each time.
const TRIES: usize = 10;

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

/// Commands that need something which hangs, each with a task of its name, and one that needs nothing of it.
fn commands(place: &Place) -> String {
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
        command("mount", &dead, ""),
        command("directory", Path::new("/bin/true"), &directory),
        command("user", Path::new("/bin/true"), "user = \"ghost\""),
        command("start", &starts, ""),
        command("good", Path::new("/bin/true"), ""),
    ]
    .concat()
}

/// Tasks that need other things which hang: the resolver, a secret's file, a repository.
fn others_of_it(place: &Place) -> String {
    let dead = place.path("dead");
    let request = |name: &str, more: &str| {
        format!(
            "[http_requests.{name}]\n{more}\n[tasks.{name}]\nkind = \"http-request\"\n\
             parameters = {{ request = \"{name}\" }}\noverlap = \"allow\"\n"
        )
    };
    [
        format!(
            "[backups]\nrepository = \"{}\"\n[secrets.kept]\nfile = \"{}\"\n",
            dead.join("repository").display(),
            dead.join("secret").display()
        ),
        request(
            "name",
            &format!("url = \"http://{NO_HOST}/\"\ntimeout = \"4s\""),
        ),
        request(
            "secret",
            "url = \"http://127.0.0.1:9/\"\nsecret_headers = { Authorization = { secret = \"kept\" } }",
        ),
    ]
    .concat()
}

/// A host of which a part hangs, as it does from the start, until it is released.
#[derive(Debug)]
pub(crate) struct Hung {
    library: PathBuf,
    switch: PathBuf,
    folder: PathBuf,
}

impl Hung {
    /// In this place, with what `configuration` and commands that hang; none, with a word, where that cannot be made.
    pub(crate) fn new(place: &Place, configuration: &str) -> Option<Self> {
        let library = library(place)?;
        place.configure(&[configuration, &commands(place)].concat());
        for folder in ["dead", "starts"] {
            fs::create_dir(place.path(folder)).unwrap();
            fs::copy("/bin/true", place.path(folder).join("tool")).unwrap();
        }
        let hung = Self {
            library,
            switch: place.path("hangs"),
            folder: place.path(""),
        };
        hung.hang();
        Some(hung)
    }

    /// What a server finds in its environment.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.display().to_string();
        let variables = [
            ("LD_PRELOAD", path(&self.library)),
            ("HANGING_BELOW", path(&self.folder.join("dead"))),
            ("HANGING_STARTS", path(&self.folder.join("starts"))),
            ("HANGING_USER", "ghost".to_owned()),
            ("HANGING_HOST", NO_HOST.to_owned()),
            ("HANGING_DISK", path(&self.folder.join("data"))),
            ("HANGING_WHILE", path(&self.switch)),
        ];
        variables
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
    }

    pub(crate) fn hang(&self) {
        fs::write(&self.switch, "").unwrap();
    }

    pub(crate) fn release(&self) {
        fs::remove_file(&self.switch).unwrap();
    }

    fn serve<'a>(&self, place: &'a Place) -> Server<'a> {
        let mut command = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
        command.envs(self.environment());
        place.serve_by(command, "data")
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

/// That none of these waits for what hangs.
async fn others_are_quick(client: &Client) {
    let mut tries = Vec::new();
    while tries.len() < TRIES {
        let took = others(client).await;
        let mut spans: Vec<Duration> = took.iter().map(|(_, span)| *span).collect();
        spans.sort();
        let (middle, most) = (spans[spans.len() / 2], spans[spans.len() - 1]);
        tell(&format!(
            "calls beside what hangs: {middle:?} in the middle, {most:?} at the most"
        ));
        if middle < MOSTLY && most < AT_MOST {
            return;
        }
        tries.push(took);
    }
    panic!("they are never quick: {tries:?}");
}

fn problems(server: &Server<'_>) -> Vec<Value> {
    let status = server.json(&["status"]);
    let problems = status["status"]["problems"].as_array();
    problems.cloned().unwrap_or_default()
}

#[test]
fn what_hangs_costs_its_own_runs_alone() {
    let place = Place::new("");
    let Some(hung_host) = Hung::new(&place, STEADY) else {
        return;
    };
    let server = hung_host.serve(&place);
    let (runtime, client) = client(&server);
    let mut hung = Vec::new();
    runtime.block_on(async {
        for task in ["mount", "directory", "user", "start"] {
            for _ in 0..HUNG {
                hung.push((task, trigger(&client, task).await));
            }
        }
        others_are_quick(&client).await;
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
    runtime.block_on(others_are_quick(&client));

    hung_host.release();
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

#[test]
fn a_resolver_a_secret_a_repository_and_a_disk_that_hang_cost_their_own_runs_alone() {
    let place = Place::new("");
    let configuration = [STEADY, &others_of_it(&place)].concat();
    let Some(hung_host) = Hung::new(&place, &configuration) else {
        return;
    };
    hung_host.release();
    let secret = place.write("dead/secret", "very secret");
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let server = hung_host.serve(&place);
    let (runtime, client) = client(&server);

    hung_host.hang();
    let (name, secret, check) = runtime.block_on(async {
        let name = trigger(&client, "name").await;
        let secret = trigger(&client, "secret").await;
        (
            name,
            secret,
            trigger(&client, "perform-system-health-check").await,
        )
    });
    let backup = server.json(&["backup", "run", "daily-full"]);
    let backup = backup["name"].as_str().unwrap().to_owned();
    runtime.block_on(others_are_quick(&client));
    let good = server.waited(&server.trigger("good"));
    assert_eq!(good["state"], "RUN_STATE_SUCCEEDED", "{good}");
    let name = server.waited(&name);
    assert_eq!(name["state"], "RUN_STATE_FAILED", "{name}");
    let secret = server.waited(&secret);
    assert_eq!(secret["reason"], "HOST_HANGS", "{secret}");
    assert!(says(&secret, "reading secret kept"), "{secret}");
    let check = server.waited(&check);
    assert_eq!(check["outcome"], "RUN_OUTCOME_PARTIAL", "{check}");
    assert!(says(&check, "disk"), "{check}");
    // It is tried again later.
    becomes("the backup to be given up", || {
        let run = server.run(&backup);
        run["state"] == "RUN_STATE_RETRY_WAIT" && says(&run, "the repository at")
    });
    runtime.block_on(others_are_quick(&client));

    hung_host.release();
    server.bellctl(&["run", "cancel", &backup]).assert_good();
    server.waited(&backup);
    let backup = server.bellctl(&["backup", "run", "daily-full", "--wait"]);
    assert!(backup.stdout.contains("succeeded"), "{backup:?}");
    let check = server.waited(&server.trigger("perform-system-health-check"));
    assert_eq!(check["state"], "RUN_STATE_SUCCEEDED", "{check}");
    assert_ne!(check["outcome"], "RUN_OUTCOME_PARTIAL", "{check}");
    server.stop();
}

/// A disk that has died must not keep anybody from what is left.
#[test]
fn a_source_that_hangs_costs_no_command_that_makes_no_backup() {
    let place = Place::new("");
    let source = place.path("dead/www");
    let configuration = format!("[backups.sources.www]\npaths = [{source:?}]\n");
    let Some(hung_host) = Hung::new(&place, &configuration) else {
        return;
    };
    let run = |command: &str| {
        let mut watchbell = place.watchbell(command, &[]);
        watchbell.envs(hung_host.environment());
        finish(watchbell)
    };
    let unseen = format!("{} has given no answer", source.display());
    // It is waited for, and told, where backups are made.
    let shown = run("config");
    shown.assert_good();
    assert!(shown.stderr.contains(&unseen), "{shown:?}");
    for command in ["migrate", "vacuum", "audit-slots"] {
        let done = run(command);
        done.assert_good();
        assert!(!done.stderr.contains(&unseen), "{command}: {done:?}");
    }
}

fn says(run: &Value, words: &str) -> bool {
    let message = run["message"].as_str().unwrap_or_default();
    message.contains(words)
}
