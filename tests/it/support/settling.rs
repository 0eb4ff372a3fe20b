//! Waiting until what was begun is over, before a story goes on.

use futures_util::future::join_all;
use jiff::Timestamp;
use watchbell_client::pb;

use super::{Server, until};

/// More than a server has connections to its database.
const AT_ONCE: usize = 16;

impl Server {
    /// Waits until the task is decided up to then, and all its runs have ended. One that is being claimed at the moment at
    /// which the clock moves on by more than its lease is lost; and where runs may not overlap, a slot that comes while one
    /// is under way is skipped.
    pub(crate) async fn done(&self, name: &str, upto: Timestamp) {
        self.decided(name, upto).await;
        for run in self.runs_of(name).await {
            self.ended(&run.name).await;
        }
    }

    /// The problem of this type, which takes time to come: it passes meanwhile.
    pub(crate) async fn problem_in_time(&self, kind: &str) -> pb::Problem {
        until(&format!("the problem {kind} as time passes"), async || {
            self.advance(1);
            let problems = self.status().await.problems;
            problems.into_iter().find(|problem| problem.r#type == kind)
        })
        .await
    }

    /// Waits until whatever is asked is answered again, after the way to the database was cut: that a connection was among
    /// those is found out by whoever gets it next, who is told to ask again.
    pub(crate) async fn recovers(&self) {
        until("every connection to the database to be good", async || {
            let asked = (0..AT_ONCE).map(|_| {
                let mut tasks = self.client.tasks();
                async move { tasks.list_tasks(pb::ListTasksRequest::default()).await }
            });
            let answers = join_all(asked).await;
            answers.iter().all(Result::is_ok).then_some(())
        })
        .await;
    }
}
