//! Lists of runs and of slots of which few of many are wanted.

use jiff::{SignedDuration, Timestamp};
use sea_orm::ConnectionTrait as _;
use watchbell_client::pb;

use crate::support::{
    Database, Server, Site, Stage, TaskExt as _, at, many, noon, on_both, scripted, stamp, until,
};

on_both!(
    few_of_many_are_found_by_pages_that_look_at_so_many_only,
    runs_of_a_deleted_task_are_listed,
    few_slots_of_many_are_found_whatever_became_of_them,
    an_agenda_that_is_far_ahead_looks_at_so_many_tasks_for_a_page,
);

async fn few_of_many_are_found_by_pages_that_look_at_so_many_only(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut stage = Stage::new();
    server.create("task", scripted(&stage).every(1)).await;
    // The first is held, so that all the others wait.
    let held = server.trigger("task").await;
    let entered = stage.enters().await;
    server.advance(2_500);
    server.decided("task", server.now()).await;
    until("what ships to have run", async || {
        let live = pb::ListRunsRequest {
            states: vec![pb::RunState::Queued.into(), pb::RunState::Running.into()],
            ..Default::default()
        };
        let live = walk(&server, live).await.concat();
        (live == [held.name.clone()]).then_some(())
    })
    .await;
    for batch in 0..3 {
        let at = |second| Some(stamp(noon() + SignedDuration::from_secs(second)));
        let request = pb::BackfillTaskRequest {
            name: "tasks/task".to_owned(),
            start_time: at(1 + batch * 800),
            end_time: at(1 + (batch + 1) * 800),
            max_count: 1000,
            ..Default::default()
        };
        let made = server.client.tasks().backfill_task(request).await.unwrap();
        assert_eq!(made.into_inner().run_count, 800);
    }

    let manual = pb::ListRunsRequest {
        triggers: vec![pb::RunTrigger::Manual.into()],
        ..Default::default()
    };
    let of_task = pb::ListRunsRequest {
        task: "tasks/task".to_owned(),
        ..manual.clone()
    };
    let expected = [held.name.clone()];
    for request in [manual, of_task] {
        let pages = walk(&server, request).await;
        assert!(
            pages[0].is_empty(),
            "2,400 newer ones are looked at first: {pages:?}"
        );
        assert_eq!(pages.concat(), expected, "{pages:?}");
    }
    // An index knows who is under way; and who failed.
    let running = pb::ListRunsRequest {
        states: vec![pb::RunState::Running.into(), pb::RunState::Failed.into()],
        ..Default::default()
    };
    let of_task = pb::ListRunsRequest {
        task: "tasks/task".to_owned(),
        states: vec![pb::RunState::Running.into()],
        ..Default::default()
    };
    for request in [running, of_task] {
        assert_eq!(walk(&server, request).await, [vec![held.name.clone()]]);
    }
    // What is asked for twice comes once.
    let twice = pb::ListRunsRequest {
        states: vec![pb::RunState::Running.into(); 2],
        triggers: vec![pb::RunTrigger::Manual.into(); 2],
        ..Default::default()
    };
    assert_eq!(walk(&server, twice).await, [vec![held.name.clone()]]);
    let queued = pb::ListRunsRequest {
        states: vec![pb::RunState::Queued.into()],
        page_size: 1000,
        ..Default::default()
    };
    let pages = walk(&server, queued).await;
    let names = pages.concat();
    assert_eq!(names.len(), 2_400);
    assert!(
        names.is_sorted_by(|newer, older| older < newer),
        "{names:?}"
    );
    drop(entered);
    server.kill().await;
}

async fn runs_of_a_deleted_task_are_listed(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    let mut expected = Vec::new();
    for _ in 0..2 {
        server.create("task", crate::support::instant()).await;
        let run = server.trigger("task").await;
        server.ended(&run.name).await;
        expected.insert(0, run.name);
        let request = pb::DeleteTaskRequest {
            name: "tasks/task".to_owned(),
            ..Default::default()
        };
        server.client.tasks().delete_task(request).await.unwrap();
    }
    let request = |task: &str| pb::ListRunsRequest {
        task: format!("tasks/{task}"),
        page_size: 1,
        ..Default::default()
    };

    assert_eq!(walk(&server, request("task")).await.concat(), expected);
    let mut runs = server.client.runs();
    let refusal = runs.list_runs(request("never")).await.unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::NotFound);
    server.stop().await;
}

async fn few_slots_of_many_are_found_whatever_became_of_them(database: Database) {
    let site = Site::new(database);
    let server = site.start().await;
    server.create("task", crate::support::instant()).await;
    // A ledger of 12,000 rows: the two oldest led to runs, one of a hundred was missed for a pause.
    let fate = site.database.connect(site.data()).await;
    let fill = "INSERT INTO slots (task_id, after_at, upto_at, outcome, reason, count, revision, tzdb, decided_at) \
                WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 12000) \
                SELECT id, n * 1000 - 1000, n * 1000, CASE WHEN n <= 2 THEN 'dispatched' \
                WHEN n % 100 = 0 THEN 'skipped_paused' ELSE 'skipped_overlap' END, '', 1, 1, '', n * 1000 \
                FROM c, tasks WHERE name = 'task'";
    fate.execute_unprepared(fill).await.unwrap();
    fate.close().await.unwrap();

    use pb::SlotOutcome::{Dispatched, SkippedEnded, SkippedOverlap, SkippedPaused};
    let walked = async |outcomes: &[pb::SlotOutcome]| {
        let mut request = pb::ListSlotsRequest {
            task: "tasks/task".to_owned(),
            page_size: 1000,
            outcomes: outcomes.iter().map(|outcome| (*outcome).into()).collect(),
            ..Default::default()
        };
        let mut pages: Vec<Vec<pb::Slot>> = Vec::new();
        loop {
            let answer = server.client.tasks().list_slots(request.clone()).await;
            let answer = answer.unwrap().into_inner();
            pages.push(answer.slots);
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
        let slots = pages.concat();
        let upto = |slot: &pb::Slot| slot.upto_time.map(|at| (at.seconds, at.nanos));
        assert!(
            slots.is_sorted_by(|newer, older| upto(older) < upto(newer)),
            "{outcomes:?}"
        );
        assert!(
            outcomes.is_empty() || slots.iter().all(|slot| outcomes.contains(&slot.outcome())),
            "{outcomes:?}"
        );
        sizes
    };
    assert_eq!(walked(&[]).await, [1000; 12]);
    assert_eq!(walked(&[SkippedPaused]).await, [120]);
    assert_eq!(walked(&[SkippedEnded]).await, [0]);
    let both = walked(&[SkippedPaused, SkippedOverlap, SkippedPaused]).await;
    assert_eq!(both, [vec![1000; 11], vec![998]].concat());
    // Each page looks at 5,000 of them.
    assert_eq!(walked(&[Dispatched]).await, [0, 0, 2]);
    assert_eq!(walked(&[Dispatched, SkippedPaused]).await, [50, 50, 22]);
    server.stop().await;
}

/// The names of the runs on each page.
async fn walk(server: &Server, mut request: pb::ListRunsRequest) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    loop {
        let answer = server.client.runs().list_runs(request.clone()).await;
        let answer = answer.unwrap().into_inner();
        pages.push(answer.runs.into_iter().map(|run| run.name).collect());
        if answer.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = answer.next_page_token;
    }
}

async fn an_agenda_that_is_far_ahead_looks_at_so_many_tasks_for_a_page(database: Database) {
    // A spread has each come at an instant of its own: nothing tells beforehand which comes first.
    let tasks = many(1300, "{ cron = \"0 6 * * *\", spread = \"1h\" }");
    let site = Site::configured(database, &tasks);
    let server = site.start().await;
    let after = noon() + SignedDuration::from_hours(24 * 90);
    let request = pb::GetAgendaRequest {
        after_time: Some(stamp(after)),
        until_time: Some(stamp(after + SignedDuration::from_hours(24))),
        page_size: 100,
        page_token: String::new(),
    };
    let mut sizes = Vec::new();
    let mut all: Vec<(Timestamp, String)> = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::GetAgendaRequest {
            page_token,
            ..request.clone()
        };
        let answer = server.client.scheduler().get_agenda(request).await;
        let answer = answer.unwrap().into_inner();
        sizes.push(answer.entries.len());
        let due = |entry: pb::AgendaEntry| {
            let due_at = at(&entry.fire.unwrap_or_default().due_time);
            (due_at.parse().unwrap(), entry.task)
        };
        all.extend(answer.entries.into_iter().map(due));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes[..2], [0, 100], "the first page only looks");
    let of_stories = all.iter().filter(|(_, task)| task.starts_with("tasks/t"));
    assert_eq!(of_stories.count(), 1300, "each fires once");
    let mut sorted = all.clone();
    sorted.sort();
    assert_eq!(all, sorted);
    sorted.dedup();
    assert_eq!(all.len(), sorted.len(), "none comes twice");

    // By a server that knows nothing of the pages before it.
    let first = server.client.scheduler().get_agenda(request.clone()).await;
    let page_token = first.unwrap().into_inner().next_page_token;
    assert!(!page_token.is_empty());
    server.kill().await;
    let server = site.start().await;
    let request = pb::GetAgendaRequest {
        page_token,
        ..request
    };
    let answer = server.client.scheduler().get_agenda(request).await;
    assert_eq!(answer.unwrap().into_inner().entries.len(), 100);
    server.stop().await;
}
