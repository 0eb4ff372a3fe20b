//! Work that was due and did not happen is told, whatever the reason.

mod forsaken;
mod healing;
mod pauses;
mod stale;
mod waiting;

use jiff::{SignedDuration, Timestamp};
use watchbell::engine::RunContext;
use watchbell_client::pb;

use crate::support::{
    Database, Entered, Server, Site, Stage, TaskExt as _, noon, scripted, stamp, until,
};

/// What a story stands on whose one task has a slot every ten minutes, and attempts that end as the story says.
async fn every_ten_minutes(
    database: Database,
    change: impl FnOnce(pb::Task) -> pb::Task,
) -> (Site, Server, Stage) {
    let stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let task = change(scripted(&stage).cron("*/10 * * * *"));
    server.create("task", task).await;
    (site, server, stage)
}

/// So many minutes after the stories begin.
fn minute(minutes: i64) -> Timestamp {
    noon() + SignedDuration::from_mins(minutes)
}

/// The name of the run that ends so, once it has ended.
async fn ended(server: &Server, context: RunContext) -> String {
    let name = format!("tasks/{}/runs/{}", context.task, context.run);
    server.ended(&name).await;
    name
}

/// Has the next attempt succeed; answers the name of its run.
async fn succeeds(server: &Server, stage: &mut Stage) -> String {
    ended(server, stage.enters().await.succeeds()).await
}

/// Has the next attempt, which is the last of its run, fail; answers the name of its run.
async fn fails(server: &Server, stage: &mut Stage) -> String {
    ended(server, stage.enters().await.fails()).await
}

/// Lets the next slot, `seconds` from now, come, and its run start.
async fn slot(server: &Server, stage: &mut Stage, seconds: i64) -> Entered {
    server.advance(seconds);
    stage.enters().await
}

/// Asks for the slots of `task` between these minutes after the stories begin.
async fn backfill(server: &Server, task: &str, from: i64, to: i64) {
    let request = pb::BackfillTaskRequest {
        name: format!("tasks/{task}"),
        start_time: Some(stamp(minute(from))),
        end_time: Some(stamp(minute(to))),
        ..Default::default()
    };
    server.client.tasks().backfill_task(request).await.unwrap();
}

/// Has a run repeated.
async fn retry(server: &Server, run: &str) {
    let request = pb::RetryRunRequest {
        name: run.to_owned(),
        ..Default::default()
    };
    server.client.runs().retry_run(request).await.unwrap();
}

/// The problem as of a look after this run, which is the newest of its task, has ended.
async fn still(server: &Server, kind: &str, run: &str) -> pb::Problem {
    let (subject, _) = run.split_once("/runs/").unwrap();
    until(&format!("{kind} of {subject} to name {run}"), async || {
        let problem = of(server, kind, subject).await;
        problem.message.contains(run).then_some(problem)
    })
    .await
}

/// The problem of this type of the task, once the status has it.
async fn of(server: &Server, kind: &str, subject: &str) -> pb::Problem {
    until(&format!("{kind} of {subject}"), async || {
        let problems = server.status().await.problems;
        problems
            .into_iter()
            .find(|problem| problem.r#type == kind && problem.subject == subject)
    })
    .await
}

/// Waits until the status has no problem of this type of the subject.
async fn over(server: &Server, kind: &str, subject: &str) {
    until(&format!("{kind} of {subject} to be over"), async || {
        let problems = server.status().await.problems;
        problems
            .iter()
            .all(|problem| problem.r#type != kind || problem.subject != subject)
            .then_some(())
    })
    .await;
}

async fn has(server: &Server, kind: &str, subject: &str) -> bool {
    let problems = server.status().await.problems;
    problems
        .iter()
        .any(|problem| problem.r#type == kind && problem.subject == subject)
}
