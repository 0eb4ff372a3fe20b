//! Work that was due and did not happen is told, whatever the reason.

mod pauses;
mod stale;
mod waiting;

use watchbell_client::pb;

use crate::support::{Server, until};

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
