//! Lists of runs of which few of many are wanted.

use watchbell_client::pb;

use crate::support::{Database, Server, Site, Stage, TaskExt as _, noon, on_both, scripted, stamp};

on_both!(
    few_of_many_are_found_by_pages_that_look_at_so_many_only,
    runs_of_a_deleted_task_are_listed,
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
    for batch in 0..3 {
        let at = |second| Some(stamp(noon() + jiff::SignedDuration::from_secs(second)));
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
