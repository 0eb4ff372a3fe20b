//! What every gRPC client finds: health, reflection, and a server that says what it is.

use std::time::Duration;

use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};
use watchbell_client::pb;

use crate::support::{Database, Server, Site, on_both, refused, within};

on_both!(
    health_is_told_for_every_name_and_unknown_ones,
    reflection_lists_every_service_in_both_versions,
    the_server_says_what_it_is,
    a_request_that_is_too_large_is_refused,
    the_agenda_is_paged_in_order_without_gap_or_overlap,
);

async fn bare(server: &Server) -> Channel {
    let endpoint = format!("http://{}", server.address);
    let endpoint = tonic::transport::Endpoint::from_shared(endpoint).unwrap();
    endpoint.connect().await.unwrap()
}

fn named(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn health_is_told_for_every_name_and_unknown_ones(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    // Without a token: monitors have none.
    let mut health = HealthClient::new(bare(&server).await);
    let names = [
        "",
        "watchbell.v1.SchedulerService",
        "watchbell.v1.TaskService",
        "watchbell.v1.RunService",
        "watchbell.v1.DocumentService",
        "watchbell.v1.BackupService",
        "scheduler",
        "storage",
    ];
    for name in names {
        crate::support::until("the health to be good", async || {
            let told = health.check(named(name)).await.unwrap().into_inner();
            (told.status() == ServingStatus::Serving).then_some(())
        })
        .await;
    }
    let unknown = health.check(named("nonsense")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut unknown = health.watch(named("nonsense")).await.unwrap().into_inner();
    let told = within("a message", unknown.message())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told.status(), ServingStatus::ServiceUnknown);

    let mut watch = health.watch(named("")).await.unwrap().into_inner();
    let told = within("a message", watch.message()).await.unwrap().unwrap();
    assert_eq!(told.status(), ServingStatus::Serving);
    // It is set again each second, to what it was: that is no news.
    let repeated = tokio::time::timeout(Duration::from_millis(2_500), watch.message()).await;
    assert!(repeated.is_err(), "{repeated:?}");
    server.drain();
    let told = within("a message", watch.message()).await.unwrap().unwrap();
    assert_eq!(told.status(), ServingStatus::NotServing);
    server.stopped().await;
}

const SERVICES: [&str; 6] = [
    "grpc.health.v1.Health",
    "watchbell.v1.BackupService",
    "watchbell.v1.DocumentService",
    "watchbell.v1.RunService",
    "watchbell.v1.SchedulerService",
    "watchbell.v1.TaskService",
];

async fn reflection_lists_every_service_in_both_versions(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let channel = bare(&server).await;

    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let asked = client
        .server_reflection_info(futures_util::stream::iter([request]))
        .await;
    let answer = asked
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.message_response
    else {
        panic!("expected a list");
    };
    let names: Vec<&str> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for service in SERVICES {
        assert!(names.contains(&service), "{service} in {names:?}");
    }
    // What the details of an error are: without it they are shown as bytes.
    for detail in [
        "ErrorInfo",
        "BadRequest",
        "RetryInfo",
        "PreconditionFailure",
    ] {
        let request = v1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(
                v1::server_reflection_request::MessageRequest::FileContainingSymbol(format!(
                    "google.rpc.{detail}"
                )),
            ),
        };
        let asked = client
            .server_reflection_info(futures_util::stream::iter([request]))
            .await;
        let answer = asked.unwrap().into_inner().message().await.unwrap();
        let found = answer.unwrap().message_response;
        assert!(
            matches!(
                found,
                Some(v1::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
            ),
            "{detail}: {found:?}"
        );
    }

    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "watchbell.v1.TaskService".to_owned(),
            ),
        ),
    };
    let asked = client
        .server_reflection_info(futures_util::stream::iter([request]))
        .await;
    let answer = asked
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(
        answer.message_response,
        Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
    ));
    server.stop().await;
}

async fn the_server_says_what_it_is(database: Database) {
    let storage = if database.is_postgresql() {
        "postgresql"
    } else {
        "sqlite"
    };
    let site = Site::configured(database, "time_zone = \"Europe/Paris\"\nmax_running = 7");
    let server = site.start().await;
    let info = server
        .client
        .scheduler()
        .get_server_info(pb::GetServerInfoRequest {})
        .await;
    let info = info.unwrap().into_inner();

    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (info.storage.as_str(), info.time_zone.as_str()),
        (storage, "Europe/Paris")
    );
    assert!(
        info.tzdata_version.starts_with("20"),
        "{}",
        info.tzdata_version
    );
    assert_eq!(info.limits.unwrap().max_running, 7);
    let kinds: Vec<&str> = info.kinds.iter().map(|kind| kind.name.as_str()).collect();
    for kind in [
        "command",
        "http-request",
        "perform-system-health-check",
        "prune-history",
    ] {
        assert!(kinds.contains(&kind), "{kind}");
    }
    let in_the_directory = std::fs::read_to_string(site.data().join("cluster-id")).unwrap();
    assert_eq!(in_the_directory.trim(), info.cluster_id);
    let rounds = crate::support::until("the rounds to have rung", async || {
        let rounds = server.status().await.rounds;
        rounds
            .iter()
            .any(|round| 0 < round.ring_count)
            .then_some(rounds)
    })
    .await;
    let names: Vec<&str> = rounds.iter().map(|round| round.name.as_str()).collect();
    assert_eq!(
        names,
        ["refill", "reap-leases", "audit", "keep-house", "upkeep"]
    );
    server.stop().await;
}

async fn the_agenda_is_paged_in_order_without_gap_or_overlap(database: Database) {
    use crate::support::{TaskExt as _, at, instant, noon, seconds, stamp};
    let site = Site::new(database);
    let server = site.start().await;
    server.create("a", instant().cron("* * * * *")).await;
    server.create("b", instant().cron("*/2 * * * *")).await;
    let mut spread = instant().cron("* * * * *");
    spread.schedule.as_mut().unwrap().spread = Some(seconds(50));
    server.create("c", spread).await;
    let mut paged = Vec::new();
    for page_size in [1000, 7] {
        let mut entries = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::GetAgendaRequest {
                after_time: Some(stamp(noon())),
                until_time: Some(stamp(noon() + jiff::SignedDuration::from_mins(20))),
                page_size,
                page_token,
            };
            let answer = server.client.scheduler().get_agenda(request).await;
            let answer = answer.unwrap().into_inner();
            for entry in answer.entries {
                let fire = entry.fire.unwrap();
                entries.push((at(&fire.due_time), entry.task, at(&fire.nominal_time)));
            }
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        paged.push(entries);
    }
    let parsed = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    assert!(paged[0].is_sorted_by_key(|(due, task, _)| (parsed(due), task.clone())));
    // Until its end, exclusive.
    let own = ["tasks/a", "tasks/b", "tasks/c"];
    let own = paged[0]
        .iter()
        .filter(|(_, task, _)| own.contains(&task.as_str()));
    assert_eq!(own.count(), 19 + 9 + 19);
    assert_eq!(paged[0], paged[1]);
    server.stop().await;
}

async fn a_request_that_is_too_large_is_refused(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = crate::support::instant();
    task.description = "x".repeat(5 << 20);
    let request = pb::CreateTaskRequest {
        task_id: "large".to_owned(),
        task: Some(task),
        ..Default::default()
    };
    let status = server
        .client
        .tasks()
        .create_task(request)
        .await
        .unwrap_err();
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{status:?}"
    );
    let request = pb::GetTaskRequest {
        name: "tasks/large".to_owned(),
    };
    let (code, ..) = refused(server.client.tasks().get_task(request).await);
    assert_eq!(code, Code::NotFound);
    server.stop().await;
}
