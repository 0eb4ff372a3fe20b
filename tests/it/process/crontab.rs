//! A crontab becomes a configuration that the server takes.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::Command,
};

use super::harness::{Done, Place, finish};

const CRONTAB: &str = "\
# what ran here for years
SHELL=/bin/bash
MAILTO=ada@example.org
GREETING=\"good morning\"
*/5 * * * * echo $GREETING | tee /dev/null
30 2 * * 1-5 /bin/cat%first line%second line
@reboot /bin/true
@daily /bin/echo 100\\% done
0 0 31 2 * /bin/true
";

#[test]
fn an_imported_crontab_is_served() {
    let place = Place::new("");
    let crontab = place.write("crontab", CRONTAB);
    let crontab = crontab.to_string_lossy();
    let mut import = place.program(env!("CARGO_BIN_EXE_watchbell"));
    import.args([
        "import-crontab",
        "--form",
        "user",
        "--time-zone",
        "Europe/Paris",
    ]);
    import.arg(&*crontab);
    let imported = finish(import);
    imported.assert_good();
    for text in [
        &*format!("left out: {crontab}:7: @reboot is not a time"),
        &format!("left out: {crontab}:9: \"0 0 31 2 *\" never fires"),
        "3 entries carried over, 2 lines left out",
        "before the server has them, or they run twice",
    ] {
        assert!(imported.stderr.contains(text), "{}", imported.stderr);
    }

    place.configure(&imported.stdout);
    let server = place.serve();
    let listed = server.json(&["task", "list", "--all"]);
    let schedules: Vec<(&str, &str)> = listed["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|task| task["kind"] == "command")
        .map(|task| {
            let cron = task["schedule"]["cron"].as_str();
            (task["name"].as_str().unwrap(), cron.unwrap())
        })
        .collect();
    assert_eq!(
        schedules,
        [
            ("tasks/cat", "30 2 * * 1-5"),
            ("tasks/echo", "@daily"),
            ("tasks/tee", "*/5 * * * *")
        ]
    );
    for (task, log) in [
        ("cat", "first line\nsecond line\n"),
        ("echo", "100% done\n"),
        ("tee", "good morning\n"),
    ] {
        let run = server.trigger(task);
        server.waited(&run);
        assert_eq!(server.bellctl(&["run", "logs", &run]).stdout, log);
    }
    let owned = server.json(&["task", "list", "--owner", "ada@example.org"]);
    assert_eq!(owned["tasks"].as_array().unwrap().len(), 3, "{owned}");
    let shown = server.bellctl(&["task", "show", "tee"]).stdout;
    assert!(shown.contains("ada@example.org"), "{shown}");
    let change = ["task", "update", "tee", "--owner", "Bob"];
    server.bellctl(&change).assert_good();
    let listed = server.bellctl(&["task", "list", "--owner", "Bob"]).stdout;
    assert!(
        listed.contains("tee") && !listed.contains("cat"),
        "{listed}"
    );
    let info = server.json(&["info"]);
    assert_eq!(info["timeZone"], "Europe/Paris", "{info}");
}

const TWO: &str = "\
A=b
# nightly
0 1 * * * /opt/nightly
@reboot /opt/start
0 2 * * * /opt/other
";

fn import(place: &Place, flags: &[&str]) -> Done {
    let mut import: Command = place.program(env!("CARGO_BIN_EXE_watchbell"));
    import.arg("import-crontab").args(flags);
    finish(import)
}

#[test]
fn an_import_of_nothing_fails() {
    let place = Place::new("");
    place.write("empty", "# nothing\n");
    place.write("timer", "[Unit]\n[Timer]\nOnCalendar=daily\n");
    place.write("seconds", "0 30 2 * * * /app/nightly\n");
    for (file, says) in [
        ("empty", "0 lines left out"),
        ("timer", "a systemd timer and not a crontab"),
        ("seconds", "6 time fields"),
    ] {
        let done = import(&place, &[file]);
        done.assert_failed(1, &[says, "nothing was carried over"]);
        assert!(done.stdout.contains("# 0 entries carried over"), "{done:?}");
        let done = import(&place, &["--out", "made.toml", file]);
        done.assert_failed(1, &["nothing was carried over"]);
        assert!(!place.path("made.toml").exists());
    }
    let told = import(&place, &["--help"]).stdout;
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told.contains("Exit code 1 where nothing was carried over"),
        "{told}"
    );
}

#[test]
fn what_will_run_is_shown_beside_each_line() {
    let place = Place::new("");
    place.write("crontab", TWO);
    let flags = [
        "--explain",
        "--form",
        "user",
        "--user",
        "amy",
        "--time-zone",
        "Europe/Paris",
    ];
    let done = import(&place, &[&flags[..], &["crontab"]].concat());
    done.assert_good();
    for part in [
        "==== crontab",
        "3: 0 1 * * * /opt/nightly\n  task   nightly\n  runs   /opt/nightly\n  as     amy\n",
        "  when   0 1 * * * (Europe/Paris)\n  next   20",
        "4: @reboot /opt/start\n  NOT    left out: @reboot",
        "crontab -u amy -e: lines 3, 5",
    ] {
        assert!(done.stdout.contains(part), "{part}\n{}", done.stdout);
    }
    let widest = done.stdout.lines().map(|line| line.chars().count()).max();
    assert!(widest.unwrap() <= 80, "{}", done.stdout);
    assert!(!done.stdout.contains("[tasks."), "{}", done.stdout);
    // Once is enough.
    assert_eq!(done.stderr, "2 entries carried over, 1 line left out\n");
}

#[test]
fn what_was_carried_over_is_taken_out_of_cron() {
    let place = Place::new("");
    fs::create_dir(place.path("cron.d")).unwrap();
    let original = place.write("cron.d/nightly", TWO);
    fs::set_permissions(&original, fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::metadata(&original).unwrap();
    import(&place, &["--disable-original", "cron.d/nightly"]).assert_failed(2, &["--out"]);
    let made = ["--out", "made.toml", "--disable-original", "--form", "user"];
    let from_stdin = import(&place, &[&made[..], &["-"]].concat());
    from_stdin.assert_failed(3, &["standard input cannot be changed"]);

    let done = import(&place, &[&made[..], &["cron.d/nightly"]].concat());
    done.assert_good();
    let copy = place.path("cron.d/.nightly.before-watchbell");
    assert!(
        done.stderr.contains("2 lines commented out"),
        "{}",
        done.stderr
    );
    assert_eq!(fs::read_to_string(&copy).unwrap(), TWO);
    let now = fs::read_to_string(&original).unwrap();
    let expected = TWO
        .replace("0 1 * * *", "# watchbell: 0 1 * * *")
        .replace("0 2 * * *", "# watchbell: 0 2 * * *");
    assert_eq!(now, expected);
    let after = fs::metadata(&original).unwrap();
    assert_eq!(after.mode(), before.mode());
    assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
    assert!(before.mtime() < after.mtime(), "cron reads it again");
    let made_mode = fs::metadata(place.path("made.toml")).unwrap().mode();
    assert_eq!(made_mode & 0o777, 0o600);
    let config = fs::read_to_string(place.path("made.toml")).unwrap();
    assert!(config.contains("[tasks.nightly]") && config.contains("\"nightly\""));

    // Nothing is written over; and what has changed since it was read stays.
    let again = import(&place, &[&made[..], &["cron.d/nightly"]].concat());
    again.assert_failed(1, &["nothing was carried over"]);
    place.write("cron.d/twice", TWO);
    let there = import(&place, &[&made[..], &["cron.d/twice"]].concat());
    there.assert_failed(1, &["made.toml is there already"]);
    assert_eq!(fs::read_to_string(place.path("cron.d/twice")).unwrap(), TWO);
    let other = [
        "--out",
        "other.toml",
        "--disable-original",
        "--form",
        "user",
    ];
    let twice = import(
        &place,
        &[&other[..], &["cron.d/twice", "cron.d/twice"]].concat(),
    );
    twice.assert_failed(
        1,
        &[
            "has changed since it was read",
            "cron still runs lines of it",
        ],
    );
    let mut names: Vec<String> = fs::read_dir(place.path("cron.d"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            ".nightly.before-watchbell",
            ".twice.before-watchbell",
            "nightly",
            "twice"
        ]
    );
}

#[test]
fn a_crontab_is_its_users_and_in_its_encoding() {
    let place = Place::new("");
    fs::create_dir_all(place.path("spool/cron/crontabs")).unwrap();
    let path = place.path("spool/cron/crontabs/no-such-amy");
    fs::write(
        &path,
        b"0 1 * * * /opt/a \"d\xe9p\xf4t\"\n0 2 * * * find $HOME/x -delete\n",
    )
    .unwrap();
    let spool = path.to_str().unwrap();
    let done = import(&place, &[spool]);
    done.assert_failed(1, &["is not UTF-8", "the home of `no-such-amy`"]);
    let done = import(&place, &["--encoding", "latin-1", spool]);
    done.assert_good();
    for part in ["user = \"no-such-amy\"", "\"dépôt\"", "read as Latin-1"] {
        assert!(done.stdout.contains(part), "{part}\n{}", done.stdout);
    }
    let done = import(&place, &["--user", "a/b", spool]);
    done.assert_failed(3, &["--user", "no user's name"]);
}
