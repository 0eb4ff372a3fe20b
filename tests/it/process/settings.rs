//! `watchbell config`: what is in force, from where, and never a secret.

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
