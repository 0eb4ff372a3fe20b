//! The storm: tasks that fire every second, of every policy, and a caller that triggers one by hand.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tokio::task::JoinHandle;
use watchbell_client::{
    call::{request_id, unary},
    client::Client,
    pb,
};

use super::{
    form::Form,
    pace::{pass, soon},
};
use crate::support::{TaskExt as _, seconds};

/// The task that callers trigger.
pub(super) const BY_HAND: &str = "by-hand";
const EVERY_SECOND: &str = "* * * * * *";
const CALL_EVERY: Duration = Duration::from_millis(300);
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// How many tasks of which kind fire every second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// End at once.
    pub(super) noop: usize,
    /// Take a moment, and may be begun once only.
    pub(super) once: usize,
    /// Write under their token for a second or two, however often they must begin again.
    pub(super) token: usize,
}

impl Load {
    /// 200 tasks, or some of each kind where it must be quick.
    pub(super) fn storm(form: Form) -> Self {
        let short = Self {
            noop: 27,
            once: 5,
            token: 8,
        };
        let long = Self {
            noop: 162,
            once: 14,
            token: 24,
        };
        form.pick(short, long)
    }

    pub(super) fn count(self) -> usize {
        self.noop + self.once + self.token
    }

    fn tasks(self) -> Vec<(String, pb::Task)> {
        let noop = (0..self.noop).map(|number| {
            let task = with_policies(kind("bench-noop", None), number);
            (format!("noop-{number}"), task)
        });
        let once = (0..self.once).map(|number| {
            let mut task = kind("bench-sleep", Some("300ms"));
            task.set_execution(pb::Execution::AtMostOnce);
            (format!("once-{number}"), task)
        });
        let token = (0..self.token).map(|number| {
            let spans = ["500ms", "900ms", "1500ms", "2500ms"];
            let task = kind("bench-token", Some(spans[number % spans.len()])).attempts(100);
            (format!("token-{number}"), task)
        });
        let firing = noop.chain(once).chain(token);
        let firing = firing.map(|(name, task)| (name, task.cron(EVERY_SECOND)));
        let by_hand = (BY_HAND.to_owned(), kind("bench-noop", None));
        firing.chain([by_hand]).collect()
    }

    /// Makes the tasks, which begin to fire at once.
    pub(super) async fn make(self, client: &Client) {
        let made = stream::iter(self.tasks()).map(|(name, task)| {
            let request = pb::CreateTaskRequest {
                task_id: name,
                task: Some(task),
                request_id: request_id(),
                ..Default::default()
            };
            async {
                let made = unary(request, async |request| {
                    client.tasks().create_task(request).await
                });
                made.await.unwrap();
            }
        });
        made.buffer_unordered(8).collect::<()>().await;
    }
}

/// Each combination of what may become of slots that are missed or overtaken.
fn with_policies(task: pb::Task, number: usize) -> pb::Task {
    let overlaps = [
        pb::OverlapPolicy::Skip,
        pb::OverlapPolicy::BufferOne,
        pb::OverlapPolicy::Allow,
    ];
    let modes = [
        pb::CatchUpMode::Latest,
        pb::CatchUpMode::None,
        pb::CatchUpMode::All,
    ];
    let mode = modes[number / 3 % 3];
    let mut task = task.overlap(overlaps[number % 3]).catch_up(mode);
    if mode == pb::CatchUpMode::All {
        let catch_up = task.catch_up.get_or_insert_default();
        catch_up.window = Some(seconds(3600));
        catch_up.max_count = 5;
    }
    task
}

fn kind(kind: &str, sleep_for: Option<&str>) -> pb::Task {
    let text = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.to_owned())),
    };
    let fields = sleep_for.map(|span| ("sleep_for".to_owned(), text(span)));
    let parameters = prost_types::Struct {
        fields: BTreeMap::from_iter(fields),
    };
    pb::Task {
        kind: kind.to_owned(),
        parameters: Some(parameters),
        ..pb::Task::default()
    }
}

/// Triggers a task again and again, each time under one request id until it is answered: so that as many
/// runs as calls must come of it.
#[derive(Debug)]
pub(super) struct Caller {
    answered: Arc<AtomicU64>,
    over: tokio_util::sync::CancellationToken,
    calling: JoinHandle<()>,
}

impl Caller {
    pub(super) fn start(client: Client) -> Self {
        let answered: Arc<AtomicU64> = Arc::default();
        let over = tokio_util::sync::CancellationToken::new();
        let (count, ended) = (answered.clone(), over.clone());
        let calling = tokio::spawn(async move {
            while !ended.is_cancelled() {
                let id = request_id();
                while trigger(&client, &id).await.is_err() {
                    pass(CALL_EVERY).await;
                }
                count.fetch_add(1, Ordering::Relaxed);
                pass(CALL_EVERY).await;
            }
        });
        Self {
            answered,
            over,
            calling,
        }
    }

    /// Waits until the last call is answered; says how many were.
    pub(super) async fn finish(self) -> u64 {
        self.over.cancel();
        let calling = tokio::time::timeout(Duration::from_secs(60), self.calling).await;
        calling.expect("the last call is answered").unwrap();
        self.answered.load(Ordering::Relaxed)
    }
}

/// One run that is asked for until there is an answer, which may be a refusal: a busy machine may be late.
pub(super) async fn answered(client: &Client, request_id: &str) -> Result<(), tonic::Status> {
    let answer = soon("a run to be answered", ANSWERED_WITHIN, async || {
        let late = [tonic::Code::DeadlineExceeded, tonic::Code::Cancelled];
        match trigger(client, request_id).await {
            Err(status) if late.contains(&status.code()) => None,
            answer => Some(answer),
        }
    });
    answer.await.0
}

/// One call, which may fail.
pub(super) async fn trigger(client: &Client, request_id: &str) -> Result<(), tonic::Status> {
    let mut request = tonic::Request::new(pb::TriggerTaskRequest {
        name: format!("tasks/{BY_HAND}"),
        request_id: request_id.to_owned(),
        ..Default::default()
    });
    request.set_timeout(Duration::from_secs(2));
    let mut tasks = client.tasks();
    let answer = tokio::time::timeout(Duration::from_secs(3), tasks.trigger_task(request));
    match answer.await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Err(tonic::Status::deadline_exceeded("no answer")),
    }
}
