//! What a connection says first, and how long it has for it.

use std::time::Duration;

use watchbell_client::pb;

use super::raw::Raw;
use crate::support::{Database, Site, until};

fn site() -> Site {
    let mut site = Site::new(Database::sqlite());
    site.bounds.begins_within = Duration::from_millis(300);
    site
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_says_nothing_that_is_http_is_closed() {
    let site = site();
    let server = site.start().await;
    let mut greeted = Raw::begun(server.address).await;
    let mut silent = Raw::connect(server.address).await;
    let mut slow = Raw::connect(server.address).await;
    slow.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r").await;
    let mut wordy = Raw::connect(server.address).await;
    wordy.say(b"GET /and/on/and/on").await;

    for closed in [&mut silent, &mut slow, &mut wordy] {
        assert!(closed.closed().await.is_empty());
    }
    // Channels connect long before their first call.
    greeted.answers().await;
    let info = pb::GetServerInfoRequest {};
    server
        .client
        .scheduler()
        .get_server_info(info)
        .await
        .unwrap();
    let problems = server.status().await.problems;
    let told = |problem: &pb::Problem| problem.r#type == "server.connections";
    assert!(!problems.iter().any(told), "{problems:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_speaks_another_version_hears_what_is_spoken_here() {
    let site = site();
    let server = site.start().await;
    // On a machine that is busy its time may be over before its words are read.
    let heard = until("a word to a browser", async || {
        let mut browser = Raw::connect(server.address).await;
        browser.say(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await;
        Some(browser.closed().await).filter(|heard| !heard.is_empty())
    })
    .await;
    let heard = String::from_utf8(heard).unwrap();
    assert!(heard.starts_with("HTTP/1.1 505 "), "{heard}");
    assert!(heard.contains("speaks gRPC, which is HTTP/2"), "{heard}");

    let mut unfinished = Raw::connect(server.address).await;
    unfinished.say(b"GET / HTTP/1.1\r\nhost: he").await;
    unfinished.closed().await;
    server.stop().await;
}
