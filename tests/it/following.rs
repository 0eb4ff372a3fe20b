//! Watches: nothing missed, nothing twice, in order, across reconnects.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::ConnectionTrait as _;
use tonic::{Code, Streaming};
use watchbell_client::pb::{self, watch_runs_response::Message};

use crate::support::{
    Database, Server, Site, Stage, TaskExt as _, instant, on_both, on_postgresql, refused,
    scripted, until, within,
};

on_both!(
    a_watch_shows_what_is_there_and_then_every_change,
    a_resumed_watch_misses_nothing_and_repeats_nothing,
    a_token_of_another_filter_or_server_is_refused,
    a_token_older_than_the_log_is_out_of_range_with_the_oldest,
    a_drain_ends_watches_with_a_token_that_another_server_takes,
    a_deadline_ends_a_watch_with_a_token,
    what_a_newer_server_tells_is_passed_on_and_halts_nobody,
);
on_postgresql!(a_follower_under_eight_writers_misses_nothing);

pub(crate) type Watch = Streaming<pb::WatchRunsResponse>;

pub(crate) async fn watch(server: &Server, request: pb::WatchRunsRequest) -> Watch {
    let opened = server.client.runs().watch_runs(request).await;
    opened.unwrap().into_inner()
}

pub(crate) async fn next(watch: &mut Watch) -> pb::WatchRunsResponse {
    let message = within("a message of the watch", watch.message()).await;
    message.unwrap().expect("the stream goes on")
}

/// The next event, its type and run.
pub(crate) async fn event(watch: &mut Watch) -> (pb::RunEvent, String) {
    loop {
        let message = next(watch).await;
        match message.message {
            Some(Message::Event(event)) => return (event, message.resume_token),
            Some(Message::Heartbeat(_) | Message::SnapshotEnd(_)) => {}
            other => panic!("expected an event, got {other:?}"),
        }
    }
}

async fn a_watch_shows_what_is_there_and_then_every_change(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", scripted(&stage)).await;
    server.create("ended", instant()).await;
    let ended = server.trigger("ended").await;
    server.ended(&ended.name).await;
    let run = server.trigger("task").await;
    let entered = stage.enters().await;

    let mut watch = watch(&server, pb::WatchRunsRequest::default()).await;

    let Some(Message::Snapshot(shown)) = next(&mut watch).await.message else {
        panic!("expected the snapshot");
    };
    assert_eq!(
        (shown.name.as_str(), shown.state()),
        (run.name.as_str(), pb::RunState::Running)
    );
    let Some(Message::SnapshotEnd(end)) = next(&mut watch).await.message else {
        panic!("expected the snapshot's end");
    };
    assert_eq!(end.count, 1, "what has ended is not in it");
    entered.succeeds();
    // What the snapshot knew may be told again: a client drops versions that it has seen. So may the end of a run that is
    // not in it: the log may be told a little later than the row is written.
    let told = loop {
        let (event, _) = event(&mut watch).await;
        let told = event.run.as_ref().unwrap();
        match told.name == run.name {
            true if shown.version < told.version => break event,
            true => {}
            false => assert_eq!(told.name, ended.name),
        }
    };
    assert_eq!(told.r#type, "run.succeeded");
    server.stop().await;
}

async fn what_a_newer_server_tells_is_passed_on_and_halts_nobody(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    let request = pb::WatchRunsRequest {
        task: "tasks/task".to_owned(),
        ..Default::default()
    };
    let mut watch = watch(&server, request.clone()).await;
    let before = server.trigger("task").await.name;
    server.ended(&before).await;
    while event(&mut watch).await.0.r#type != "run.succeeded" {}

    let fate = site.database.connect(site.data()).await;
    for kind in ["thing.happened", "run.pondered", "other"] {
        let insert = format!(
            "INSERT INTO events (at, kind, task_id, subject, payload) \
             SELECT at, '{kind}', task_id, subject, payload FROM events WHERE kind = 'run.succeeded'"
        );
        fate.execute_unprepared(&insert).await.unwrap();
    }
    let after = server.trigger("task").await.name;
    // Who waits for a run follows the log, too.
    server.ended(&after).await;

    let (pondered, _) = event(&mut watch).await;
    assert_eq!(pondered.r#type, "run.pondered");
    assert_eq!(pondered.run.unwrap().name, before);
    let (queued, token) = event(&mut watch).await;
    assert_eq!(queued.run.unwrap().name, after);
    assert!(pondered.sequence < queued.sequence);
    // A log that is read from its table goes on as well.
    server.stop().await;
    let server = site.start().await;
    let request = pb::WatchRunsRequest {
        resume_token: token,
        ..request
    };
    let mut watch = self::watch(&server, request).await;
    assert_eq!(event(&mut watch).await.0.run.unwrap().name, after);
    server.stop().await;
}

async fn a_resumed_watch_misses_nothing_and_repeats_nothing(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server
        .create("task", instant().overlap(pb::OverlapPolicy::Allow))
        .await;
    let filter = pb::WatchRunsRequest {
        task: "tasks/task".to_owned(),
        skip_snapshot: true,
        ..Default::default()
    };
    let mut whole = watch(&server, filter.clone()).await;
    let mut torn = watch(&server, filter.clone()).await;

    let (mut seen, mut again) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let run = server.trigger("task").await;
        server.ended(&run.name).await;
        // Three events for each run; the second watch breaks off after each message.
        for _ in 0..3 {
            let (event, _) = event(&mut whole).await;
            seen.push((event.sequence, event.r#type));
            let (event, token) = self::event(&mut torn).await;
            again.push((event.sequence, event.r#type));
            let resume = pb::WatchRunsRequest {
                resume_token: token,
                ..filter.clone()
            };
            torn = watch(&server, resume).await;
        }
    }

    assert_eq!(seen, again);
    assert!(seen.is_sorted_by(|one, other| one.0 < other.0));
    let types: Vec<&str> = seen.iter().take(3).map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(types, ["run.queued", "run.started", "run.succeeded"]);
    server.stop().await;
}

async fn a_token(server: &Server) -> String {
    let mut watch = watch(server, pb::WatchRunsRequest::default()).await;
    next(&mut watch).await.resume_token
}

async fn a_token_of_another_filter_or_server_is_refused(database: Database) {
    let elsewhere = Site::new(Database::sqlite());
    let other = elsewhere.start().await;
    let foreign = a_token(&other).await;
    other.stop().await;
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant()).await;
    let own = a_token(&server).await;

    for (task, resume_token) in [
        ("tasks/task", own),
        ("", foreign),
        ("", "no token".to_owned()),
    ] {
        let request = pb::WatchRunsRequest {
            task: task.to_owned(),
            resume_token,
            ..Default::default()
        };
        let (code, _, status) = refused(server.client.runs().watch_runs(request).await);
        assert_eq!(code, Code::InvalidArgument);
        assert_eq!(crate::support::violations(&status), ["resume_token"]);
    }
    server.stop().await;
}

async fn a_token_older_than_the_log_is_out_of_range_with_the_oldest(database: Database) {
    let toml = "[history]\nevents_keep_for = \"24h\"\n";
    let site = Site::configured(database, toml);
    let server = site.start().await;
    server.without_backups().await;
    server.create("task", instant()).await;
    let old = a_token(&server).await;
    for _ in 0..10 {
        let run = server.trigger("task").await;
        server.ended(&run.name).await;
    }
    server.advance(25 * 60 * 60);
    // The task that ships with the server does its daily work.
    let pruned = until("the log to be pruned", async || {
        server.task("prune-history").await.last_run
    });
    assert_eq!(pruned.await.outcome(), pb::RunOutcome::Worked);

    let request = pb::WatchRunsRequest {
        resume_token: old,
        ..Default::default()
    };
    let (code, reason, status) = refused(server.client.runs().watch_runs(request).await);
    assert_eq!((code, reason.as_str()), (Code::OutOfRange, "OUT_OF_RANGE"));
    let details = tonic_types::StatusExt::get_error_details(&status);
    let oldest = details.error_info().unwrap().metadata["oldest"].clone();
    let request = pb::WatchRunsRequest {
        resume_token: oldest,
        ..Default::default()
    };
    let mut watch = watch(&server, request).await;
    event(&mut watch).await;
    server.stop().await;
}

async fn a_drain_ends_watches_with_a_token_that_another_server_takes(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", instant().cron("* * * * *")).await;
    let mut before = watch(&server, pb::WatchRunsRequest::default()).await;
    next(&mut before).await;
    server.drain();
    let end = loop {
        let message = next(&mut before).await;
        if let Some(Message::End(end)) = message.message {
            assert_eq!(end.reason, "DRAINING");
            assert!(end.retry_after.is_some());
            break message.resume_token;
        }
    };
    server.stopped().await;

    site.clock.advance(jiff::SignedDuration::from_secs(60));
    let server = site.start().await;
    server.decided("task", server.now()).await;
    let request = pb::WatchRunsRequest {
        task: String::new(),
        resume_token: end,
        ..Default::default()
    };
    let mut after = watch(&server, request).await;
    let (event, _) = event(&mut after).await;
    assert_eq!(event.r#type, "run.queued", "from where the first one ended");
    server.stop().await;
}

async fn a_deadline_ends_a_watch_with_a_token(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut request = tonic::Request::new(pb::WatchRunsRequest::default());
    request.set_timeout(std::time::Duration::from_secs(2));
    let opened = server.client.runs().watch_runs(request).await;
    let mut watch = opened.unwrap().into_inner();
    loop {
        let message = next(&mut watch).await;
        if let Some(Message::End(end)) = message.message {
            assert_eq!(end.reason, "DEADLINE");
            assert!(!message.resume_token.is_empty());
            break;
        }
    }
    server.stop().await;
}

async fn a_follower_under_eight_writers_misses_nothing(database: Database) {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let site = Site::new(database);
    let (one, other) = (site.start().await, site.start().await);
    for writer in 0..WRITERS {
        let task = instant().overlap(pb::OverlapPolicy::Allow);
        one.create(&format!("task-{writer}"), task).await;
    }
    let request = pb::WatchRunsRequest {
        skip_snapshot: true,
        ..Default::default()
    };
    // On both replicas, of which each commits half of what the other hears of.
    let mut watches = [
        watch(&one, request.clone()).await,
        watch(&other, request).await,
    ];

    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let server = if writer % 2 == 0 { &one } else { &other };
        let mut tasks = server.client.tasks();
        writers.spawn(async move {
            let mut runs = BTreeSet::new();
            for _ in 0..EACH {
                let request = pb::TriggerTaskRequest {
                    name: format!("tasks/task-{writer}"),
                    ..Default::default()
                };
                let answer = tasks.trigger_task(request).await.unwrap();
                runs.insert(answer.into_inner().run.unwrap().name);
            }
            runs
        });
    }
    let mut seen = Vec::new();
    for watch in &mut watches {
        let mut changes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut sequences = Vec::new();
        let mut ended = 0;
        while ended < WRITERS * EACH {
            let (event, _) = event(watch).await;
            let run = event.run.unwrap();
            if !run.task.starts_with("tasks/task-") {
                continue;
            }
            ended += usize::from(event.r#type == "run.succeeded");
            changes.entry(run.name).or_default().push(event.r#type);
            sequences.push(event.sequence);
        }
        assert!(
            sequences.is_sorted_by(|one, other| one < other),
            "in order, none twice"
        );
        for (run, types) in &changes {
            let all = ["run.queued", "run.started", "run.succeeded"];
            assert_eq!(types, &all, "{run}");
        }
        seen.push((sequences, changes.into_keys().collect::<BTreeSet<_>>()));
    }

    let written: BTreeSet<String> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(seen[0].1, written);
    assert_eq!(seen[0], seen[1], "both replicas told the same");
    other.stop().await;
    one.stop().await;
}
