//! Handlers that do nothing by themselves: a test sees each attempt come in, and says how it ends.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use watchbell::engine::{Done, Failure, Kind, Registry, RunContext};
use watchbell_client::pb;

use super::{Server, scripted, within};

/// Where the attempts of a test's tasks come in.
#[derive(Debug)]
pub(crate) struct Stage {
    id: String,
    entrances: mpsc::UnboundedReceiver<Entered>,
}

/// An attempt whose handler waits to be told how to end. Dropped, the handler hangs on until it is
/// asked to stop.
#[derive(Debug)]
pub(crate) struct Entered {
    /// What the handler was given.
    pub(crate) context: RunContext,
    act: oneshot::Sender<Act>,
}

/// How a handler ends.
#[derive(Debug)]
pub(crate) enum Act {
    End(Done),
    Fail(Failure),
    Panic(&'static str),
    /// Return this, but only once it is asked to stop.
    EndOnceAsked(Result<Done, Failure>),
    /// Go on, whatever anyone asks, until the task is cut off.
    Ignore,
}

static STAGES: LazyLock<Mutex<HashMap<String, mpsc::UnboundedSender<Entered>>>> =
    LazyLock::new(Mutex::default);

impl Stage {
    pub(crate) fn new() -> Self {
        let id = uuid::Uuid::now_v7().to_string();
        let (sender, entrances) = mpsc::unbounded_channel();
        STAGES.lock().unwrap().insert(id.clone(), sender);
        Self { id, entrances }
    }

    /// What a task's parameters name.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The next attempt to come in.
    pub(crate) async fn enters(&mut self) -> Entered {
        let entered = within("an attempt to start", self.entrances.recv()).await;
        entered.expect("the stage is open")
    }

    /// Makes a task of this name, and returns a run of it that is under way, with the attempt.
    pub(crate) async fn busy(&mut self, server: &Server, name: &str) -> (pb::Run, Entered) {
        server.create(name, scripted(self)).await;
        let run = server.trigger(name).await;
        (run, self.enters().await)
    }

    /// Whether no attempt has come in that was not taken.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.entrances.try_recv().is_err()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        STAGES.lock().unwrap().remove(&self.id);
    }
}

impl Entered {
    pub(crate) fn act(self, act: Act) -> RunContext {
        // The handler may be gone: then the test is about just that.
        let _ = self.act.send(act);
        self.context
    }

    pub(crate) fn succeeds(self) -> RunContext {
        self.act(Act::End(Done::worked("as the test said").count("steps", 1)))
    }

    pub(crate) fn fails(self) -> RunContext {
        self.act(Act::Fail(anyhow::anyhow!("as the test said").into()))
    }

    /// The handler goes on although it is asked to stop.
    pub(crate) fn ignores_everything(self) -> RunContext {
        self.act(Act::Ignore)
    }
}

/// The kinds that only tests have.
pub(crate) fn kinds(registry: Registry) -> Registry {
    registry.with::<Scripted>(()).with::<Instant>(())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scripted {
    stage: String,
}

impl Kind for Scripted {
    const NAME: &'static str = "scripted";
    const ABOUT: &'static str = "Ends as a test says.";
    type Env = ();

    async fn run(self, (): (), context: RunContext) -> Result<Done, Failure> {
        let (act, told) = oneshot::channel();
        let entered = Entered {
            context: context.clone(),
            act,
        };
        let stage = STAGES.lock().unwrap().get(&self.stage).cloned();
        let stage = stage.ok_or_else(|| anyhow::anyhow!("the stage is gone"))?;
        stage.send(entered)?;
        let act = tokio::select! {
            // What the test has said before it is asked to stop.
            biased;
            Ok(act) = told => act,
            () = context.cancel.cancelled() => return Err(anyhow::anyhow!("stopped when asked to").into()),
        };
        match act {
            Act::End(done) => Ok(done),
            Act::Fail(failure) => Err(failure),
            Act::Panic(message) => panic!("{message}"),
            Act::EndOnceAsked(ended) => {
                context.cancel.cancelled().await;
                ended
            }
            Act::Ignore => std::future::pending().await,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Instant {}

impl Kind for Instant {
    const NAME: &'static str = "instant";
    const ABOUT: &'static str = "Succeeds at once.";
    type Env = ();

    async fn run(self, (): (), _: RunContext) -> Result<Done, Failure> {
        Ok(Done::worked("at once"))
    }
}
