//! A database that is damaged, newer, or cannot be written: refused with a word on what to do, and
//! left as it is. And the copy that is made before a migration.

use std::fs::{self, OpenOptions};

use super::{
    harness::{Place, migrations},
    mount::ReadOnly,
    sqlite::Sqlite,
};

/// A place whose server was started once and stopped in order.
fn used() -> Place {
    let place = Place::new("");
    place.serve().stop();
    place
}

/// That the server refuses its database, says this of it, and changes neither it nor what is beside.
#[track_caller]
fn refuses_database(place: &Place, says: &[&str]) {
    let (before, beside) = (fs::read(place.database()).unwrap(), place.data_names());
    let database = place.database();
    let mut all = vec![database.parent().unwrap().to_str().unwrap()];
    all.extend(says);
    place.refused(&[]).assert_failed(1, &all);
    assert!(
        before == fs::read(&database).unwrap(),
        "the file has changed"
    );
    let mut names = place.data_names();
    names.retain(|name| !name.ends_with("-wal") && !name.ends_with("-shm"));
    assert_eq!(names, beside);
}

#[test]
fn a_database_is_one_whole_file_once_its_server_has_stopped() {
    let place = used();
    let names = place.data_names();
    assert!(!names.contains(&"watchbell.db-wal".to_owned()), "{names:?}");
    let copy = Place::new("");
    fs::create_dir(copy.data()).unwrap();
    fs::copy(place.database(), copy.database()).unwrap();
    let server = copy.serve();
    let id = fs::read_to_string(copy.path("data/cluster-id")).unwrap();
    assert_eq!(
        id,
        fs::read_to_string(place.path("data/cluster-id")).unwrap()
    );
    server.stop();
}

#[test]
fn a_database_that_is_gone_is_not_made_anew() {
    let place = used();
    let database = place.database();
    let says = [
        database.to_str().unwrap(),
        "is not there",
        "restore it",
        "cluster-id",
    ];
    fs::remove_file(&database).unwrap();
    place.refused(&[]).assert_failed(1, &says);
    assert!(!database.exists());
    fs::write(&database, "").unwrap();
    place.refused(&[]).assert_failed(1, &says);
    assert_eq!(fs::metadata(&database).unwrap().len(), 0);
    fs::remove_file(place.path("data/cluster-id")).unwrap();
    place.serve().stop();
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let place = used();
    let mut bytes = fs::read(place.database()).unwrap();
    bytes[..100].fill(b'?');
    fs::write(place.database(), bytes).unwrap();
    refuses_database(&place, &["damaged", "restore the newest copy"]);
}

#[test]
fn a_database_that_was_cut_short_is_refused() {
    let place = used();
    let file = OpenOptions::new()
        .write(true)
        .open(place.database())
        .unwrap();
    file.set_len(9000).unwrap();
    refuses_database(&place, &["damaged", "restore the newest copy"]);
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let place = used();
    let mut sqlite = Sqlite::open(&place.database());
    sqlite.execute("INSERT INTO seaql_migrations VALUES ('m9999_future', 0)");
    sqlite.close();
    let newest = migrations().pop().unwrap();
    let says = [
        "newer Watchbell",
        "m9999_future",
        &newest,
        "run the newer version",
    ];
    let before = fs::read(place.database()).unwrap();
    place.refused(&[]).assert_failed(1, &says);
    place.run("migrate", &[]).assert_failed(1, &says);
    place.run("audit-slots", &[]).assert_failed(1, &says);
    assert!(before == fs::read(place.database()).unwrap());
}

#[test]
fn a_copy_is_made_before_a_migration() {
    let place = Place::new("");
    fs::create_dir(place.data()).unwrap();
    fs::write(place.database(), "").unwrap();
    let mut sqlite = Sqlite::open(&place.database());
    sqlite.execute("CREATE TABLE mine (name TEXT)");
    sqlite.execute("INSERT INTO mine VALUES ('kept')");
    sqlite.close();
    place.serve().stop();
    let names = place.data_names();
    let copies: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("watchbell.before-migration-"))
        .collect();
    let [copy] = copies.as_slice() else {
        panic!("not one copy: {names:?}");
    };
    let mut sqlite = Sqlite::open(&place.data().join(copy));
    assert_eq!(sqlite.texts("SELECT name FROM mine"), ["kept"]);
    assert_eq!(sqlite.texts("SELECT name FROM sqlite_master"), ["mine"]);

    place.serve().stop();
    assert_eq!(
        place.data_names().len(),
        names.len(),
        "no copy without need"
    );
}

#[test]
fn a_migration_that_fails_leaves_the_database_as_it_was() {
    let place = used();
    let mut sqlite = Sqlite::open(&place.database());
    sqlite.execute("DELETE FROM seaql_migrations");
    let tasks = sqlite.texts("SELECT name FROM tasks ORDER BY name");
    sqlite.close();
    let says = ["could not bring the schema up to date"];
    place.refused(&[]).assert_failed(1, &says);
    let mut sqlite = Sqlite::open(&place.database());
    let taken = sqlite.texts("SELECT version FROM seaql_migrations");
    assert!(taken.is_empty(), "{taken:?}");
    assert_eq!(sqlite.texts("SELECT name FROM tasks ORDER BY name"), tasks);
}

#[test]
fn a_database_that_cannot_be_written_is_refused() {
    let place = used();
    let Some(_held) = ReadOnly::make(&place.database()) else {
        return;
    };
    refuses_database(
        &place,
        &["could not write to the database", "this user may"],
    );
}

#[test]
fn a_data_directory_that_cannot_be_written_is_refused() {
    let place = used();
    let Some(_held) = ReadOnly::make(&place.data()) else {
        return;
    };
    refuses_database(&place, &["may write there"]);
}
