//! Problems, as the status has them.

use watchbell_client::pb;

use super::{Server, until};

impl Server {
    /// The problem of this type, once the status has it.
    pub(crate) async fn problem(&self, kind: &str) -> pb::Problem {
        until(&format!("the problem {kind}"), async || {
            let problems = self.status().await.problems;
            problems.into_iter().find(|problem| problem.r#type == kind)
        })
        .await
    }

    /// Waits until the status has no problem of this type.
    pub(crate) async fn problem_is_over(&self, kind: &str) {
        until(&format!("{kind} to be over"), async || {
            let problems = self.status().await.problems;
            (!problems.iter().any(|problem| problem.r#type == kind)).then_some(())
        })
        .await;
    }
}
