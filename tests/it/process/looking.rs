//! `bellctl backup ls`, `cat`, `accept` and `remove` against the real programs, as people type them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::{
    harness::{Done, Place},
    server::Server,
};

const UNKNOWN: &str = "0190a000-0000-7000-8000-000000000000";

/// A place whose server has a policy `www` of one file, and the directory that it lies in.
fn with_www() -> (Place, std::path::PathBuf) {
    let place = Place::new("");
    let folder = place.path("www");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("index.html");
    fs::write(&file, "hello\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    place.configure(&format!(
        "[backups.sources.www]\npaths = [{:?}]\n",
        folder.display().to_string()
    ));
    (place, folder)
}

fn made(server: &Server<'_>) -> Done {
    server.bellctl(&["backup", "run", "www", "--wait"])
}

fn create(server: &Server<'_>) {
    let create = [
        "backup",
        "policy",
        "create",
        "www",
        "--source",
        "www",
        "--keep-last",
        "9",
    ];
    assert_eq!(server.bellctl(&create).code(), 0);
}

fn newest(server: &Server<'_>) -> String {
    let listed = server.json(&["backup", "list"]);
    let name = listed["restorePoints"][0]["name"].as_str().unwrap();
    name.strip_prefix("restorePoints/").unwrap().to_owned()
}

/// What is read onto a terminal, where a bar would wipe out its last line.
fn on_a_terminal(server: &Server<'_>, args: &[&str]) {
    let bellctl = server.bellctl_command(args);
    let words = [bellctl.get_program()]
        .into_iter()
        .chain(bellctl.get_args());
    let words: Vec<String> = words
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let mut script = server.place.program("script");
    script.args(["-qec", &words.join(" "), "/dev/null"]);
    for (name, value) in bellctl.get_envs() {
        if let Some(value) = value {
            script.env(name, value);
        }
    }
    match script.output() {
        Err(error) => eprintln!("SKIPPED: a terminal by `script`: {error}"),
        Ok(done) => {
            let shown = String::from_utf8_lossy(&done.stdout).into_owned();
            assert_eq!(shown, "hello\r\n", "{done:?}");
        }
    }
}

#[test]
fn what_is_in_a_restore_point_is_listed_and_read_by_commands() {
    let (place, folder) = with_www();
    let server = place.serve();
    create(&server);
    assert_eq!(made(&server).code(), 0);
    let root = format!("/sources/www{}", folder.display());
    let file = format!("{root}/index.html");

    let top = server.bellctl(&["backup", "ls", "latest"]);
    assert_eq!(top.code(), 0, "{top:?}");
    assert!(top.stdout.contains("/sources"), "{top:?}");
    let inside = server.bellctl(&["backup", "ls", &newest(&server)[..13], &root]);
    let line = inside.stdout.lines().find(|line| line.contains(&file));
    let line = line.unwrap_or_else(|| panic!("{inside:?}"));
    assert!(line.starts_with("-0640"), "{inside:?}");
    assert!(line.contains("6 B"), "{inside:?}");
    let listed = server.json(&["backup", "ls", "latest", &root]);
    assert_eq!(listed["entries"][0]["path"], file, "{listed}");
    server
        .bellctl(&["backup", "ls", "latest", "/nothing"])
        .assert_failed(6, &["/nothing", "not found"]);
    server
        .bellctl(&["backup", "ls", "ffffffff"])
        .assert_failed(2, &["no restore point begins with ffffffff"]);
    server
        .bellctl(&["backup", "ls", UNKNOWN])
        .assert_failed(6, &[UNKNOWN, "not found"]);

    let read = server.bellctl(&["backup", "cat", "latest", &file]);
    assert_eq!((read.code(), read.stdout.as_str()), (0, "hello\n"));
    on_a_terminal(&server, &["backup", "cat", "latest", &file]);
    let target = place.path("copy.html");
    let target_name = target.display().to_string();
    let into = ["backup", "cat", "latest", &file, "--file", &target_name];
    let wrote = server.bellctl(&into);
    assert_eq!(wrote.code(), 0, "{wrote:?}");
    assert!(wrote.stdout.contains("wrote"), "{wrote:?}");
    assert_eq!(fs::read_to_string(&target).unwrap(), "hello\n");
    let again = server.bellctl(&into);
    assert!(again.stderr.contains("--force overwrites it"), "{again:?}");
    assert_ne!(again.code(), 0);
    server
        .bellctl(&["backup", "cat", "latest", &root])
        .assert_failed(7, &[&root, "is a directory"]);
    server
        .bellctl(&["backup", "cat", "latest", &format!("{root}/none")])
        .assert_failed(6, &["/none", "not found"]);
    server
        .bellctl(&["backup", "cat", UNKNOWN, &file])
        .assert_failed(6, &[UNKNOWN, "not found"]);
}

#[test]
fn a_restore_point_is_accepted_and_removed_by_commands() {
    let (place, folder) = with_www();
    let server = place.serve();
    create(&server);
    assert_eq!(made(&server).code(), 0);
    fs::remove_file(folder.join("index.html")).unwrap();
    let partial = made(&server);
    assert_eq!(partial.code(), 5, "{partial:?}");
    let id = newest(&server);
    let accept = |more: &[&str]| {
        let all = [&["backup", "accept", &id[..13]][..], more].concat();
        server.bellctl(&all)
    };
    accept(&[]).assert_failed(2, &["--reason"]);
    accept(&["--reason", " "]).assert_failed(7, &["reason"]);
    let accepted = accept(&["--reason", "it was moved", "--wait"]);
    assert_eq!(accepted.code(), 0, "{accepted:?}");
    accept(&["--reason", "again"]).assert_failed(7, &["nothing to accept"]);
    let shown = server.bellctl(&["backup", "show", &id]);
    let line = shown
        .stdout
        .lines()
        .find(|line| line.starts_with("accepted"));
    assert!(
        line.is_some_and(|line| line.trim_end().ends_with("it was moved")),
        "{shown:?}"
    );
    server
        .bellctl(&["backup", "accept", UNKNOWN, "--reason", "none"])
        .assert_failed(6, &[UNKNOWN, "not found"]);

    let remove = |more: &[&str]| {
        let all = [&["backup", "remove", &id][..], more].concat();
        server.bellctl(&all)
    };
    let over = ["--reason", "it is over"];
    let sure = ["--reason", "it is over", "--confirm"];
    remove(&sure).assert_failed(8, &["backupPolicies/www", "retention"]);
    let delete = ["backup", "policy", "delete", "www"];
    assert_eq!(server.bellctl(&delete).code(), 0);
    remove(&["--confirm"]).assert_failed(2, &["--reason"]);
    remove(&over).assert_failed(8, &[&id, "cannot be brought back"]);
    let listed = server.bellctl(&["backup", "list"]);
    assert!(listed.stdout.contains(&id[..13]), "{listed:?}");
    let removed = remove(&sure);
    assert_eq!(removed.code(), 0, "{removed:?}");
    assert_eq!(removed.stdout, format!("removed restorePoints/{id}\n"));
    let listed = server.bellctl(&["backup", "list"]);
    assert!(!listed.stdout.contains(&id[..13]), "{listed:?}");
    let gone = server.bellctl(&["backup", "ls", &id]);
    gone.assert_failed(8, &["was removed", "it is over"]);
    remove(&sure).assert_failed(8, &["was removed"]);
}
