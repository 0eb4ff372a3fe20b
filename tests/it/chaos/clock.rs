//! Clocks that are set an hour forward and back: on SQLite the host's, on PostgreSQL the database's, and that
//! of a host which is not the database's.

use std::time::Duration;

use watchbell_client::{call::request_id, pb};

use super::{
    arena::{Arena, Ground},
    faketime::Faketime,
    form::Form,
    pace::soon,
    postgres::Postgres,
    workload::{Load, trigger},
};
use crate::support::{Database, on_postgresql};

const HOUR: i64 = 3600;
/// A clock is looked at every 5 s, and later where the machine is busy.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
const LEASE: &str = "15s";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_decides_no_slot_twice_on_sqlite() {
    let Some(clock) = Faketime::new() else { return };
    let form = Form::now();
    let mut arena = Arena::new("clock", Ground::Sqlite(None), LEASE, Load::storm(form)).await;
    arena.environment = clock.environment();
    arena.start().await;
    there_and_back(arena, &clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_decides_no_slot_twice_on_postgresql() {
    let Some(clock) = Faketime::new() else { return };
    let Some(postgres) = Postgres::start(clock.environment()).await else {
        return;
    };
    let form = Form::now();
    let ground = Ground::Own(Box::new(postgres));
    let mut arena = Arena::new("clock", ground, LEASE, Load::storm(form)).await;
    arena.start_all(2).await;
    there_and_back(arena, &clock).await;
}

async fn there_and_back(mut arena: Arena, clock: &Faketime) {
    arena.begin().await;
    for turn in 0..arena.form.pick(1, 3) {
        // Where it is right, and where it is an hour ahead; each turn begins where the last one ended.
        let (right, ahead) = (turn * HOUR, (turn + 1) * HOUR);
        arena
            .blow_for(
                arena
                    .form
                    .pick(Duration::from_secs(1), Duration::from_secs(5)),
            )
            .await;
        let before = newest(&arena).await;
        clock.set(ahead);
        arena.figures.blows += 1;
        held_back(&arena).await;
        assert!(
            newest(&arena).await < before + HOUR - 60,
            "nothing is decided first"
        );
        // Someone says that it is right.
        let jumped = soon("the hour to be decided", SEEN_WITHIN, async || {
            // Whoever answers may not have seen it yet, or hear of it from the other.
            let _ = accept(&arena).await;
            (before + HOUR - 60 < newest(&arena).await).then_some(())
        });
        jumped.await;
        arena.decides("deciding to go on").await;

        clock.set(right);
        arena.figures.blows += 1;
        let back = soon("a problem that tells of it", SEEN_WITHIN, async || {
            let status = arena
                .client()
                .scheduler()
                .get_status(pb::GetStatusRequest {})
                .await;
            let problems = status.ok()?.into_inner().status?.problems;
            problems
                .into_iter()
                .find(|problem| problem.r#type == "clock.behind")
        });
        let (problem, _) = back.await;
        assert_eq!(problem.severity(), pb::Severity::Critical, "{problem:?}");
        let decided = newest(&arena).await;
        // By hand everything can be run, and ends.
        let (client, id) = (arena.client(), request_id());
        let triggered = soon("a run by hand", SEEN_WITHIN, async || {
            trigger(&client, &id).await.ok()
        });
        triggered.await;
        arena.figures.calls.answered += 1;
        arena
            .blow_for(
                arena
                    .form
                    .pick(Duration::from_secs(2), Duration::from_secs(10)),
            )
            .await;
        assert_eq!(newest(&arena).await, decided, "nothing fires again");

        clock.set(ahead);
        arena.decides("deciding to go on where it was").await;
    }
    arena.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ahead_for_a_while_stops_nothing_on_sqlite() {
    let Some(clock) = Faketime::new() else { return };
    let form = Form::now();
    let ground = Ground::Sqlite(None);
    let mut arena = Arena::new("clock ahead", ground, LEASE, Load::storm(form)).await;
    arena.environment = clock.environment();
    arena.start().await;
    ahead_for_a_while(arena, &clock).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ahead_for_a_while_stops_nothing_on_postgresql() {
    let Some(clock) = Faketime::new() else { return };
    let Some(postgres) = Postgres::start(clock.environment()).await else {
        return;
    };
    let form = Form::now();
    let ground = Ground::Own(Box::new(postgres));
    let mut arena = Arena::new("clock ahead", ground, LEASE, Load::storm(form)).await;
    arena.start_all(2).await;
    ahead_for_a_while(arena, &clock).await;
}

/// By a year, and put right before anybody has said that it is right.
async fn ahead_for_a_while(mut arena: Arena, clock: &Faketime) {
    arena.begin().await;
    for _ in 0..arena.form.pick(1, 3) {
        let before = newest(&arena).await;
        clock.set(365 * 24 * HOUR);
        arena.figures.blows += 1;
        held_back(&arena).await;
        arena
            .blow_for(
                arena
                    .form
                    .pick(Duration::from_secs(2), Duration::from_secs(30)),
            )
            .await;
        assert!(
            newest(&arena).await < before + HOUR,
            "nothing is decided beyond now"
        );
        clock.set(0);
        arena.decides("deciding to go on").await;
        let over = soon("the problem to be over", SEEN_WITHIN, async || {
            problem(&arena, "clock.held").await.is_none().then_some(())
        });
        over.await;
        assert!(
            newest(&arena).await < before + HOUR,
            "each fires when it is due"
        );
    }
    arena.settle().await;
}

/// The open problem of this type, as the server that answers tells it.
async fn problem(arena: &Arena, kind: &str) -> Option<pb::Problem> {
    let client = arena.client();
    let status = client.scheduler().get_status(pb::GetStatusRequest {}).await;
    let problems = status.ok()?.into_inner().status?.problems;
    problems.into_iter().find(|problem| problem.r#type == kind)
}

async fn held_back(arena: &Arena) {
    let held = soon("a problem that tells of it", SEEN_WITHIN, async || {
        problem(arena, "clock.held").await
    });
    let (problem, _) = held.await;
    assert_eq!(problem.severity(), pb::Severity::Critical, "{problem:?}");
}

async fn accept(arena: &Arena) -> Result<(), tonic::Status> {
    let request = pb::AcceptClockRequest {
        reason: "chaos".to_owned(),
    };
    let accepted = arena.client().scheduler().accept_clock(request).await;
    accepted.map(drop)
}

/// Up to which second the newest task is decided.
async fn newest(arena: &Arena) -> i64 {
    let newest = arena
        .look()
        .await
        .number("SELECT max(cursor_at) FROM tasks")
        .await;
    newest.unwrap() / 1_000_000
}

on_postgresql!(a_host_whose_clock_jumps_disturbs_nothing);

async fn a_host_whose_clock_jumps_disturbs_nothing(database: Database) {
    let Some(clock) = Faketime::new() else { return };
    let form = Form::now();
    let mut arena = Arena::new("clock of a host", database.into(), LEASE, Load::storm(form)).await;
    arena.environment = clock.environment();
    arena.start().await;
    arena.environment.clear();
    arena.start().await;
    arena.begin().await;
    for offset in [HOUR, -HOUR].repeat(form.pick(1, 2)) {
        clock.set(offset);
        arena.figures.blows += 1;
        let told = soon("the replica to tell of it", SEEN_WITHIN, async || {
            let client = arena.client_of(arena.replicas[0].address);
            let status = client.scheduler().get_status(pb::GetStatusRequest {}).await;
            let problems = status.ok()?.into_inner().status?.problems;
            let problem = problems
                .iter()
                .find(|problem| problem.r#type == "clock.offset")?;
            (problem.message.contains(" ago") == (offset < 0)).then_some(())
        });
        told.await;
        arena.decides("deciding to go on").await;
    }
    let look = arena.look().await;
    let missed = "SELECT count(*) FROM slots WHERE outcome IN ('coalesced', 'skipped_catchup_none') \
                  AND count > 60";
    assert_eq!(
        look.number(missed).await,
        Some(0),
        "no hour was caught up with"
    );
    arena.settle().await;
}
