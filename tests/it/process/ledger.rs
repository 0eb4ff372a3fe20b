//! `watchbell audit-slots`, `watchbell migrate` and `watchbell vacuum`.

use super::{
    harness::{Place, becomes, migrations},
    sqlite::Sqlite,
};

const EACH_SECOND: &str = r#"
[commands.true]
argv = ["/bin/true"]
[tasks.each-second]
kind = "command"
parameters = { command = "true" }
schedule = { cron = "* * * * * *" }
"#;

#[test]
fn a_row_that_is_missing_from_the_ledger_is_found() {
    let place = Place::new(EACH_SECOND);
    let server = place.serve();
    let mut sqlite = Sqlite::open(&place.database());
    becomes("three slots are decided", || {
        let own = "SELECT outcome FROM slots WHERE task_id = (SELECT id FROM tasks WHERE name = 'each-second')";
        3 <= sqlite.texts(own).len()
    });
    sqlite.close();
    let clean = place.run("audit-slots", &[]);
    clean.assert_good();
    assert!(clean.stdout.ends_with(": 0 findings\n"), "{clean:?}");
    server.stop();

    let mut sqlite = Sqlite::open(&place.database());
    let deleted = sqlite.execute(
        "DELETE FROM slots WHERE task_id = (SELECT id FROM tasks WHERE name = 'each-second') AND upto_at = \
         (SELECT upto_at FROM slots WHERE task_id = (SELECT id FROM tasks WHERE name = 'each-second') \
         ORDER BY upto_at LIMIT 1 OFFSET 1)",
    );
    assert_eq!(deleted, 1);
    sqlite.close();
    let torn = place.run("audit-slots", &[]);
    assert_eq!(torn.code(), 5, "{torn:?}");
    let hole = torn
        .stdout
        .lines()
        .find(|line| line.starts_with("tasks/each-second: ledger.hole: "));
    assert!(hole.is_some(), "{torn:?}");
    assert!(!torn.stdout.contains(" 0 findings"), "{torn:?}");
    let unread = place.run_unread("audit-slots", &[]);
    assert_eq!(unread.code(), 5, "whoever reads it: {unread:?}");
}

#[test]
fn an_audit_without_a_database_makes_none() {
    let place = Place::new("");
    let database = place.database();
    let says = ["no database", database.to_str().unwrap(), "--data"];
    place.run("audit-slots", &[]).assert_failed(1, &says);
    assert!(!place.data().exists());
}

#[test]
fn a_migration_is_taken_once() {
    let place = Place::new("");
    let first = place.run("migrate", &[]);
    first.assert_good();
    let all = migrations();
    assert_eq!(all[0], "m0001_first");
    let taken: String = all.iter().map(|name| format!("taken: {name}\n")).collect();
    assert_eq!(first.stdout, taken);
    for _ in 0..2 {
        let again = place.run("migrate", &[]);
        again.assert_good();
        assert_eq!(again.stdout, "the schema is up to date\n");
    }
    let server = place.serve();
    server.bellctl(&["task", "list"]).assert_good();
    server.stop();
    let again = place.run("migrate", &[]);
    assert_eq!(again.stdout, "the schema is up to date\n");
}

/// As a version made it whose files could not shrink.
#[test]
fn a_file_of_before_is_written_anew_by_vacuum_and_small_ones_by_a_start() {
    let place = Place::new("");
    place.run("migrate", &[]).assert_good();
    let made_before = || {
        let mut sqlite = Sqlite::open(&place.database());
        for step in [
            "PRAGMA auto_vacuum = NONE",
            "VACUUM",
            "INSERT INTO cluster (key, value) VALUES ('much', hex(randomblob(2000000)))",
            "DELETE FROM cluster WHERE key = 'much'",
        ] {
            sqlite.execute(step);
        }
        assert_eq!(
            sqlite.texts("SELECT auto_vacuum || '' FROM pragma_auto_vacuum"),
            ["0"]
        );
        sqlite.close();
    };
    let is_anew = || {
        let mut sqlite = Sqlite::open(&place.database());
        let mode = sqlite.texts("SELECT auto_vacuum || '' FROM pragma_auto_vacuum");
        let free = sqlite.texts("SELECT freelist_count || '' FROM pragma_freelist_count");
        sqlite.close();
        assert_eq!((mode[0].as_str(), free[0].as_str()), ("2", "0"));
        let length = std::fs::metadata(place.database()).unwrap().len();
        assert!(length < 1 << 20, "{length}");
    };
    made_before();
    let done = place.run("vacuum", &[]);
    done.assert_good();
    assert!(done.stdout.contains(" MiB, and has 0."), "{done:?}");
    is_anew();

    made_before();
    let server = place.serve();
    server.bellctl(&["task", "list"]).assert_good();
    place
        .run("vacuum", &[])
        .assert_failed(1, &["data directory", "in use"]);
    server.stop();
    is_anew();
}
