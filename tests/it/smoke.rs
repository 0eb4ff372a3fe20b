//! Temporary smoke test of the engine without the wire.
use serde::Deserialize;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use watchbell::{
    clock::ManualClock,
    domain::{decide, *},
    engine::*,
    store::{Location, ReplicaRow, Store},
};
#[derive(Deserialize)]
struct Noop {}
impl Kind for Noop {
    const NAME: &'static str = "noop";
    const ABOUT: &'static str = "x";
    type Env = ();
    async fn run(self, _: (), context: RunContext) -> Result<Done, Failure> {
        context.log("hello");
        context.progress(1, 2, "half");
        Ok(Done::worked("done").count("n", 1))
    }
}
async fn go(location: Location) {
    let clock = Arc::new(ManualClock::at("2026-01-01T12:00:00Z".parse().unwrap()));
    let store = Store::open(&location, clock.clone()).await.unwrap();
    store.start_tail().await.unwrap();
    let replica = ReplicaRow {
        id: ReplicaId::new(),
        host: "h".into(),
        process_id: 1,
        version: "1".into(),
        configuration_hash: "x".into(),
        started_at: "2026-01-01T12:00:00Z".parse().unwrap(),
        seen_at: "2026-01-01T12:00:00Z".parse().unwrap(),
    };
    let registry = Arc::new(Registry::default().with::<Noop>(()));
    let engine = Engine::new(
        store.clone(),
        clock.clone(),
        registry,
        replica,
        Settings {
            default_zone: "UTC".into(),
            max_running: 16,
            lease: Duration::from_secs(15),
            audit_grace: Duration::from_secs(60),
        },
    );
    let stop = CancellationToken::new();
    let cut = CancellationToken::new();
    tokio::spawn(store.clone().run_tail(stop.clone()));
    tokio::spawn(store.clone().run_remote_bells(stop.clone()));
    let runner = Runner::new(engine.clone());
    let r = tokio::spawn(runner.run(stop.clone(), cut.clone()));
    tokio::spawn(Scheduler::new(engine.clone()).run(stop.clone()));
    let who = Caller {
        principal: "me".into(),
    };
    let fields = json!({"kind": "noop", "schedule": {"cron": "0 * * * *"}})
        .as_object()
        .unwrap()
        .clone();
    let name: TaskName = format!("t{}", RunId::new().0.simple()).parse().unwrap();
    let task = engine
        .create_task(&who, name.clone(), fields, "", false, None)
        .await
        .unwrap();
    clock.advance(jiff::SignedDuration::from_hours(3));
    let mut f = std::pin::pin!(watchbell::journal::follow(store.clone(), 0));
    use futures_util::StreamExt;
    loop {
        let e = tokio::time::timeout(Duration::from_secs(5), f.next())
            .await
            .expect("event")
            .unwrap()
            .unwrap();
        println!("{} {} {} {}", e.sequence, e.kind, e.subject, &e.payload);
        if e.kind == EventKind::RunSucceeded && e.task_id == Some(task.id) {
            break;
        }
    }
    let mut changes = BTreeMap::new();
    changes.insert("schedule.cron".to_owned(), json!("*/5 * * * *"));
    let t = engine
        .update_task(&who, &name, changes, None, "why", false, None)
        .await
        .unwrap();
    println!("{t:?}");
    let run = engine
        .trigger(&who, &name, TriggerOrder::default(), None)
        .await
        .unwrap();
    loop {
        let e = tokio::time::timeout(Duration::from_secs(5), f.next())
            .await
            .expect("event")
            .unwrap()
            .unwrap();
        println!("{} {} {}", e.sequence, e.kind, e.subject);
        if e.kind == EventKind::RunSucceeded && e.run().unwrap().id == run.id {
            break;
        }
    }
    println!("{:?}", store.log_after(run.id, (0, 0), 10).await.unwrap());
    println!(
        "{:?}",
        store.figures(task.id, task.created_at).await.unwrap()
    );
    Auditor::new(engine.clone()).tick().await.unwrap();
    println!("{:#?}", engine.status().await);
    println!(
        "{:?}",
        audit(
            &store,
            "UTC",
            "2026-01-01T15:00:00Z".parse().unwrap(),
            Duration::from_secs(60)
        )
        .await
        .unwrap()
    );
    println!("{:?}", engine.drift().await.unwrap().len());
    println!(
        "{:?}",
        engine
            .agenda(
                "2026-01-01T15:00:00Z".parse().unwrap(),
                "2026-01-01T16:00:00Z".parse().unwrap(),
                3,
                0
            )
            .await
            .unwrap()
    );
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), r)
        .await
        .unwrap()
        .unwrap();
    let _ = decide::overlap_reason;
}
#[tokio::test]
async fn sqlite() {
    let dir = tempfile::tempdir().unwrap();
    go(Location::Sqlite(dir.path().join("w.db"))).await;
}
#[tokio::test]
async fn postgres() {
    go(Location::Postgres(
        "postgres://watchbell@127.0.0.1:5499/dev".into(),
    ))
    .await;
}
