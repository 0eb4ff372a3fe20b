//! A wrong configuration is refused with code 3: the message names what is wrong and what was
//! expected, and nothing is made.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use super::harness::Place;

/// That the server does not start on this, says why, and leaves nothing behind.
#[track_caller]
fn refuses(configuration: &str, says: &[&str]) {
    let place = Place::new(configuration);
    place.refused(&[]).assert_failed(3, says);
    assert!(!place.data().exists(), "{:?}", place.data_names());
}

/// A task `nightly` of a kind without parameters, with further lines.
#[track_caller]
fn refuses_task(lines: &str, says: &[&str]) {
    let mut all = vec!["task nightly", "expected"];
    all.extend(says);
    refuses(
        &format!("[tasks.nightly]\nkind = \"prune-history\"\n{lines}\n"),
        &all,
    );
}

#[test]
fn two_tasks_of_one_name_are_refused() {
    let task = "[tasks.nightly]\nkind = \"prune-history\"\n";
    refuses(
        &format!("{task}{task}"),
        &[
            "line 3",
            "duplicate key `nightly` in table `tasks`",
            ".toml",
        ],
    );
}

#[test]
fn a_refusal_shows_the_place_and_no_secret() {
    for (configuration, says) in [
        (
            "database = \"postgres://ada:hunter2@db/watchbell\n",
            &["line 1, column ", ".toml"][..],
        ),
        (
            "[secrets]\nvault = \"hunter2\"\n",
            &["secrets.vault", "found a string", ".toml"],
        ),
        (
            "[commands.job]\nargv = [\"DB_PASSWORD=hunter2\", \"/bin/true\"]\n",
            &["commands.job.argv", "DB_PASSWORD=***"],
        ),
    ] {
        let place = Place::new(configuration);
        let refused = place.refused(&[]);
        assert!(!refused.stderr.contains("hunter2"), "{}", refused.stderr);
        refused.assert_failed(3, says);
    }
}

#[test]
fn a_setting_that_is_not_known_is_refused_with_those_that_are() {
    let says = ["found `max_runing`", "`max_running`", "watchbell.toml"];
    refuses("max_runing = 3\n", &says);
}

#[test]
fn a_field_of_a_task_that_is_not_known_is_refused_with_those_that_are() {
    let says = ["unknown field `overlapp`", "`overlap`"];
    refuses_task("overlapp = \"skip\"", &says);
}

#[test]
fn a_kind_that_is_not_known_is_refused_with_those_that_are() {
    refuses(
        "[tasks.nightly]\nkind = \"prune-histroy\"\n",
        &[
            "task nightly",
            "invalid kind",
            "prune-histroy",
            "prune-history",
        ],
    );
}

#[test]
fn a_malformed_cron_is_refused_with_its_field_and_an_example() {
    refuses_task(
        "schedule = { cron = \"61 * * * *\" }",
        &["schedule.cron", "minute", "61", "0 to 59", "such as"],
    );
}

#[test]
fn the_31st_of_february_is_refused() {
    refuses_task(
        "schedule = { cron = \"0 0 31 2 *\" }",
        &["schedule.cron", "0 0 31 2 *", "never fires", "0 0 L 2 *"],
    );
}

#[test]
fn a_zone_that_is_not_known_is_refused() {
    refuses_task(
        "schedule = { cron = \"@daily\", time_zone = \"Mars/Olympus\" }",
        &["schedule.time_zone", "Mars/Olympus", "Europe/Paris"],
    );
    refuses(
        "time_zone = \"Mars/Olympus\"\n",
        &["time_zone", "Mars/Olympus", "expected", "Europe/Paris"],
    );
}

#[test]
fn a_command_that_is_not_configured_is_refused() {
    refuses(
        "[tasks.nightly]\nkind = \"command\"\nparameters = { command = \"job\" }\n",
        &["task nightly", "parameters.command", "no [commands.job]"],
    );
}

#[test]
fn an_address_that_others_can_reach_is_refused() {
    let place = Place::new("");
    let done = place.refused(&["--listen", "0.0.0.0:0"]);
    done.assert_failed(3, &["listen", "0.0.0.0:0", "not loopback", "127.0.0.1"]);
    assert!(!place.data().exists());
}

#[test]
fn a_configuration_file_that_is_not_there_is_refused() {
    let place = Place::new("");
    let done = place.refused(&["--config", "elsewhere.toml"]);
    done.assert_failed(3, &["elsewhere.toml", "--config"]);
    assert!(!place.data().exists());
}

#[test]
fn a_configuration_file_that_others_may_write_is_refused() {
    let place = Place::new("");
    let file = place.path("watchbell.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let says = [
        "watchbell.toml can be written by others",
        "mode 0666",
        "watchbell runs as",
        "chmod go-w",
    ];
    place.refused(&[]).assert_failed(3, &says);
    assert!(!place.data().exists());
    // Who checks it may be another than who serves.
    let done = place.run("config", &["--check"]);
    done.assert_good();
    assert!(done.stderr.contains(says[0]), "{done:?}");
}

#[test]
fn a_flag_that_is_not_known_is_wrong_usage() {
    let place = Place::new("");
    let done = place.refused(&["--lisen", "127.0.0.1:0"]);
    done.assert_failed(2, &["--lisen", "--help"]);
    assert!(!place.data().exists());
}

#[test]
fn a_configuration_that_became_wrong_leaves_the_database_as_it_was() {
    let task = "[tasks.nightly]\nkind = \"prune-history\"\n";
    let place = Place::new(task);
    place.serve().stop();
    let before = fs::read(place.database()).unwrap();
    place.configure(&format!("{task}priority = 12\n"));
    place
        .refused(&[])
        .assert_failed(3, &["task nightly", "priority"]);
    assert!(before == fs::read(place.database()).unwrap());
    place.configure(task);
    let server = place.serve();
    let shown = server.json(&["task", "show", "nightly"]);
    assert_eq!(shown["task"]["revision"], "1", "{shown}");
}

#[test]
fn a_secret_file_that_others_can_read_fails_the_run_that_needs_it() {
    let place = Place::new("");
    let secret = place.write("secret", "hunter2\n");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    place.configure(&format!(
        "[secrets.intranet]\nfile = \"{}\"\n\
         [http_requests.ping]\nurl = \"http://127.0.0.1:9/\"\n\
         secret_headers = {{ Authorization = {{ secret = \"intranet\" }} }}\n\
         [tasks.ping]\nkind = \"http-request\"\nparameters = {{ request = \"ping\" }}\n",
        secret.display()
    ));
    let server = place.serve();
    let run = server.waited(&server.trigger("ping"));
    assert_eq!(run["state"], "RUN_STATE_FAILED", "{run}");
    let message = run["message"].as_str().unwrap();
    for text in ["secret intranet", "can be read by others", "chmod 600"] {
        assert!(message.contains(text), "{message}");
    }
    assert!(!format!("{run}{}", server.log()).contains("hunter2"));
}

#[test]
fn wrong_backups_are_refused_by_their_setting() {
    for (lines, says) in [
        (
            "repository = \"relative\"",
            &["backups.repository", "an absolute path"][..],
        ),
        (
            "restore_roots = []",
            &["backups.restore_roots", "at least one"],
        ),
        (
            "restore_roots = [\"/srv/../etc\"]",
            &["backups.restore_roots", "without .."],
        ),
        (
            "password = { file = \"/a\", env = \"B\" }",
            &["backups.password", "either"],
        ),
        ("reposittory = \"/a\"", &["reposittory"]),
        (
            "repository = \"/a\"\n[backups.archive]\nrepository = \"/a/b\"\npassword = { file = \"/c\" }",
            &["backups.archive.repository", "a second location"],
        ),
        (
            "[backups.sources.database]\npaths = [\"/a\"]",
            &["backups.sources.database", "the server's own"],
        ),
        (
            "[backups.sources.A]\npaths = [\"/a\"]",
            &["backups.sources.A", "expected a name"],
        ),
        (
            "[backups.sources.a]",
            &["backups.sources.a", "one of paths, sqlite and postgres"],
        ),
        (
            "[backups.sources.a]\npaths = [\"/a\"]\nsqlite = \"/b\"",
            &["backups.sources.a", "one of paths, sqlite and postgres"],
        ),
        (
            "[backups.sources.a]\nsqlite = \"b.db\"",
            &["backups.sources.a", "an absolute path"],
        ),
        (
            "[backups.sources.a]\npostgres = \"mysql://ada:hunter2@db/a\"",
            &["backups.sources.a", "postgres://user@host/database"],
        ),
        (
            "[backups.sources.a]\npostgres = \"postgres://db/a\"\npassword = { secret = \"none\" }",
            &["backups.sources.a", "the name of a table of [secrets]"],
        ),
    ] {
        let configuration = format!("[backups]\n{lines}\n");
        refuses(&configuration, says);
        let said = Place::new(&configuration).refused(&[]);
        assert!(!said.stderr.contains("hunter2"), "{said:?}");
    }
}

#[test]
fn a_source_that_reaches_the_repository_is_refused_where_backups_are_made_and_nowhere_else() {
    let place = Place::new("");
    let (files, all, link) = (place.path("files"), place.path("all"), place.path("link"));
    let vault = all.join("vault");
    for folder in [&files, &all] {
        fs::create_dir(folder).unwrap();
    }
    symlink(&files, &link).unwrap();
    place.configure(&format!(
        "[backups]\nrepository = {vault:?}\n[backups.sources.www]\npaths = [{link:?}]\n"
    ));
    let server = place.serve();
    let made = server.bellctl(&["backup", "run", "daily-full", "--wait"]);
    made.assert_good();
    server.stop();

    // By its name it has nothing to do with the repository.
    fs::remove_file(&link).unwrap();
    symlink(&all, &link).unwrap();
    let says = ["backups.sources.www", "which is backups.repository"];
    place.refused(&[]).assert_failed(3, &says);
    place.run("config", &[]).assert_failed(3, &says);
    place.run("config", &["--check"]).assert_failed(3, &says);
    let password = place.data().join("backups/password");
    let offline = [
        "--list",
        "--repository",
        vault.to_str().unwrap(),
        "--password-file",
        password.to_str().unwrap(),
    ];
    let listed = place.run("restore", &offline);
    listed.assert_good();
    assert!(listed.stdout.contains("daily-full"), "{listed:?}");
    for command in ["migrate", "vacuum", "audit-slots"] {
        place.run(command, &[]).assert_good();
    }
}

#[test]
fn a_policys_schedule_stands_in_no_configuration() {
    refuses(
        "[tasks.backup-daily-full]\nschedule = { cron = \"0 3 * * *\" }\n",
        &[
            "tasks.backup-daily-full.schedule",
            "belongs to the task's policy",
        ],
    );
}
