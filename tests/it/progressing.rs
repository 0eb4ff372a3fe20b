//! Attempts that must show signs of life.

use watchbell_client::pb;

use crate::support::{Database, Entered, Server, Site, Stage, on_both, scripted, seconds, until};

on_both!(
    an_attempt_without_progress_is_stopped,
    progress_holds_off_the_progress_deadline,
    a_sign_of_life_is_progress,
);

/// An attempt under way that has to show a sign of life every 20 seconds, and its run.
async fn within_20_seconds(database: Database) -> (Site, Server, pb::Run, Entered) {
    let mut stage = Stage::new();
    let site = Site::new(database);
    let server = site.start().await;
    let mut task = scripted(&stage);
    task.progress_deadline = Some(seconds(20));
    server.create("task", task).await;
    let run = server.trigger("task").await;
    let entered = stage.enters().await;
    (site, server, run, entered)
}

async fn an_attempt_without_progress_is_stopped(database: Database) {
    let (_site, server, run, _silent) = within_20_seconds(database).await;
    server.advance(20);

    let run = server.ended(&run.name).await;
    assert_eq!(
        (run.state(), run.reason.as_str()),
        (pb::RunState::TimedOut, "NO_PROGRESS")
    );
    server.stop().await;
}

async fn progress_holds_off_the_progress_deadline(database: Database) {
    let (_site, server, run, entered) = within_20_seconds(database).await;
    for step in 1..=4 {
        server.advance(15);
        entered.context.progress(step, 4, "copying");
        until("the progress to be told", async || {
            let progress = server.run(&run.name).await.progress?;
            (progress.done == step).then_some(())
        })
        .await;
    }
    entered.succeeds();

    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded);
    server.stop().await;
}

async fn a_sign_of_life_is_progress(database: Database) {
    let (_site, server, run, entered) = within_20_seconds(database).await;
    for _ in 0..4 {
        server.advance(15);
        entered.context.alive();
    }
    entered.succeeds();

    let run = server.ended(&run.name).await;
    assert_eq!(run.state(), pb::RunState::Succeeded, "{}", run.message);
    server.stop().await;
}
