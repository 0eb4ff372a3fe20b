//! What the stories stand on: a database of their own, the real server with a clock that stands
//! still, and handlers whose every step a test takes.
//!
//! A test acts by RPC, moves the clock, and waits for what the product itself says. Nothing waits for
//! longer than [`PATIENCE`], and a server that is stopped must leave a ledger without a fault.

mod agenda;
mod ask;
mod database;
mod faulty_clock;
pub(crate) mod office;
mod problems;
mod program;
mod proxy;
mod receiver;
mod refusing;
pub(crate) mod repository;
mod server;
mod settling;
mod skip;
mod stage;
mod task;
mod template;
mod watchman;

use std::{future::Future, time::Duration};

use jiff::Timestamp;
use watchbell::clock::Stopwatch;

pub(crate) use self::{
    ask::{refused, violations},
    database::Database,
    faulty_clock::FaultyClock,
    program::program,
    proxy::Proxy,
    receiver::{Receiver, Then},
    server::{Server, Site},
    skip::{skip, tell},
    stage::{Act, Entered, Stage},
    task::{TaskExt, at, instant, many, scripted, seconds, stamp},
    watchman::{PERIOD, Watchman, trouble},
};

/// How long any step may take before the story has failed. Only what hangs takes so long: what works on backups gives way
/// to all else, and beside other stories that keep each core busy it has a fiftieth of one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks at what no event tells.
const SOON: Duration = Duration::from_millis(2);
const SELDOM: Duration = Duration::from_millis(50);

/// When every story begins: a Monday noon.
pub(crate) fn noon() -> Timestamp {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

/// Waits for `step`, and fails with `what` where it does not come.
pub(crate) async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(done) => done,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Asks again until there is an answer, for what no event tells.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        let watch = Stopwatch::start();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            // Less often the longer it takes: looks keep the server busy, and other stories waiting.
            let pause = (watch.elapsed() / 8).clamp(SOON, SELDOM);
            tokio::time::sleep(pause).await;
        }
    })
    .await
}

/// Lets others have the processor for so long, where a story waits for the kernel or another program, which tell no event.
pub(crate) fn rest(span: Duration) {
    std::thread::sleep(span);
}

/// Makes a test on each database of each story: `on_both!(name, …)` in the story's file.
macro_rules! on_both {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$story(crate::support::Database::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgresql() {
                if let Some(database) = crate::support::Database::postgresql().await {
                    super::$story(database).await;
                }
            }
        }
    )+};
}

/// The same for stories that take several replicas, which is PostgreSQL.
macro_rules! on_postgresql {
    ($($story:ident),+ $(,)?) => {$(
        mod $story {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgresql() {
                if let Some(database) = crate::support::Database::postgresql().await {
                    super::$story(database).await;
                }
            }
        }
    )+};
}

pub(crate) use {on_both, on_postgresql};
