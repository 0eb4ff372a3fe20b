//! What calls take beside something that hangs, floods or holds on, against what they took without it in the same storm.

use std::time::Duration;

use watchbell::clock::Stopwatch;
use watchbell_client::{call::request_id, client::Client, pb};

use super::{
    arena::Arena,
    pace::pass,
    workload::{BY_HAND, answered},
};

/// What nobody waits for.
const LONGER: Duration = Duration::from_millis(100);
/// Of each kind.
const CALLS: usize = 25;
/// The machine may be at something else for a while; what waits for what hangs does so each time.
const TRIES: usize = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

/// A call, and how long it took.
type Took = (Duration, &'static str);

/// The longest of some hundred calls, and how many runs were ordered.
async fn longest(client: &Client) -> (Took, u64) {
    let (mut longest, mut ordered) = ((Duration::ZERO, "none"), 0);
    let mut took = |watch: &Stopwatch, call| longest = longest.max((watch.elapsed(), call));
    for turn in 0..CALLS {
        let watch = Stopwatch::start();
        match answered(client, &request_id()).await {
            Ok(()) => ordered += 1,
            // That the run before is still under way is an answer as well.
            Err(status) => assert_eq!(status.code(), tonic::Code::FailedPrecondition, "{status:?}"),
        }
        took(&watch, "TriggerTask");
        let watch = Stopwatch::start();
        let get = pb::GetTaskRequest {
            name: format!("tasks/{BY_HAND}"),
        };
        let task = client.tasks().get_task(get).await.unwrap().into_inner();
        took(&watch, "GetTask");
        let mut task = task.task.unwrap();
        task.description = format!("turn {turn}");
        let watch = Stopwatch::start();
        let update = pb::UpdateTaskRequest {
            task: Some(task),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["description".to_owned()],
            }),
            ..Default::default()
        };
        client.tasks().update_task(update).await.unwrap();
        took(&watch, "UpdateTask");
        let watch = Stopwatch::start();
        let status = pb::GetStatusRequest {};
        client.scheduler().get_status(status).await.unwrap();
        took(&watch, "GetStatus");
    }
    (longest, ordered)
}

impl Arena {
    /// The longest of some hundred calls to one replica.
    pub(super) async fn longest_call(&mut self) -> Took {
        let client = self.client_of(self.replicas[0].address);
        let (longest, ordered) = longest(&client).await;
        self.figures.calls.answered += ordered;
        longest
    }

    /// Holds that none of some hundred calls takes longer, by what nobody waits for, than the longest did `alone`.
    pub(super) async fn nobody_waits(&mut self, alone: Took) {
        let mut took = Vec::new();
        for _ in 0..TRIES {
            let longest = self.longest_call().await;
            took.push(longest);
            if longest.0 <= alone.0 + LONGER {
                let longer = longest.0.saturating_sub(alone.0);
                self.figures.longer_beside_s.push(longer.as_secs_f64());
                return;
            }
            pass(BETWEEN_TRIES).await;
        }
        panic!("calls took {took:?} at the longest, and {alone:?} alone");
    }
}
