//! `watchbell config`: what is in force, from where, and never a secret.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::harness::{Place, finish};

const SECRET: &str = "hunter2";

#[test]
fn a_flag_stands_over_the_environment_and_that_over_the_file() {
    let place = Place::new("listen = \"127.0.0.1:1\"\nmax_running = 1\nlease = \"20s\"\n");
    let mut config = place.watchbell("config", &["--listen", "127.0.0.1:3"]);
    config
        .env("WATCHBELL_LISTEN", "127.0.0.1:2")
        .env("WATCHBELL_MAX_RUNNING", "2")
        .env("WATCHBELL_LOG__FILTER", "debug");
    let shown = finish(config);
    shown.assert_good();
    let line = |name: &str| {
        let line = shown.stdout.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in {}", shown.stdout))
    };
    assert_eq!(
        line("listen ="),
        "listen = \"127.0.0.1:3\"  # flag --listen"
    );
    assert!(line("max_running =").starts_with("max_running = 2  # variable WATCHBELL_MAX_RUNNING"));
    assert!(
        line("log.filter =")
            .starts_with("log.filter = \"debug\"  # variable WATCHBELL_LOG__FILTER")
    );
    assert!(line("lease =").starts_with("lease = \"20s\"  # file "));
    assert!(line("lease =").ends_with("watchbell.toml"));
    assert_eq!(
        line("shutdown_grace ="),
        "shutdown_grace = \"30s\"  # default"
    );
    assert!(!place.data().exists(), "a look makes nothing");
}

#[test]
fn a_variable_of_no_setting_is_refused() {
    let place = Place::new("");
    let mut config = place.watchbell("config", &[]);
    config.env("WATCHBELL_TIME_ZON", "UTC");
    let says = ["TIME_ZON", "environment", "`time_zone`"];
    finish(config).assert_failed(3, &says);
}

/// Every word `WATCHBELL_…` of the product's own sources and papers; those that end with `_` are beginnings.
fn named_variables() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut look_in: Vec<PathBuf> = ["src", "clients/rust/src", "contrib", "examples", "scripts"]
        .map(|place| Path::new(env!("CARGO_MANIFEST_DIR")).join(place))
        .to_vec();
    look_in.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    while let Some(place) = look_in.pop() {
        if place.is_dir() {
            let entries = fs::read_dir(&place).unwrap();
            look_in.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = fs::read(&place).unwrap();
        let text = String::from_utf8_lossy(&text);
        let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        for word in text.split(|c: char| !is_part(c)) {
            if word.starts_with("WATCHBELL_") && word != "WATCHBELL_" {
                names.insert(word.to_owned());
            }
        }
    }
    names
}

#[test]
fn what_commands_are_given_and_clients_read_is_no_setting() {
    let place = Place::new("");
    let shown = place.run("config", &[]);
    shown.assert_good();
    let is_setting = |name: &str| {
        let key = name["WATCHBELL_".len()..].to_lowercase().replace("__", ".");
        let starts = |line: &str| line.starts_with(&format!("{key} = "));
        shown.stdout.lines().any(starts)
    };
    let names: BTreeSet<String> = named_variables()
        .into_iter()
        .filter(|name| !is_setting(name) && name != "WATCHBELL_CONFIG")
        .map(|name| {
            if name.ends_with('_') {
                name + "X"
            } else {
                name
            }
        })
        .collect();
    for name in ["WATCHBELL_RUN", "WATCHBELL_ACTOR", "WATCHBELL_PARAM_X"] {
        assert!(names.contains(name), "no {name} was found in {names:?}");
    }
    let mut config = place.watchbell("config", &[]);
    for name in &names {
        config.env(name, "zoe");
    }
    finish(config).assert_good();
}

#[test]
fn a_task_can_start_the_servers_own_program() {
    let place = Place::new("");
    let argv = [
        env!("CARGO_BIN_EXE_watchbell").to_owned(),
        "audit-slots".to_owned(),
        "--config".to_owned(),
        place.path("watchbell.toml").display().to_string(),
        "--data".to_owned(),
        place.data().display().to_string(),
    ];
    place.configure(&format!(
        "[commands.audit]\nargv = {argv:?}\n[tasks.audit]\nkind = \"command\"\nparameters = {{ command = \"audit\" }}\n"
    ));
    let mut serve = place.watchbell("serve", &["--listen", "127.0.0.1:0"]);
    // As the README has people do, perhaps in the shell in which they start the server.
    serve.env("WATCHBELL_ACTOR", "zoe");
    let server = place.serve_by(serve, "data");
    let run = server.trigger("audit");
    server.waited(&run);
    let log = server.bellctl(&["run", "logs", &run]).stdout;
    assert_eq!(server.run(&run)["state"], "RUN_STATE_SUCCEEDED", "{log}");
    assert!(log.contains(": 0 findings"), "{log}");
}

#[test]
fn secrets_are_masked() {
    let configuration = r#"
database = "postgres://ada:hunter2@db.example/watchbell?sslpassword=hunter2"
[commands.job]
argv = ["/bin/true"]
stdin = "hunter2"
[commands.job.environment]
DB_PASSWORD = "hunter2"
AWS_SECRET_ACCESS_KEY = "hunter2"
STRIPE_API_KEY = "hunter2"
BACKUP_PASSPHRASE = "hunter2"
LANG = "C.UTF-8"
[http_requests.ping]
url = "https://ada:hunter2@intranet.example/ping?key=hunter2"
body = "hunter2"
headers = { Authorization = "Bearer hunter2", X-Api-Key = "hunter2" }
secret_headers = { X-Signature = { secret = "intranet" } }
[secrets.intranet]
file = "/etc/watchbell/intranet"
"#;
    let place = Place::new(configuration);
    let shown = place.run("config", &[]);
    shown.assert_good();
    assert!(!shown.stdout.contains(SECRET), "{}", shown.stdout);
    for line in [
        "database = \"postgres://ada:***@db.example/watchbell\"",
        "commands.job.stdin = \"***\"",
        "commands.job.environment.STRIPE_API_KEY = \"***\"",
        "commands.job.environment.LANG = \"C.UTF-8\"",
        "http_requests.ping.secret_headers.X-Signature.secret = \"intranet\"",
        "secrets.intranet.file = \"/etc/watchbell/intranet\"",
    ] {
        assert!(shown.stdout.contains(line), "no {line} in {}", shown.stdout);
    }
}
