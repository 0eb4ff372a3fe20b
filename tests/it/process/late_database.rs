//! A server whose database is away at its start listens, says so, and goes on once it is there.

use sea_orm::ConnectionTrait as _;

use super::harness::{Place, becomes, postgresql};
use crate::support::{Database, Proxy};

#[test]
fn a_server_waits_for_its_database_and_says_so() {
    let Some((runtime, database)) = postgresql() else {
        return;
    };
    let proxy = runtime.block_on(Proxy::to(&database.url()));
    proxy.cut();
    let url = proxy.url(&database.url());
    let place = Place::new("");
    let serve = place.watchbell("serve", &["--listen", "127.0.0.1:0", "--database", &url]);
    let server = place.serve_by(serve, "data");
    assert!(!server.is_ready(), "NOT_SERVING");
    becomes("the status to be critical and to say why", || {
        let done = server.bellctl(&["status"]);
        done.code() == 2 && done.stdout.contains("waits for its database since")
    });
    let done = server.bellctl(&["task", "list"]);
    assert_ne!(done.code(), 0, "{done:?}");
    assert!(done.stderr.contains("database"), "{done:?}");

    proxy.mend();
    becomes("it serves", || server.is_ready());
    becomes("calls to be answered", || {
        server.bellctl(&["task", "list"]).code() == 0
    });
    server.stop();
}

/// A server that starts where fate has done this to its database waits, says why, and serves once it is undone.
fn waits_out(done: impl Fn(&Database) -> String, undone: impl Fn(&Database) -> String, says: &str) {
    let Some((runtime, database)) = postgresql() else {
        return;
    };
    let place = Place::new("");
    let fate = runtime.block_on(database.connect(&place.data()));
    let act = |text: String| runtime.block_on(fate.execute_unprepared(&text)).unwrap();
    act(done(&database));
    let url = database.url();
    let serve = place.watchbell("serve", &["--listen", "127.0.0.1:0", "--database", &url]);
    let server = place.serve_by(serve, "data");
    server.logs(says);
    assert!(!server.is_ready(), "NOT_SERVING");
    becomes("the status to be critical and to say why", || {
        let told = server.bellctl(&["status"]);
        told.code() == 2 && told.stdout.contains(says)
    });

    act(undone(&database));

    becomes("it serves", || server.is_ready());
    server.stop();
    runtime.block_on(fate.close()).unwrap();
}

#[test]
fn a_standby_is_waited_for() {
    let set = |database: &Database, what: &str| match database {
        Database::Postgresql { name, .. } => format!("ALTER DATABASE {name} {what}"),
        Database::Sqlite => String::new(),
    };
    waits_out(
        |database| set(database, "SET default_transaction_read_only = on"),
        |database| set(database, "RESET default_transaction_read_only"),
        "read-only transaction",
    );
}

#[test]
fn a_migration_of_another_server_is_waited_for() {
    // The number that all servers take.
    let lock = |what: &str| format!("SELECT {what}({})", 0x5761_7463_6862_656c_i64);
    waits_out(
        |_| lock("pg_advisory_lock"),
        |_| lock("pg_advisory_unlock"),
        "another server holds the lock of the schema's steps",
    );
}

#[test]
fn a_signal_ends_the_wait_at_once() {
    let place = Place::new("");
    let url = "postgres://nobody@127.0.0.1:1/none";
    let serve = place.watchbell("serve", &["--listen", "127.0.0.1:0", "--database", url]);
    let server = place.serve_by(serve, "data");
    server.logs("the database is away");
    server.stop();
}
