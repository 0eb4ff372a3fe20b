//! A database that is away for a while, and comes back.

use jiff::SignedDuration;
use watchbell_client::pb;

use crate::support::{
    Database, Proxy, Site, Stage, TaskExt as _, instant, noon, on_postgresql, scripted, until,
};

on_postgresql!(work_resumes_by_itself_when_the_database_is_back);

async fn work_resumes_by_itself_when_the_database_is_back(database: Database) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let wire = Proxy::to(&site.database.url()).await;
    let server = site.start_on(&wire.url(&site.database.url())).await;
    // Its slot may be decided before the end of the run before is recorded: whichever comes back first.
    let task = scripted(&stage).overlap(pb::OverlapPolicy::BufferOne);
    server.create("task", task.cron("* * * * *")).await;
    server.create("other", instant().cron("* * * * *")).await;
    server.advance(60);
    let entered = stage.enters().await;
    server.decided("other", server.now()).await;
    let run = format!("tasks/task/runs/{}", entered.context.run);

    wire.cut();
    let problem = server.problem("database.unreachable").await;
    assert_eq!(problem.severity(), pb::Severity::Critical);
    assert!(
        problem.action.contains("resumes by itself"),
        "{}",
        problem.action
    );
    // It ends while nothing can be recorded, and slots come due.
    entered.succeeds();
    server.advance(30);
    server.advance(30);
    let asked = server
        .client
        .tasks()
        .list_tasks(pb::ListTasksRequest::default())
        .await;
    assert_eq!(asked.unwrap_err().code(), tonic::Code::Unavailable);
    wire.mend();

    // Who asks may still get a connection that was cut: then it is told to ask again.
    let run = until("the run to end", async || {
        let request = pb::WaitRunRequest {
            name: run.clone(),
            timeout: None,
        };
        let answer = server.client.runs().wait_run(request).await;
        let answer = answer.ok()?.into_inner();
        answer.run.filter(|_| answer.done)
    })
    .await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "its result was kept");
    server.recovers().await;
    let ledger = server
        .decided("other", noon() + SignedDuration::from_mins(2))
        .await;
    assert_eq!(ledger.len(), 2, "{ledger:?}");
    let next = stage.enters().await;
    assert_eq!(
        next.context.nominal_at,
        Some(noon() + SignedDuration::from_mins(2))
    );
    next.succeeds();
    until("the problem to be gone", async || {
        let problems = server.status().await.problems;
        let gone = problems
            .iter()
            .all(|problem| problem.r#type != "database.unreachable");
        gone.then_some(())
    })
    .await;
    server.stop().await;
}
