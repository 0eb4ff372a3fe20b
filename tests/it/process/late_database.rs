//! A server whose database is away at its start listens, says so, and goes on once it is there.

use super::harness::{Place, becomes};
use crate::support::{Database, Proxy};

#[test]
fn a_server_waits_for_its_database_and_says_so() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let Some(database) = runtime.block_on(Database::postgresql()) else {
        return;
    };
    let proxy = runtime.block_on(Proxy::to(&database.url()));
    proxy.cut();
    let url = proxy.url(&database.url());
    let place = Place::new("");
    let serve = place.watchbell("serve", &["--listen", "127.0.0.1:0", "--database", &url]);
    let server = place.serve_by(serve, "data");
    assert!(!server.is_ready(), "NOT_SERVING");
    let done = server.bellctl(&["status"]);
    assert_eq!(done.code(), 2, "critical: {done:?}");
    let says = "waits for its database since";
    assert!(done.stdout.contains(says), "{done:?}");
    let done = server.bellctl(&["task", "list"]);
    assert_ne!(done.code(), 0, "{done:?}");
    assert!(done.stderr.contains("database"), "{done:?}");

    proxy.mend();
    becomes("it serves", || server.is_ready());
    assert_eq!(server.bellctl(&["task", "list"]).code(), 0);
    server.stop();
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
