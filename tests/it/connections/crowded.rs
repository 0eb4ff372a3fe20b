//! As many connections as may be, and one more.

use std::time::Duration;

use tonic::transport::Endpoint;
use watchbell_client::{call::unary, pb};

use super::{another, raw::Raw, shown};
use crate::support::{Database, Server, Site, on_both, until, within};

on_both!(idle_ones_go_for_those_who_ask_and_it_is_told);

const MOST: usize = 16;

fn site(database: Database) -> Site {
    let mut site = Site::configured(database, &format!("max_connections = {MOST}"));
    site.bounds.told_for = Duration::from_millis(500);
    site
}

fn is_told(problem: &pb::Problem) -> bool {
    problem.r#type == "server.connections"
}

/// On the server's own client: one that comes as its connection goes was not sent, and is sent again.
async fn ask(server: &Server) {
    let asked = unary(pb::GetServerInfoRequest {}, async |info| {
        server.client.scheduler().get_server_info(info).await
    });
    asked.await.unwrap();
}

async fn idle_ones_go_for_those_who_ask_and_it_is_told(database: Database) {
    let site = site(database);
    let server = site.start().await;
    let mut idle = Vec::new();
    for _ in 0..3 * MOST {
        let mut connection = Raw::connect(server.address).await;
        connection.greet().await;
        // One that goes before its first words are read hears nothing of it.
        if idle.is_empty() {
            connection.answers().await;
        }
        idle.push(connection);
    }
    // The oldest went, and hear of it; then so did the server's own client, which comes back by itself.
    idle[0].is_sent_away().await;
    ask(&server).await;
    // Told for as long as it goes on, also where each look takes longer than that.
    let problem = until("the problem of it", async || {
        let mut connection = Raw::connect(server.address).await;
        connection.greet().await;
        idle.push(connection);
        let problems = server.status().await.problems;
        problems.into_iter().find(is_told)
    })
    .await;
    assert_eq!(problem.severity(), pb::Severity::Warning);
    assert!(problem.message.contains("16 may be"), "{problem:?}");
    assert!(
        problem.message.contains("idle connections were closed"),
        "{problem:?}"
    );
    assert!(problem.action.contains("max_connections"), "{problem:?}");
    let newest = idle.last_mut().unwrap();
    newest.answers().await;
    // One that is not asked for any more is over.
    until("the problem to be over", async || {
        let problems = server.status().await.problems;
        (!problems.iter().any(is_told)).then_some(())
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_that_has_most_gives_first() {
    let site = site(Database::sqlite());
    let server = site.start().await;
    let mut few = Vec::new();
    for _ in 0..3 {
        let mut connection = Raw::from([127, 0, 0, 2], server.address).await;
        connection.greet().await;
        connection.answers().await;
        few.push(connection);
    }
    let mut many = Vec::new();
    for _ in 0..2 * MOST {
        let mut connection = Raw::from([127, 0, 0, 3], server.address).await;
        connection.greet().await;
        if many.is_empty() {
            connection.answers().await;
        }
        many.push(connection);
    }
    many[0].is_sent_away().await;
    for connection in &mut few {
        connection.answers().await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_with_a_call_under_way_stays_and_who_finds_no_room_hears_so() {
    let site = site(Database::sqlite());
    let server = site.start().await;
    let mut watches = Vec::new();
    let mut clients = Vec::new();
    // The server's own client is idle, and goes for the last of them.
    for _ in 0..MOST {
        let client = another(&site, &server).await;
        let request = pb::WatchRunsRequest::default();
        let watch = client.runs().watch_runs(request).await.unwrap();
        watches.push(watch.into_inner());
        clients.push(client);
    }

    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let is_turned_away = async || {
        let Ok(channel) = endpoint.connect().await else {
            return;
        };
        let mut client = pb::scheduler_service_client::SchedulerServiceClient::new(channel);
        let request = shown(&site, pb::GetServerInfoRequest {});
        client.get_server_info(request).await.unwrap_err();
    };

    // Told for as long as it goes on, also where each look takes longer than that.
    let problem = until("the problem of it", async || {
        is_turned_away().await;
        let mut scheduler = clients[0].scheduler();
        let status = scheduler.get_status(pb::GetStatusRequest {});
        let problems = status.await.unwrap().into_inner().status.unwrap().problems;
        let is_grave = |problem: &pb::Problem| problem.severity() == pb::Severity::Critical;
        problems
            .into_iter()
            .find(|problem| is_told(problem) && is_grave(problem))
    })
    .await;
    assert!(problem.message.contains("turned away"), "{problem:?}");
    for watch in &mut watches {
        within("its snapshot", watch.message())
            .await
            .unwrap()
            .unwrap();
    }
    // One that ends makes room.
    drop(watches.pop());
    until("room", async || {
        let info = pb::GetServerInfoRequest {};
        server.client.scheduler().get_server_info(info).await.ok()
    })
    .await;
    server.stop().await;
}
