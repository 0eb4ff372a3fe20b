//! A database that another program holds locked: nothing is lost, and it is said.

use super::{harness::Place, server::process_of, sqlite::Sqlite};

#[test]
fn a_start_on_a_locked_database_is_refused_and_a_later_one_is_good() {
    let place = Place::new("");
    place.serve().stop();
    let mut other = Sqlite::open(&place.database());
    other.execute("BEGIN EXCLUSIVE");
    let database = place.database();
    let says = [database.to_str().unwrap(), "locked", "other program"];
    place.refused(&[]).assert_failed(1, &says);
    other.execute("ROLLBACK");
    other.close();
    place.serve().stop();
}

#[test]
fn a_run_that_ends_while_the_database_is_locked_is_recorded_once_it_is_free() {
    let place = Place::new(super::crash::WAITING);
    let server = place.serve();
    let run = server.trigger("waiting");
    process_of(&place, "waiting.pid");
    let mut other = Sqlite::open(&place.database());
    other.execute("BEGIN EXCLUSIVE");
    place.write("go", "");
    server.logs("could not record what has ended; trying again");
    other.execute("ROLLBACK");
    let run = server.waited(&run);
    assert_eq!(run["state"], "RUN_STATE_SUCCEEDED", "{run}");
    assert_eq!(run["attempt"], 1, "{run}");
}
